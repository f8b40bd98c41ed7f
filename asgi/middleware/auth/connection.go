package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/layers"
)

// A connection is one request or WebSocket.
type connection[U any] struct {
	auth    *Authenticator[U]
	ctx     context.Context // of the app
	scope   *asgi.Scope
	send    asgi.Send
	layer   *layers.Layer
	since   time.Time // it began
	request *request  // nil for a WebSocket
	bare    bool      // the client offers the subprotocol "bearer"

	mu       sync.Mutex
	known    bool
	identity Identity[U]
	id       string // of the user
	again    func(ctx context.Context) (Identity[U], error)
	changes  int // of who it is
	accepted bool
	reason   string // why its credentials have ended; "" while they last
	over     bool   // Serve is about to return

	checks check
}

// A request is what a connection by HTTP has besides.
type request struct {
	cancel context.CancelCauseFunc

	mu       sync.Mutex
	spared   bool // it has itself revoked its user
	started  bool
	complete bool
	trailers bool // follow the body
}

// requestContext lets [Revoke] find the request that calls it.
type requestContext struct {
	context.Context
	request *request
}

type requestKey struct{}

func (c requestContext) Value(key any) any {
	if key == (requestKey{}) {
		return c.request
	}
	return c.Context.Value(key)
}

// atOnce is a ctx that has ended: Send does not wait.
var atOnce = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

func (c *connection[U]) isKnown() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.known
}

func (c *connection[U]) hasEnded() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reason != ""
}

// enter makes c that of a user, for the registry and for its clock, and returns when a revocation last came.
func (c *connection[U]) enter(id string, found finding[U]) (last time.Time) {
	c.mu.Lock()
	if !c.over {
		c.leaveLocked()
		c.known, c.id, c.identity, c.again = true, id, found.identity, found.again
		last = c.auth.registry.add(id, c)
	}
	c.mu.Unlock()
	c.arm()
	return last
}

// renew takes over what a check has found.
func (c *connection[U]) renew(fresh Identity[U]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.identity = fresh
}

// leave makes c that of nobody.
func (c *connection[U]) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leaveLocked()
}

// leaveLocked is leave with the lock held, which comes before the registry's.
func (c *connection[U]) leaveLocked() {
	if c.known {
		c.auth.registry.remove(c.id, c)
	}
	var nobody Identity[U]
	c.known, c.id, c.identity, c.again = false, "", nobody, nil
	c.changes++
}

// close ends what c has: its place in the registry, its clock.
func (c *connection[U]) close() {
	c.mu.Lock()
	c.over = true
	if c.known {
		c.auth.registry.remove(c.id, c)
	}
	c.mu.Unlock()
	c.checks.stop()
	if c.request != nil {
		c.request.cancel(nil)
	}
}

// end closes the connection because its credentials have ended, if they are those that are meant, which still says under
// the lock. It never waits: senders of the layer call it.
func (c *connection[U]) end(reason string, still func() bool) {
	if c.request != nil && c.request.is(&c.request.complete) {
		return
	}
	c.mu.Lock()
	if c.reason != "" || !still() {
		c.mu.Unlock()
		return
	}
	c.reason = reason
	open := c.accepted
	c.mu.Unlock()
	switch {
	case c.request != nil:
		c.request.cancel(asgi.DisconnectError{Reason: reason, By: asgi.ByApp})
	case open:
		c.shut(reason)
	}
}

// is reads one of r's flags.
func (r *request) is(flag *bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return *flag
}

// shut sends the close. An error says that the connection is over. What stands outside may panic, and this may be the
// goroutine of a timer.
func (c *connection[U]) shut(reason string) {
	defer func() {
		if v := recover(); v != nil {
			c.auth.warn(c, "the close of a connection panicked", &asgi.PanicError{Value: v, Stack: debug.Stack()})
		}
	}()
	_ = c.send(atOnce, asgi.WebSocketClose{Code: c.auth.opts.CloseCode, Reason: reason})
}

// forward is the Send of the app.
func (c *connection[U]) forward(ctx context.Context, event asgi.Event) error {
	if e, ok := event.(asgi.WebSocketAccept); ok {
		return c.accept(ctx, e)
	}
	if c.request == nil {
		return c.send(ctx, event)
	}
	if c.hasEnded() {
		return asgi.ErrClosed
	}
	err := c.send(ctx, event)
	if err == nil {
		c.request.note(event)
	}
	return err
}

// accept accepts unless the credentials have ended; those that end meanwhile close at once.
func (c *connection[U]) accept(ctx context.Context, e asgi.WebSocketAccept) error {
	if c.hasEnded() {
		if err := c.deny(ctx); err != nil {
			return err
		}
		return fmt.Errorf("auth: accept: the credentials have ended: %w", asgi.ErrClosed)
	}
	if e.Subprotocol == "" && c.bare {
		e.Subprotocol = offered
	}
	if c.auth.opts.Token != nil && strings.HasPrefix(e.Subprotocol, offeredToken) {
		return errors.New("auth: accept: the subprotocol holds a token, which must not be sent back: choose one of Scope.Subprotocols")
	}
	if err := c.send(ctx, e); err != nil {
		return err
	}
	c.mu.Lock()
	c.accepted = true
	reason := c.reason
	c.mu.Unlock()
	if reason != "" {
		c.shut(reason)
	}
	return nil
}

// deny refuses the handshake with 401, or with 403 on a server that knows no other.
func (c *connection[U]) deny(ctx context.Context) error {
	if _, ok := c.scope.Extension("websocket.http.response"); !ok {
		return c.send(ctx, asgi.WebSocketClose{})
	}
	deny := c.auth.challenge("invalid_token")
	if err := c.send(ctx, asgi.WebSocketHTTPResponseStart{Status: deny.Status, Header: deny.Header}); err != nil {
		return err
	}
	return c.send(ctx, asgi.WebSocketHTTPResponseBody{})
}

// note keeps how far the response has come.
func (r *request) note(event asgi.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch e := event.(type) {
	case asgi.HTTPResponseStart:
		r.started, r.trailers = true, e.Trailers
	case asgi.HTTPResponseBody:
		r.complete = !e.MoreBody && !r.trailers
	case asgi.HTTPResponseZeroCopySend:
		r.complete = !e.MoreBody && !r.trailers
	case asgi.HTTPResponseTrailers:
		r.complete = !e.MoreTrailers
	case asgi.HTTPResponsePathSend:
		r.complete = true
	}
}

// conclude answers a request whose credentials have ended: with 401, or with a cut where the response has begun, so that
// nobody takes the part for the whole.
func (c *connection[U]) conclude(err error) error {
	if !c.hasEnded() {
		return err
	}
	c.request.mu.Lock()
	defer c.request.mu.Unlock()
	switch {
	case c.request.complete:
		return err
	case c.request.started:
		return fmt.Errorf("auth: the credentials have ended: %w", http.ErrAbortHandler)
	}
	return c.auth.challenge("invalid_token")
}
