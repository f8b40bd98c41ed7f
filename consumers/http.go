package consumers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/tideway-go/tideway/asgi"
	"go.uber.org/zap"
)

// defaultMaxBody is the largest body of a request that a consumer takes unless told otherwise.
const defaultMaxBody = 1 << 20

// AsyncHTTPConsumer declares a consumer of HTTP requests: a body in, whole or as a stream, a response of one or many parts out.
// The zero value answers 204.
//
// Not the return of the handler ends the response but its last part, so that layer messages and [Conn.Go] can go on with it:
// a long poll, or a stream of server-sent events that answers a POST ([Conn.SendSSE]; for a GET see [AsyncSSEConsumer]).
//
// Nothing bounds how long a handler takes: middleware.Timeout does, around routes whose responses end. Where one goes on as a
// stream, give what the handler waits for before a ctx with a deadline.
//
// Channels: AsyncHttpConsumer.
type AsyncHTTPConsumer[S any] struct {
	// New makes the state of one request; default new(S).
	New func(scope *asgi.Scope) *S
	// Layer is the alias of the channel layer; default [layers.Default]. See [LayerKey].
	Layer string
	// MaxBody is the largest body in bytes; a larger one is refused with 413: before anything of it is read where
	// Content-Length tells, so that a client that asks by "Expect: 100-continue" does not even send it, else when too much has
	// come. Default 1 MiB, also for Stream: an upload needs more.
	MaxBody int
	// Handle gets the whole body, which is read-only, and answers by [Conn.Respond] or by [Conn.StartResponse] and
	// [Conn.SendBody]. An error before the response has started is a 500, or what [asgi.Deny] says; after it, the connection
	// is cut.
	Handle func(s *S, ctx context.Context, c *Conn, body []byte) error
	// Stream, in the place of Handle, runs as soon as the request is there and reads the body while it comes: what is not read
	// makes the client wait and holds 64 KiB at most. Read returns [io.EOF] after the last byte, an error that matches
	// [asgi.ErrClosed] when the client has gone, and one that matches an [asgi.Deny] when the body is too large (413), too slow
	// (408) or malformed (400): return it, and the client gets that response. Until the body has been read to its end, the
	// client's leaving is noticed by reading and writing only. body is good until Stream returns; what is left of it is thrown
	// away as it comes.
	Stream func(s *S, ctx context.Context, c *Conn, body io.Reader) error
	// Disconnect runs once at the end, whatever ended the request, with a ctx of its own of 10 s; not for a request that was
	// refused by its Content-Length.
	Disconnect func(s *S, ctx context.Context, c *Conn, why asgi.DisconnectError) error
	// Messages lists the message types that handlers of this request take while it is open.
	Messages []Handler[S]
	// Logger is for what no return value tells; default the scope's.
	Logger *zap.Logger
}

// An exchange is what a connection keeps of an HTTP request.
type exchange struct {
	body     []byte       // until it is whole
	size     int          // of what has come
	asked    bool         // the handler has been called; under Conn.mu
	started  bool         // the response, but for a stream's, which says so itself; under Conn.mu
	trailers bool         // they were announced; under Conn.mu
	complete bool         // the response; under Conn.mu
	stream   *eventStream // nil: no server-sent events; under Conn.mu
}

// errUnanswered ends a request that nothing could ever answer.
var errUnanswered = errors.New("handle returned without completing the response: call Respond, or SendBody with more false")

// App compiles the declaration. It panics where it cannot be meant.
func (d AsyncHTTPConsumer[S]) App() asgi.App {
	t := newTable(asgi.HTTP, d.New, d.Messages, nil)
	t.alias, t.logger = d.Layer, d.Logger
	if d.MaxBody < 0 {
		panic(fmt.Sprintf("consumers: %s: MaxBody is %d: give a size in bytes, or 0 for 1 MiB", t.name, d.MaxBody))
	}
	if d.Handle != nil && d.Stream != nil {
		panic(fmt.Sprintf("consumers: %s: Handle and Stream are both set: keep Handle for the whole body, or Stream to read it as it comes", t.name))
	}
	if d.MaxBody == 0 {
		d.MaxBody = defaultMaxBody
	}
	t.maxBody, t.streams = d.MaxBody, d.Stream != nil
	t.event = func(c *Conn, ev asgi.Event) error {
		if part, ok := ev.(asgi.HTTPRequest); ok {
			return d.request(c, part)
		}
		return nil
	}
	t.hookless = d.Disconnect == nil
	t.end = func(ctx context.Context, c *Conn, why asgi.DisconnectError) error {
		c.endStream(ctx)
		if d.Disconnect == nil {
			return nil
		}
		return d.Disconnect(c.state.(*S), ctx, c, why)
	}
	return t
}

// admits refuses a request whose body is larger than the table takes, by its header: nothing of it has been read.
func (t *table) admits(scope *asgi.Scope) error {
	if t.maxBody == 0 {
		return nil
	}
	length := scope.HeaderValue("Content-Length")
	if n, err := strconv.ParseInt(length, 10, 64); length == "" || err != nil || n <= int64(t.maxBody) {
		return nil // a server of HTTP has looked at what is no number
	}
	return asgi.Deny{Status: http.StatusRequestEntityTooLarge}
}

// grew counts what has come of the body.
func (c *Conn) grew(part asgi.HTTPRequest) error {
	if c.exchange.size += len(part.Body); c.exchange.size > c.table.maxBody {
		return asgi.Deny{Status: http.StatusRequestEntityTooLarge}
	}
	return nil
}

// asks reports whether the handler of the request is to be called with this part of the body.
func (c *Conn) asks(part asgi.HTTPRequest) bool {
	first := c.table.streams || c.table.events != nil
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.exchange.asked && (first || !part.MoreBody)
}

func (c *Conn) asking() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.exchange.asked = true
}

func (d *AsyncHTTPConsumer[S]) request(c *Conn, part asgi.HTTPRequest) error {
	if err := c.grew(part); err != nil {
		return err
	}
	if !c.asks(part) {
		if d.Stream == nil {
			c.exchange.body = append(c.exchange.body, part.Body...)
		}
		return nil
	}
	c.asking()
	if err := d.handle(c, part); err != nil {
		if errors.Is(err, ErrStop) && !c.streams() {
			_ = c.Respond(c.context(), http.StatusNoContent, nil, nil) // an error if a response has begun: that one is cut
		}
		return err
	}
	return c.answered()
}

// handle calls the handler of the request with its last part, or with the first one if it streams.
func (d *AsyncHTTPConsumer[S]) handle(c *Conn, part asgi.HTTPRequest) error {
	switch {
	case d.Stream != nil:
		body := newBodyReader(c, part)
		defer body.close()
		return d.Stream(c.state.(*S), c.context(), c, body)
	case d.Handle == nil:
		return c.Respond(c.context(), http.StatusNoContent, nil, nil)
	}
	body := part.Body
	if len(c.exchange.body) > 0 {
		body = append(c.exchange.body, body...)
		c.exchange.body = nil
	}
	return d.Handle(c.state.(*S), c.context(), c, body)
}

// answered returns an error when the response is not complete, nothing is left that could complete it, and somebody still
// waits for it.
func (c *Conn) answered() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.exchange.complete || c.working > 0 || len(c.table.messages) > 0 || c.table.events != nil || c.life.Err() != nil {
		return nil
	}
	return c.errorf("answer", errUnanswered)
}
