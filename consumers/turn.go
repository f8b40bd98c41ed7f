package consumers

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/layers"
)

// Two things are passed around. The turn belongs to whoever runs a handler; the reading to whoever calls receive. They
// start together on the goroutine of Serve, and stay there as long as handlers are quick: nothing is handed over then.
//
// When a handler that runs on the reading goroutine takes long, about a millisecond ([asgi.Watch]), the reading passes
// to another: to the goroutine of Serve if that is parked, else to a new one. The one that lost it finishes what waits
// for the turn; then it parks, if it is that of Serve, or ends. A layer message that needs a handler while nobody has
// the turn is handled by a goroutine started on demand.

// standBy is what the goroutine of Serve does when it has lost the reading, until the connection has ended: it began with the
// turn and the reading, and may be asked to read again.
func (c *Conn) standBy() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.ended && !c.failed {
		if !c.passed {
			c.parked = true
			c.await()
			c.parked = false
			continue
		}
		c.passed = false
		c.mu.Unlock()
		c.read(false)
		c.mu.Lock()
	}
}

// read reads, and handles what it reads if it gets the turn, until the connection has ended or another goroutine reads.
// held says that it has the turn already.
func (c *Conn) read(held bool) {
	for done := false; !done; held = false {
		ev, why := c.next()
		switch {
		case ev == nil && held:
			c.leave(nil)
		case ev != nil && c.enter(ev, held, why != nil):
			if !waited(ev) {
				c.flushLate()
			}
			done = c.leave(c.callEvent(ev))
		default: // who has the turn will handle it
			done = c.over()
		}
		if why != nil {
			c.closed(*why)
			return
		}
	}
}

// waited reports whether the server has written all that was held back, since Receive had to wait for ev.
func waited(ev asgi.Event) bool {
	e, ok := ev.(asgi.WebSocketReceive)
	return ok && e.Waited
}

// enter takes the turn for the reader. It waits while a quick handler runs, for at most one layer message, and while the
// client lane is full: that stops the reader, and TCP then slows the client. It reports false when the event has been
// queued behind a handler that takes long, or when nobody will handle it any more. After the last event nothing is left
// to read, however long its handler takes.
func (c *Conn) enter(ev asgi.Event, held, last bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for size := eventSize(ev); ; {
		switch {
		case c.failed && !held || c.shut:
			return false
		case held || !c.busy:
			c.busy, c.opening = true, false
			c.begin(ev.EventType(), !last && !c.readsBody(ev))
			return true
		case c.long && c.scope.Type() != asgi.Channel && c.mail.roomForEvent(size): // to read on would end a worker's job
			c.box().pushEvent(ev)
			return false
		}
		c.waiting = true
		c.await()
		c.waiting = false
	}
}

// leave ends the turn of the goroutine that reads, whose handler returned err. It reports true if that goroutine need not
// go on: another has taken the reading over, or the connection has ended.
func (c *Conn) leave(err error) (done bool) {
	c.result(err)
	c.mu.Lock()
	c.handled()
	relieved := c.relieved
	if relieved {
		c.relieved = false
		c.drain()
	}
	c.release()
	done = relieved || c.ended || c.failed
	c.mu.Unlock()
	if relieved {
		c.flush()
	}
	return done
}

// release gives the turn up. The lock is held.
func (c *Conn) release() {
	c.busy, c.opening, c.long = false, false, false
	c.turnHeld.Store(false)
	if c.seen {
		c.seen = false
		w := c.watched.Load()
		w.clock.Stop(&w.Watched)
	}
	over := c.ended || c.failed
	switch {
	case c.waiting || over:
		c.changed()
	case c.mail.messages() > 0 && !c.refused:
		c.startHandling()
	}
}

// startHandling gives the turn to a goroutine on demand, for the layer messages that wait. The lock is held, the turn
// free.
func (c *Conn) startHandling() {
	c.busy = true
	c.helpers.Go(func() {
		c.mu.Lock()
		c.drain()
		c.release()
		c.mu.Unlock()
		c.flush()
	})
}

// drain handles what waits in both lanes, by turns, and stops after one when the reader waits for the turn. The lock and
// the turn are held.
func (c *Conn) drain() {
	for messageNext := true; ; {
		event := c.mail.events() > 0 && !c.failed
		message := c.mail.messages() > 0 && !c.failed && !c.ended && !c.refused
		switch {
		case message && (messageNext || !event):
			messageNext = false
			m := c.mail.popMessage()
			c.begin(m.Type(), false)
			c.mu.Unlock()
			c.flushLate()
			c.handleMessage(m)
			c.mu.Lock()
			c.mail.sent()
			c.handled()
		case event:
			messageNext = true
			ev := c.mail.popEvent()
			if c.waiting {
				c.changed() // there is room in the lane
			}
			c.begin(ev.EventType(), false)
			c.mu.Unlock()
			c.flushLate()
			c.result(c.callEvent(ev))
			c.mu.Lock()
			c.handled()
		default:
			return
		}
		if c.waiting && !c.long {
			return
		}
	}
}

// await waits until something has changed. The lock is held, but for the time of waiting.
func (c *Conn) await() {
	if c.wake == nil {
		c.wake = sync.NewCond(&c.mu)
	}
	c.wake.Wait()
}

// changed wakes those who wait. The lock is held.
func (c *Conn) changed() {
	if c.wake != nil {
		c.wake.Broadcast()
	}
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
	var frame asgi.Event
	l := letter{m, m.Size(), listed}
	if listed {
		var err error
		if frame, err = ready.event(m); err != nil {
			c.drop(m, layers.DropInvalid, err)
			return nil
		}
		l.held += heldWith(m, frame)
	}
	expired, err := c.deliver(l, frame)
	for _, old := range expired {
		c.drop(old, layers.DropExpired, nil)
	}
	return err
}

// deliver offers frame, if there is one, or queues l. It returns the messages that made room because their time is over.
func (c *Conn) deliver(l letter, frame asgi.Event) (expired []layers.Message, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.shut || c.ended || c.failed || c.refused {
		return nil, layers.ErrNoChannel
	}
	if frame != nil && c.exchange == nil && !c.busy && !c.waiting && c.mail.messages() == 0 && c.mail.events() == 0 {
		c.busy = true
		c.mu.Unlock()
		done := c.offer(frame)
		c.mu.Lock()
		defer c.release()
		if done {
			return nil, nil
		}
	}
	box := c.box()
	if !box.pushMessage(l, int(c.capacity)) {
		if expired = box.popExpired(time.Now()); len(expired) == 0 || !box.pushMessage(l, int(c.capacity)) {
			return expired, layers.ErrChannelFull
		}
	}
	if !c.busy && !c.waiting { // else whoever leaves next sees the message
		c.startHandling()
	}
	return expired, nil
}

// Flush drops the messages that wait.
func (b *inbox) Flush() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mail != nil {
		b.mail.layer, b.mail.layerBytes = ring[letter]{}, 0
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

// A turnWatch has late look at a turn that takes long. A connection that does nothing has none.
type turnWatch struct {
	asgi.Watched
	clock  *asgi.Watch   // the server's, or one of its own
	heldAt atomic.Uint32 // the tick at which unflushed was set
}

// watch begins to watch the turn. The lock is held.
func (c *Conn) watch() {
	w := c.watched.Load()
	if w == nil {
		w = &turnWatch{Watched: asgi.Watched{Late: c.late}, clock: c.scope.Watch()}
		if w.clock == nil {
			w.clock = new(asgi.Watch)
		}
		c.watched.Store(w)
	}
	if !c.seen {
		c.seen = true
		w.clock.Start(&w.Watched)
	}
}

// handled notes that the handler has returned. The lock is held.
func (c *Conn) handled() {
	c.running = ""
	if c.exchange != nil && c.exchange.complete && !c.ended {
		c.close(asgi.DisconnectError{By: asgi.ByApp})
	}
}

// late runs when somebody has had the turn for a millisecond: what handlers sent is written, and if the one that runs does
// so on the goroutine that reads, the reading passes to another. A worker's consumer reads nothing ahead: what it has not
// begun, another may do.
func (c *Conn) late() {
	c.mu.Lock()
	if !c.seen || c.shut {
		c.mu.Unlock()
		return
	}
	c.seen, c.long = false, true // the next handler of this turn will be watched again
	c.turnHeld.Store(false)
	if c.reader && c.running != "" && c.scope.Type() != asgi.Channel {
		c.passReading()
	}
	c.changed()
	c.mu.Unlock()
	c.flush()
}

// passReading has another goroutine read. The lock is held.
func (c *Conn) passReading() {
	c.reader, c.relieved = false, true
	if c.parked {
		c.passed = true
	} else {
		c.helpers.Go(func() { c.read(false) })
	}
}
