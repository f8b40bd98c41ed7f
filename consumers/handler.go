package consumers

import (
	"context"
	"fmt"

	"github.com/tideway-go/tideway/layers"
)

// A Handler is one line of a table's Messages: a message type and what handles it. [On] and [OnSync] make one.
type Handler[S any] struct {
	name string
	call func(s *S, ctx context.Context, c *Conn, m layers.Message) error
}

// On lists a method of the state as the handler of a message type. A payload that is no T is dropped, counted, and
// logged once per type; the connection goes on.
func On[S, T any](typ layers.Type[T], h func(s *S, ctx context.Context, c *Conn, v T) error) Handler[S] {
	mustHandle(h == nil, typ.String())
	return Handler[S]{typ.String(), func(s *S, ctx context.Context, c *Conn, m layers.Message) error {
		v, err := typ.Decode(m)
		if err != nil {
			return &badPayload{err}
		}
		return h(s, ctx, c, v)
	}}
}

func mustHandle(isNil bool, name string) {
	if isNil {
		panic(fmt.Sprintf("consumers: the handler for message type %q is nil: pass a method such as (*chat).message", name))
	}
}

// badPayload is a message that its handler could not be called with: no fault of the connection.
type badPayload struct{ error }

func (e *badPayload) Unwrap() error { return e.error }
