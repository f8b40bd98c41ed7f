package consumers

import (
	"context"
	"fmt"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/layers"
	"go.uber.org/zap"
)

// AsyncWebsocketConsumer declares a consumer of WebSockets. The zero value accepts every connection and ignores what it
// says.
//
// Channels: AsyncWebsocketConsumer; with [JSON] around Text, AsyncJsonWebsocketConsumer.
type AsyncWebsocketConsumer[S any] struct {
	// New makes the state of one connection; default new(S).
	New func(scope *asgi.Scope) *S
	// Layer is the alias of the channel layer; default [layers.Default]. See [LayerKey].
	Layer string
	// Groups are joined before Connect. Join others by [Conn.GroupAdd]; all are left when the connection ends. A name that
	// no group can have panics in App.
	Groups []string

	// Connect decides. Nil accepts, unless Connect has accepted or closed by itself. [asgi.Deny] refuses with that
	// response, [asgi.CloseError] and [ErrStop] with 403, any other error with 500. A refusal has no close code: to give one,
	// call [Conn.Accept], then return a CloseError.
	Connect func(s *S, ctx context.Context, c *Conn) error
	// Text handles a text message. A connection that has a Text handler but no Binary handler closes with 1003 at a
	// binary message, and the other way round.
	Text func(s *S, ctx context.Context, c *Conn, text string) error
	// Binary handles a binary message.
	Binary func(s *S, ctx context.Context, c *Conn, data []byte) error
	// Frame handles messages of either kind that have no handler of their own.
	Frame func(s *S, ctx context.Context, c *Conn, f asgi.Frame) error
	// Disconnect runs once if and only if Connect returned nil or accepted, however the connection ended, with a ctx of
	// its own of 10 s. The groups are left afterwards.
	Disconnect func(s *S, ctx context.Context, c *Conn, why asgi.DisconnectError) error

	// Messages lists the message types that handlers of this connection take, by [On] and [OnSync].
	Messages []Handler[S]
	// Forward lists the message types that go to the client without a handler.
	Forward []Forwarder
	// Logger is for what no return value tells; default the scope's.
	Logger *zap.Logger
}

// App compiles the declaration. It panics where it cannot be meant.
func (d AsyncWebsocketConsumer[S]) App() asgi.App {
	t := newTable(asgi.WebSocket, d.New, d.Messages, d.Forward)
	t.alias, t.logger = d.Layer, d.Logger
	for _, group := range d.Groups {
		if err := layers.CheckGroup(group); err != nil {
			panic(fmt.Sprintf("consumers: %s: Groups: %v", t.name, err))
		}
	}
	t.event = func(c *Conn, ev asgi.Event) error {
		switch ev := ev.(type) {
		case asgi.WebSocketConnect:
			return d.connect(c)
		case asgi.WebSocketReceive:
			return d.receive(c, ev.Frame)
		}
		return nil // what a later version of the protocol may send
	}
	if d.Disconnect != nil {
		t.end = func(ctx context.Context, c *Conn, why asgi.DisconnectError) error {
			return d.Disconnect(c.state.(*S), ctx, c, why)
		}
	}
	return t
}

func (d *AsyncWebsocketConsumer[S]) connect(c *Conn) error {
	for _, group := range d.Groups {
		if err := c.GroupAdd(c.context(), group); err != nil {
			return c.errorf("join its Groups", err)
		}
	}
	if d.Connect != nil {
		if err := d.Connect(c.state.(*S), c.context(), c); err != nil {
			return err
		}
	}
	return c.greet()
}

// greet accepts unless the handshake has been answered.
func (c *Conn) greet() error {
	c.mu.Lock()
	c.greeted = true
	answered := c.accepted || c.refused
	c.mu.Unlock()
	if answered {
		return nil
	}
	return c.accept(c.life.base, asgi.WebSocketAccept{})
}

func (d *AsyncWebsocketConsumer[S]) receive(c *Conn, f asgi.Frame) error {
	s := c.state.(*S)
	switch {
	case f.Binary && d.Binary != nil:
		return d.Binary(s, c.context(), c, f.Data)
	case !f.Binary && d.Text != nil:
		return d.Text(s, c.context(), c, string(f.Data))
	case d.Frame != nil:
		return d.Frame(s, c.context(), c, f)
	case f.Binary && d.Text != nil:
		return asgi.CloseError{Code: 1003, Reason: "text messages only"}
	case !f.Binary && d.Binary != nil:
		return asgi.CloseError{Code: 1003, Reason: "binary messages only"}
	}
	return nil
}
