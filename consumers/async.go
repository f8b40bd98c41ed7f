package consumers

import (
	"context"

	"github.com/tideway-go/tideway/asgi"
	"go.uber.org/zap"
)

// AsyncConsumer declares a consumer of any protocol: the events as they come, and layer messages. It is also what a
// [Worker] runs. The zero value ignores everything.
//
// Channels: AsyncConsumer.
type AsyncConsumer[S any] struct {
	// New makes the state of one connection; default new(S).
	New func(scope *asgi.Scope) *S
	// Layer is the alias of the channel layer; default [layers.Default]. See [LayerKey].
	Layer string
	// Event handles every event of the protocol, the last one (a disconnect) included.
	Event func(s *S, ctx context.Context, c *Conn, ev asgi.Event) error
	// Messages lists the message types that the connection understands.
	Messages []Handler[S]
	// Logger is for what no return value tells; default the scope's.
	Logger *zap.Logger
}

// App compiles the declaration. It panics where it cannot be meant.
func (d AsyncConsumer[S]) App() asgi.App {
	t := newTable("", d.New, d.Messages, nil)
	t.alias, t.logger = d.Layer, d.Logger
	newState := t.newState
	t.newState = func(scope *asgi.Scope) any {
		if s, ok := sourceKey.Get(scope); ok {
			s.table = true
		}
		return newState(scope)
	}
	t.event = func(c *Conn, ev asgi.Event) error {
		if m, ok := ev.(ChannelMessage); ok {
			return c.handleQueued(m)
		}
		if d.Event == nil {
			return nil
		}
		return d.Event(c.state.(*S), c.context(), c, ev)
	}
	return t
}
