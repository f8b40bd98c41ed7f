package asgitest

import (
	"context"
	"fmt"
	"reflect"

	"github.com/tideway-go/tideway/asgi"
)

// A Raw connection passes events between the test and the app as they are, for scopes of any type: what a test of a
// server would see. It checks nothing but keeps the bounds: [Options.Queue] each way, with what an event of
// another type costs as if it were an empty message.
type Raw struct {
	client
	conn *rawConn
}

// rawConn is the app's side of a Raw connection.
type rawConn struct{ link }

// Raw starts the app on scope. The Site adds its layer and its logger where the scope has none; [Options.Scope] is
// applied, other Options that shape a scope are not.
func (s *Site) Raw(scope *asgi.Scope) *Raw {
	s.t.Helper()
	if scope == nil {
		s.t.Fatalf("asgitest: Raw: the scope is nil: make one with asgi.NewScope")
	}
	if s.options.Scope != nil {
		scope = s.options.Scope(scope)
	}
	scope = s.equip(scope)
	conn := &rawConn{}
	conn.least = frameHeader
	ctx := conn.open(s.options)
	conn.onStall = func() { conn.over(asgi.DisconnectError{Reason: "write: the client does not read", By: asgi.ByNetwork}) }
	r := &Raw{conn: conn}
	r.client = client{t: s.t, timeout: s.options.Timeout, link: &conn.link}
	r.run = s.begin(ctx, rawName(scope), r.Drop, func(ctx context.Context) error {
		return s.app.Serve(ctx, scope, conn.receive, conn.send)
	}, conn.settle)
	return r
}

// rawName names a connection by what its scope has.
func rawName(scope *asgi.Scope) string {
	name := "raw " + scope.Type()
	for _, detail := range []string{scope.Method(), scope.Path(), scope.Channel()} {
		if detail != "" {
			name += " " + detail
		}
	}
	return name
}

// send is the app's [asgi.Send].
func (c *rawConn) send(ctx context.Context, event asgi.Event) error {
	if event == nil {
		return errNil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.reserve(ctx, c.size(event)); err != nil {
		return err
	}
	c.emit(event)
	return nil
}

// over cuts the connection: Receive and Send return ErrClosed, and ctx ends.
func (c *rawConn) over(d asgi.DisconnectError) {
	c.lastIn(nil, true)
	c.outOver = true
	c.finish(d, lost)
}

// settle keeps the test from waiting for an app that has returned.
func (c *rawConn) settle(r *run) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.judge(r)
	c.over(asgi.DisconnectError{By: asgi.ByApp})
}

// Send passes an event to the app. It waits while the app has too much unread, and fails the test when that takes too
// long. After the end it does nothing.
func (r *Raw) Send(event asgi.Event) {
	r.t.Helper()
	if event == nil {
		r.fatalf("Send: the event is nil")
	}
	r.give(event)
}

// Next waits for the app's next event until ctx ends, whose cause it then returns; nothing is lost. When the app has
// ended and everything is read, it returns [asgi.ErrClosed]. It never fails the test, and may be called from any goroutine.
func (r *Raw) Next(ctx context.Context) (asgi.Event, error) { return r.next(ctx) }

// Receive returns the app's next event.
func (r *Raw) Receive() asgi.Event {
	r.t.Helper()
	return r.want("an event")
}

// Expect demands that the app's next event is this one, field by field.
func (r *Raw) Expect(event asgi.Event) {
	r.t.Helper()
	expected := describe(event)
	if got := r.want(expected); !reflect.DeepEqual(got, event) {
		if describe(got) == expected {
			r.fatalf("expected %#v, got %#v", event, got)
		}
		r.mismatch(expected, got)
	}
}

// ExpectNothing is like [WebSocket.ExpectNothing].
func (r *Raw) ExpectNothing() {
	r.t.Helper()
	r.nothing()
}

// Drop cuts the connection: the app's ctx ends, and Receive and Send return [asgi.ErrClosed] once what was sent before is
// received. It does not wait for the app.
func (r *Raw) Drop() {
	r.conn.mu.Lock()
	defer r.conn.mu.Unlock()
	r.conn.over(asgi.DisconnectError{By: asgi.ByNetwork})
}

// Wait waits for the app to end and returns its error, whatever it is. It fails the test when the app goes on.
func (r *Raw) Wait() error {
	r.t.Helper()
	_ = r.settled()
	return r.run.err
}

// Startup runs the app's lifespan: it sends a [asgi.LifespanStartup], demands the completion, and gives what the app left
// in the scope's State to every later scope of this Site. The shutdown comes at the end of the test, after the last
// connection has ended, and must be completed too. Call it before the first connection.
func (s *Site) Startup() {
	s.t.Helper()
	state := map[string]any{}
	for name, value := range s.options.State {
		state[name] = value
	}
	scope := asgi.NewScope(asgi.Fields{Type: asgi.Lifespan, State: state})
	raw := s.Raw(scope)
	raw.Send(asgi.LifespanStartup{})
	raw.Expect(asgi.LifespanStartupComplete{})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = scope.State()
	s.lifespan = raw
}

// shutdown ends the lifespan that Startup began. It reports instead of ending the test, because more is to be cleaned up.
func (s *Site) shutdown() {
	raw := s.lifespan
	if raw == nil {
		return
	}
	ctx, cancel := raw.limit()
	defer cancel()
	err := raw.link.give(ctx, asgi.LifespanShutdown{})
	if err == nil {
		var event asgi.Event
		event, err = raw.Next(ctx)
		if _, ok := event.(asgi.LifespanShutdownComplete); err == nil && !ok {
			err = fmt.Errorf("got %s", describe(event))
		}
	}
	if err != nil {
		s.errorf("asgitest: %s: expected lifespan.shutdown.complete: %v%s", raw.run.name, err, raw.state())
	}
}
