package consumers

import (
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/layers"
)

// handlerTime is how long a handler may keep the turn before the connection gets a reader beside it, and before what
// it has sent is written without waiting for its return.
const handlerTime = time.Millisecond

// A role says which goroutines a connection has. It begins with one and never goes back.
type role uint8

const (
	// alone: the goroutine of Serve reads, and takes the turn for what it reads. A layer message that needs a handler
	// while it waits for the client is handled by a goroutine started on demand.
	alone role = iota
	// readBeside: a handler of a client event took long; another goroutine reads, that of Serve handles everything.
	readBeside
	// handleBeside: a handler of a layer message took long; its goroutine handles everything, that of Serve reads.
	handleBeside
)

// loop reads and handles until the connection has ended. It begins with the turn.
func (c *Conn) loop() {
	for held := true; ; held = false {
		ev, why := c.next()
		switch {
		case ev == nil && held:
			c.leave()
		case ev != nil && c.enter(ev, held):
			c.handleEvent(ev)
			if c.leave() {
				c.handleAll()
				return
			}
		} // else it is queued: somebody else handles
		if why != nil {
			c.closed(*why)
		}
		if c.over() {
			return
		}
	}
}

// enter takes the turn for the reader, which waits for at most one layer message. When meanwhile another goroutine has
// become the one that handles, it queues ev and reports false. held says that the reader has the turn already.
func (c *Conn) enter(ev asgi.Event, held bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for !held && c.busy && c.role == alone {
		c.waiting = true
		c.wake.Wait()
	}
	c.waiting = false
	if c.role != alone {
		c.enqueue(ev)
		return false
	}
	c.busy = true
	c.begin(ev.EventType(), true)
	return true
}

// leave releases the turn that the goroutine of Serve held. It reports true, and keeps the turn, when a reader has
// been started beside it.
func (c *Conn) leave() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.role == readBeside {
		return true
	}
	c.release()
	return false
}

// release gives the turn to whoever is next. The lock is held.
func (c *Conn) release() {
	c.busy = false
	c.turnHeld.Store(false)
	over := c.ended || c.failed
	switch {
	case c.role == alone && !c.waiting && !over && c.mail.messages() > 0:
		c.startHandling()
	case c.waiting || over || c.mail.events() > 0 || c.mail.messages() > 0:
		c.wake.Broadcast()
	}
}

// startHandling gives the turn to a goroutine on demand. The lock is held, the turn free.
func (c *Conn) startHandling() {
	c.busy = true
	c.helpers.Go(c.handleMessages)
}

// handleMessages holds the turn for the layer messages that wait, one at a time while the reader waits, too.
func (c *Conn) handleMessages() {
	for {
		c.mu.Lock()
		switch {
		case c.role != alone:
			c.mu.Unlock()
			c.handleAll()
			return
		case c.waiting || c.mail.messages() == 0 || c.ended || c.failed:
			c.release()
			c.mu.Unlock()
			c.flush()
			return
		}
		m := c.mail.popMessage()
		c.begin(m.Type(), false)
		c.mu.Unlock()
		c.handleMessage(m)
	}
}

// handleAll handles both lanes by turns until the connection has ended. It begins with the turn.
func (c *Conn) handleAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for messageNext := true; ; {
		event, message := c.waits()
		switch {
		case message && (messageNext || !event):
			messageNext = false
			m := c.mail.popMessage()
			c.begin(m.Type(), false)
			c.mu.Unlock()
			c.handleMessage(m)
			c.mu.Lock()
		case event:
			messageNext = true
			ev := c.mail.popEvent()
			c.wake.Broadcast() // the reader may wait for room
			c.begin(ev.EventType(), false)
			c.mu.Unlock()
			c.handleEvent(ev)
			c.mu.Lock()
		default:
			if !c.awaitWork() {
				return
			}
		}
	}
}

// waits says what there is to handle. The lock is held.
func (c *Conn) waits() (event, message bool) {
	return c.mail.events() > 0 && !c.failed, c.mail.messages() > 0 && !c.failed && !c.ended
}

// awaitWork releases the turn and takes it again when there is something to handle. It reports false, without the
// turn, when there will be nothing any more. The lock is held.
func (c *Conn) awaitWork() bool {
	c.release()
	c.mu.Unlock()
	c.flush()
	c.mu.Lock()
	for {
		event, message := c.waits()
		switch {
		case c.shut || c.failed || c.ended && !event:
			return false
		case !c.busy && (event || message):
			c.busy = true
			return true
		}
		c.wake.Wait()
	}
}

// readOn reads for a connection whose handlers run elsewhere.
func (c *Conn) readOn() {
	for {
		ev, why := c.next()
		if ev != nil {
			c.mu.Lock()
			c.enqueue(ev)
			c.mu.Unlock()
		}
		if why != nil {
			c.closed(*why)
			return
		}
	}
}

// enqueue adds ev to the client lane, waiting for room: that stops the reader, and TCP then slows the client. The lock
// is held.
func (c *Conn) enqueue(ev asgi.Event) {
	for size := eventSize(ev); !c.mail.roomForEvent(size) && !c.failed && !c.shut; {
		c.wake.Wait()
	}
	if c.failed || c.shut {
		return
	}
	c.box().pushEvent(ev)
	c.wake.Broadcast()
}

// box is the mailbox, made when first something has to wait. The lock is held.
func (c *Conn) box() *mailbox {
	if c.mail == nil {
		c.mail = new(mailbox)
	}
	return c.mail
}

// An inbox is a Conn as the layer sees it.
type inbox Conn

// Deliver is called by the layer. A ready frame goes out at once if nothing stands before it; everything else waits
// for the turn.
func (b *inbox) Deliver(m layers.Message) error {
	c := (*Conn)(b)
	ready, listed := c.table.forward[m.Type()]
	if !listed && c.table.messages[m.Type()] == nil {
		c.dropUnlisted(m)
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.shut || c.ended || c.failed || c.refused {
		return layers.ErrNoChannel
	}
	if listed && !c.busy && !c.waiting && c.mail.messages() == 0 && c.mail.events() == 0 {
		c.busy = true
		c.mu.Unlock()
		done := c.offer(ready, m)
		c.mu.Lock()
		if !done && !c.box().pushMessage(m, int(c.capacity)) {
			c.release()
			return layers.ErrChannelFull
		}
		c.release()
		return nil
	}
	if !c.box().pushMessage(m, int(c.capacity)) {
		return layers.ErrChannelFull
	}
	switch {
	case c.busy || c.waiting: // whoever leaves next sees the message
	case c.role == alone:
		c.startHandling()
	default:
		c.wake.Broadcast()
	}
	return nil
}

// Flush drops the messages that wait.
func (b *inbox) Flush() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mail != nil {
		b.mail.layer, b.mail.layerBytes = ring[layers.Message]{}, 0
	}
}

// begin notes that a handler is about to run, and whether on the goroutine that reads. The lock is held.
func (c *Conn) begin(name string, reader bool) {
	c.running, c.reader = name, reader
	c.turnHeld.Store(true)
	if c.table.protocol != asgi.WebSocket || c.accepted {
		c.watch()
	} // else nobody can be heard yet, and nothing be written: Accept looks again
}

// watch has slow look at the handler in a millisecond. The lock is held.
func (c *Conn) watch() {
	if c.slowdown == nil {
		c.slowdown = time.AfterFunc(handlerTime, c.slow)
	} else {
		c.slowdown.Reset(handlerTime)
	}
}

// end notes that the handler has returned, with err. It ends the connection if it has to.
func (c *Conn) end(err error) {
	c.mu.Lock()
	if c.slowdown != nil {
		c.slowdown.Stop()
	}
	c.running = ""
	complete := c.exchange != nil && c.exchange.complete && !c.ended
	c.mu.Unlock()
	if complete {
		c.closed(asgi.DisconnectError{By: asgi.ByApp})
	}
	c.result(err)
}

// slow runs when a handler has had its millisecond: what it sent is written, and if nobody reads meanwhile, this
// goroutine does from now on. A worker's consumer reads nothing ahead: what it has not begun, another may do.
func (c *Conn) slow() {
	c.mu.Lock()
	if c.running == "" || c.shut {
		c.mu.Unlock()
		return
	}
	c.turnHeld.Store(false)
	read := false
	if c.role == alone && c.scope.Type() != asgi.Channel {
		if read = c.reader; read {
			c.role = readBeside
			c.helpers.Add(1)
		} else {
			c.role = handleBeside
			c.wake.Broadcast()
		}
	}
	c.mu.Unlock()
	c.flush()
	if read {
		defer c.helpers.Done()
		c.readOn()
	}
}
