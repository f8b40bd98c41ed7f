package consumers

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/layers"
	"go.uber.org/zap"
)

const (
	closeGrace      = time.Second      // how long handlers go on after the client has closed
	disconnectTime  = 10 * time.Second // what the Disconnect hook and the leaving of groups have
	handlerPatience = 10 * time.Second // after its ctx has ended, a handler that still runs is named in the log
)

// Serve makes a table an [asgi.App]: it is the life of one connection. An idle connection waits in here, so the frames of
// Serve, read and next are kept small, and there are no others: the collector looks at each frame in each of its cycles.
func (t *table) Serve(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
	if err := t.serves(scope); err != nil {
		return err
	}
	c := newConn(ctx, t, scope, receive, send)
	defer c.life.end(nil)
	if err := c.open(); err != nil {
		return err
	}
	finished := false
	defer func() {
		if !finished { // a handler has called runtime.Goexit
			_ = c.finish()
		}
	}()
	c.read(true)
	c.standBy()
	finished = true
	return c.finish()
}

// open makes the state and the channel.
func (c *Conn) open() error {
	if err := guard(func() error { c.state = c.table.newState(c.scope); return nil }); err != nil {
		return err
	}
	c.greeted = c.table.protocol == asgi.HTTP && c.table.events == nil // no accept to wait for
	if c.observation != nil {
		c.observation.Opened(c.table.name, c)
	}
	if c.layer == nil {
		return nil
	}
	channel, err := c.layer.Listen(&c.life, (*inbox)(c))
	if err != nil {
		if c.observation != nil {
			c.observation.Closed(c.table.name, c)
		}
		return c.errorf("open a channel", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.channel, c.capacity = channel, int32(c.layer.Capacity(channel))
	return nil
}

// next reads one event. With the last one it says how the connection ended; tables of one protocol hear of that from
// their Disconnect hook, so they get no event then.
//
// Middleware may stand between consumer and server, so a panic of receive ends this connection alone.
func (c *Conn) next() (ev asgi.Event, why *asgi.DisconnectError) {
	ctx := context.Context(&c.life)
	if c.table.protocol == asgi.WebSocket {
		// The server's own ctx lets it read on this goroutine; what ends the connection sends a close, and the
		// server answers that with the last event.
		ctx = c.life.base
	}
	returned := false
	defer c.received(&why, &returned)
	ev, err := c.receive(ctx)
	returned = true
	if err != nil {
		return nil, c.lost(err)
	}
	why = c.ending(ev)
	if why != nil && c.table.protocol != "" {
		ev = nil
	}
	return ev, why
}

// received, deferred, ends the connection where receive has not returned.
func (c *Conn) received(why **asgi.DisconnectError, returned *bool) {
	var err error
	v := recover()
	switch {
	case v != nil:
		err = &asgi.PanicError{Value: v, Stack: debug.Stack()}
	case *returned:
		return
	default:
		err = errGoexit
	}
	c.fail(c.errorf("receive", err))
	*why = c.lost(err)
	if v == nil { // nobody will leave the turn with which Serve's goroutine began
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.opening {
			c.release()
		}
	}
}

// ending is how the connection ended if ev is the last event, else nil.
func (c *Conn) ending(ev asgi.Event) *asgi.DisconnectError {
	switch end := ev.(type) {
	case asgi.WebSocketDisconnect:
		return &asgi.DisconnectError{Code: end.Code, Reason: end.Reason, By: end.By}
	case asgi.HTTPDisconnect:
		why := &asgi.DisconnectError{By: asgi.ByClient}
		errors.As(context.Cause(c.life.base), why) // the event does not say who, but the server may have
		return why
	}
	return nil
}

// lost is how the connection ended when receive has failed: the ctx of Serve has ended, or the server says no more.
func (c *Conn) lost(err error) *asgi.DisconnectError {
	why := &asgi.DisconnectError{By: asgi.ByNetwork}
	if !errors.As(err, why) && c.scope.Type() == asgi.WebSocket {
		why.Code = 1006
	}
	return why
}

// closed notes how the connection ended. Events read before are still handled; a second later, or at once if nobody
// is there to answer to, the handlers' ctx ends.
func (c *Conn) closed(why asgi.DisconnectError) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.close(why)
}

// close is closed with the lock held.
func (c *Conn) close(why asgi.DisconnectError) {
	if c.ended {
		return
	}
	c.ended, c.why = true, &why
	c.changed()
	switch {
	case c.exchange != nil && c.exchange.complete: // the handler may have something to do after its response
		return
	case why.By == asgi.ByNetwork || c.scope.Type() != asgi.WebSocket:
		c.cancelNow(why)
		return
	}
	c.patience = time.AfterFunc(closeGrace, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if !c.shut {
			c.cancelNow(why)
		}
	})
}

// cancelNow ends the handlers' ctx and names the one that does not heed it. The lock is held.
func (c *Conn) cancelNow(why asgi.DisconnectError) {
	c.life.end(why)
	if c.patience != nil {
		c.patience.Stop()
	}
	c.patience = time.AfterFunc(handlerPatience, func() {
		c.mu.Lock()
		running := c.running
		c.mu.Unlock()
		if running != "" {
			c.logger().Error("consumers: a handler ignores that its ctx has ended: return when ctx.Done() is closed",
				zap.String("consumer", c.table.name), zap.String("handler", running), zap.Duration("after", handlerPatience))
		}
	})
}

// fail ends the connection because of a handler's error: the peer hears the code that fits.
func (c *Conn) fail(err error) {
	c.mu.Lock()
	if c.failed || c.shut {
		c.mu.Unlock()
		return
	}
	c.failed, c.err = true, err
	if !c.ended {
		c.why = failure(err)
	}
	why, tell := *c.why, c.scope.Type() == asgi.WebSocket && !c.ended
	var chosen asgi.CloseError
	if !c.accepted { // Serve's error is the answer, unless the handler chose a code
		tell = tell && !c.refused && (errors.Is(err, ErrStop) || errors.As(err, &chosen))
	}
	if c.scope.Type() != asgi.WebSocket || !c.accepted {
		c.cancelNow(why) // no close frame will wake the reader
	}
	c.changed()
	c.mu.Unlock()
	if tell {
		c.tell(why)
	}
}

// tell closes the WebSocket, with 1011 where the server does not take the code or the reason that a handler chose: a
// connection that stayed open would keep its reader.
func (c *Conn) tell(why asgi.DisconnectError) {
	err := c.sendAtOnce(asgi.WebSocketClose{Code: why.Code, Reason: why.Reason})
	if err == nil || errors.Is(err, asgi.ErrClosed) {
		return
	}
	c.mu.Lock()
	c.err = errors.Join(c.err, c.errorf("close", err))
	c.mu.Unlock()
	_ = c.sendAtOnce(asgi.WebSocketClose{Code: 1011})
}

// failure is the end that an error makes.
func failure(err error) *asgi.DisconnectError {
	var chosen asgi.CloseError
	switch {
	case errors.As(err, &chosen):
		return &asgi.DisconnectError{Code: chosen.Code, Reason: chosen.Reason, By: asgi.ByApp}
	case errors.Is(err, ErrStop):
		return &asgi.DisconnectError{Code: 1000, By: asgi.ByApp}
	}
	return &asgi.DisconnectError{Code: 1011, By: asgi.ByApp}
}

// over reports whether nothing is left to read for.
func (c *Conn) over() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failed || c.ended
}

// finish ends the connection's actor: it takes the turn for good, runs the Disconnect hook, leaves the groups, and
// waits for everything that the connection started.
func (c *Conn) finish() (err error) {
	if c.observation != nil {
		defer c.observation.Closed(c.table.name, c)
	}
	c.mu.Lock()
	for c.busy || c.mail.events() > 0 && !c.failed {
		c.await()
	}
	c.busy, c.shut, c.mail = true, true, nil
	why, greeted := *c.why, c.greeted
	c.changed()
	c.mu.Unlock()

	c.life.end(why)
	c.stopTimers()
	c.flush()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.life.base), disconnectTime)
	defer cancel()
	defer func() { err = errors.Join(c.outcome(), err, c.leaveLayer(ctx)) }() // also where the hook calls runtime.Goexit
	if !greeted || c.table.end == nil {
		return nil
	}
	if err = guard(func() error { return c.disconnect(ctx, why) }); c.quiet(err) {
		return nil
	}
	return fmt.Errorf("consumers: %s: disconnect: %w", c.table.name, err)
}

// disconnect runs the Disconnect hook.
func (c *Conn) disconnect(ctx context.Context, why asgi.DisconnectError) error {
	if c.observation == nil || c.table.hookless {
		return c.table.end(ctx, c, why)
	}
	return c.observed(ctx, KindDisconnect, "", func(ctx context.Context) error { return c.table.end(ctx, c, why) })
}

// leaveLayer leaves the groups, and waits for what the connection started.
func (c *Conn) leaveLayer(ctx context.Context) error {
	defer c.helpers.Wait()
	if c.layer == nil {
		return nil
	}
	if err := c.layer.EndChannel(ctx, c.channel); err != nil && !errors.Is(err, layers.ErrClosed) {
		return c.errorf("leave groups", err)
	}
	return nil
}

func (c *Conn) stopTimers() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.patience != nil {
		c.patience.Stop()
	}
	if c.exchange != nil {
		c.exchange.stream.stop()
	}
}

// outcome is what Serve returns of the connection's own error: nothing when it did what it said.
func (c *Conn) outcome() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, chosen := c.err.(asgi.CloseError); chosen || c.err == nil || errors.Is(c.err, ErrStop) {
		return nil
	}
	return c.err
}
