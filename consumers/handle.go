package consumers

import (
	"context"
	"errors"
	"runtime/debug"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/layers"
	"go.uber.org/zap"
)

// atOnce is a ctx that has ended: a Send that gets it takes the event without waiting, or says that it cannot.
var atOnce = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// guard calls f and makes an error of its panic.
func guard(f func() error) (err error) {
	defer recovered(&err)
	return f()
}

// recovered, deferred, makes an error of a panic.
func recovered(err *error) {
	if v := recover(); v != nil {
		*err = &asgi.PanicError{Value: v, Stack: debug.Stack()}
	}
}

// errGoexit is what [runtime.Goexit] in a handler becomes, such as a test's FailNow.
var errGoexit = errors.New("the handler ended its goroutine (runtime.Goexit): return an error instead")

// guarded, deferred in a function that calls a handler, makes an error of a panic. Where the goroutine is ending, it gives
// back what the goroutine had: returned is false then.
func (c *Conn) guarded(err *error, returned *bool) {
	v := recover()
	switch {
	case v != nil:
		*err = &asgi.PanicError{Value: v, Stack: debug.Stack()}
	case !*returned:
		c.fail(c.errorf("handle", errGoexit))
		c.mu.Lock()
		defer c.mu.Unlock()
		c.running = ""
		c.release()
	}
}

// callEvent runs the handler of a client event, with the turn, which has begun.
func (c *Conn) callEvent(ev asgi.Event) (err error) {
	returned := false
	defer c.guarded(&err, &returned)
	if c.observation != nil {
		err = c.observedEvent(ev)
	} else {
		err = c.table.event(c, ev)
	}
	returned = true
	return err
}

// handleMessage runs what is listed for a layer message, with the turn, which has begun.
func (c *Conn) handleMessage(m layers.Message) {
	var err error
	if m.Expired(time.Now()) {
		c.drop(m, layers.DropExpired, nil)
	} else {
		err = c.callMessage(m)
	}
	if bad, ok := err.(*badPayload); ok {
		c.drop(m, layers.DropInvalid, bad.error)
		return
	}
	c.result(err)
}

func (c *Conn) callMessage(m layers.Message) (err error) {
	returned := false
	defer c.guarded(&err, &returned)
	err = c.message(m)
	returned = true
	return err
}

func (c *Conn) message(m layers.Message) error {
	if f, ok := c.table.forward[m.Type()]; ok {
		ev, err := f.event(m)
		if err != nil {
			c.drop(m, layers.DropInvalid, err)
			return nil
		}
		if part, ok := ev.(asgi.HTTPResponseBody); ok {
			ev = c.joined(part)
		}
		return c.answer(&c.life, "forward", ev)
	}
	h := c.table.messages[m.Type()]
	if c.observation != nil {
		return c.observedMessage(h, m)
	}
	return h(&c.life, c, m)
}

// offer sends a ready frame if there is room for it now, and reports false if it has to wait. It runs on the sender's
// goroutine.
func (c *Conn) offer(frame asgi.Event) bool {
	err := c.sendAtOnce(frame)
	if err == nil {
		return true
	}
	if errors.Is(err, asgi.ErrFull) {
		return false
	}
	c.result(err)
	return true
}

// sendAtOnce recovers panics, because middleware may stand between consumer and server.
func (c *Conn) sendAtOnce(ev asgi.Event) (err error) {
	defer recovered(&err)
	return c.emit(atOnce, ev)
}

// result ends the connection when a handler returned an error that is to end it.
func (c *Conn) result(err error) {
	if err = c.failing(err); err != nil {
		c.fail(err)
	}
}

// drop counts a message that will not be handled.
func (c *Conn) drop(m layers.Message, reason layers.DropReason, err error) {
	c.layer.Dropped(layers.Drop{Channel: c.channel, Type: m.Type(), Reason: reason, Err: err})
	if err != nil && c.table.firstOf(string(reason)+" "+m.Type()) {
		c.logger().Warn("consumers: message dropped; further ones of this type are only counted",
			zap.String("consumer", c.table.name), zap.String("type", m.Type()), zap.Error(err))
	}
}

// dropUnlisted counts a message for which the table lists nothing.
func (c *Conn) dropUnlisted(m layers.Message) {
	if m.Local() {
		return // only those who list Down and Up want to hear of them
	}
	c.layer.Dropped(layers.Drop{Channel: c.channel, Type: m.Type(), Reason: layers.DropUnlisted})
	if c.table.firstOf(m.Type()) {
		c.logger().Warn("consumers: no handler is listed for a message type; list it in Messages or Forward. Further ones are only counted",
			zap.String("consumer", c.table.name), zap.String("type", m.Type()))
	}
}
