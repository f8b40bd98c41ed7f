package consumers

import (
	"context"
	"fmt"
	"reflect"

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
	mustHandle[S](h == nil, "for message type %q", typ)
	return Handler[S]{typ.String(), func(s *S, ctx context.Context, c *Conn, m layers.Message) error {
		v, err := typ.Decode(m)
		if err != nil {
			return &badPayload{err}
		}
		return h(s, ctx, c, v)
	}}
}

// mustHandle panics when a handler of S is nil; the rest says which.
func mustHandle[S any](isNil bool, format string, args ...any) {
	if isNil {
		panic(fmt.Sprintf("consumers: %s: the handler "+format+" is nil: pass a method of the state, such as (*chat).message",
			append([]any{reflect.TypeFor[S]()}, args...)...))
	}
}

// badPayload is a message that its handler could not be called with: no fault of the connection.
type badPayload struct{ error }

func (e *badPayload) Unwrap() error { return e.error }
