package consumers

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/tideway-go/tideway/asgi"
	"go.uber.org/zap"
)

// defaultMaxBody is the largest body of a request that a consumer keeps in memory unless told otherwise.
const defaultMaxBody = 1 << 20

// AsyncHTTPConsumer declares a consumer of HTTP requests: the whole body in, a response of one or many parts out. The
// zero value answers 204.
//
// Not the return of Handle ends the response but its last part, so that layer messages and [Conn.Go] can go on with it.
//
// Channels: AsyncHttpConsumer.
type AsyncHTTPConsumer[S any] struct {
	// New makes the state of one request; default new(S).
	New func(scope *asgi.Scope) *S
	// Layer is the alias of the channel layer; default [layers.Default]. See [LayerKey].
	Layer string
	// MaxBody is the largest body in bytes; a larger one is refused with 413 before Handle. Default 1 MiB.
	MaxBody int
	// Handle answers, by [Conn.Respond] or by [Conn.StartResponse] and [Conn.SendBody]. An error before the response
	// has started is a 500, or what [asgi.Deny] says; after it, the connection is cut.
	Handle func(s *S, ctx context.Context, c *Conn, body []byte) error
	// Disconnect runs once at the end, whatever ended the request, with a ctx of its own of 10 s.
	Disconnect func(s *S, ctx context.Context, c *Conn, why asgi.DisconnectError) error
	// Messages lists the message types that handlers of this request take while it is open.
	Messages []Handler[S]
	// Logger is for what no return value tells; default the scope's.
	Logger *zap.Logger
}

// An exchange is what a connection keeps of an HTTP request.
type exchange struct {
	body     []byte // until it is whole
	complete bool   // the response
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
	if d.MaxBody == 0 {
		d.MaxBody = defaultMaxBody
	}
	t.event = func(c *Conn, ev asgi.Event) error {
		if part, ok := ev.(asgi.HTTPRequest); ok {
			return d.request(c, part)
		}
		return nil
	}
	t.end = func(ctx context.Context, c *Conn, why asgi.DisconnectError) error {
		if d.Disconnect == nil {
			return nil
		}
		return d.Disconnect(c.state.(*S), ctx, c, why)
	}
	return t
}

func (d *AsyncHTTPConsumer[S]) request(c *Conn, part asgi.HTTPRequest) error {
	if len(c.exchange.body)+len(part.Body) > d.MaxBody {
		return asgi.Deny{Status: http.StatusRequestEntityTooLarge}
	}
	c.exchange.body = append(c.exchange.body, part.Body...)
	if part.MoreBody {
		return nil
	}
	body := c.exchange.body
	c.exchange.body = nil
	if d.Handle == nil {
		return c.Respond(c.context(), http.StatusNoContent, nil, nil)
	}
	if err := d.Handle(c.state.(*S), c.context(), c, body); err != nil {
		if errors.Is(err, ErrStop) {
			_ = c.Respond(c.context(), http.StatusNoContent, nil, nil) // an error if a response has begun: that one is cut
		}
		return err
	}
	return c.answered()
}

// answered returns an error when the response is not complete, nothing is left that could complete it, and somebody still
// waits for it.
func (c *Conn) answered() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.exchange.complete || c.working > 0 || len(c.table.messages) > 0 || c.life.Err() != nil {
		return nil
	}
	return c.errorf("answer", errUnanswered)
}
