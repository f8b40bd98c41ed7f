package consumers

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/layers"
	"go.uber.org/zap"
)

// A table is what every declaration compiles to: the same machine runs all of them. Handlers take the state as any;
// the generic front, which made them, knows its type.
type table struct {
	name     string // of the state's type, for messages
	protocol string // the scope type it serves; "" for any
	alias    string // of the layer
	logger   *zap.Logger

	newState func(*asgi.Scope) any
	event    func(c *Conn, ev asgi.Event) error // one event of the protocol
	end      func(ctx context.Context, c *Conn, why asgi.DisconnectError) error
	hookless bool // end calls no hook of the author's
	messages map[string]messageHandler
	forward  map[string]*Forwarder
	maxBody  int           // of an HTTP request; 0: the table reads none
	streams  bool          // a handler reads the body part by part
	events   *eventsConfig // nil: not a table of server-sent events

	logged sync.Map // what the log has heard of and need not hear again
	kinds  atomic.Int32
}

type messageHandler func(ctx context.Context, c *Conn, m layers.Message) error

// newTable compiles what all declarations have in common. It panics where the declaration cannot be meant, naming it.
func newTable[S any](protocol string, newState func(*asgi.Scope) *S, messages []Handler[S], forward []Forwarder) *table {
	t := &table{
		name:     reflect.TypeFor[S]().String(),
		protocol: protocol,
		messages: make(map[string]messageHandler, len(messages)),
		forward:  make(map[string]*Forwarder, len(forward)),
	}
	t.newState = func(*asgi.Scope) any { return new(S) }
	if newState != nil {
		t.newState = func(scope *asgi.Scope) any { return newState(scope) }
	}
	for _, h := range messages {
		t.mustBeNew(h.name)
		t.messages[h.name] = func(ctx context.Context, c *Conn, m layers.Message) error {
			return h.call(c.state.(*S), ctx, c, m)
		}
	}
	for _, f := range forward {
		t.mustBeNew(f.name)
		t.forward[f.name] = &f
	}
	return t
}

// mustBeNew panics when a message type cannot be added to the table.
func (t *table) mustBeNew(name string) {
	if name == "" {
		panic(fmt.Sprintf("consumers: %s: a message type is empty: give the layers.Type constant a name, such as %q", t.name, "chat.message"))
	}
	if strings.HasPrefix(name, "layer.") && name != layers.Down.String() && name != layers.Up.String() {
		panic(fmt.Sprintf("consumers: %s: message type %q is reserved: give it a name that does not begin with \"layer.\"", t.name, name))
	}
	_, listed := t.messages[name]
	_, forwarded := t.forward[name]
	if listed || forwarded {
		panic(fmt.Sprintf("consumers: %s: message type %q is listed twice: keep one of the lines in Messages and Forward that name it", t.name, name))
	}
}

// serves returns an error for a scope that the table is not for.
func (t *table) serves(scope *asgi.Scope) error {
	if t.protocol == "" {
		return nil
	}
	if t.protocol == scope.Type() {
		return t.admits(scope)
	}
	return fmt.Errorf("consumers: %s: scope %q: this consumer is for %q, choose by routing.Protocols: %w",
		t.name, scope.Type(), t.protocol, errors.ErrUnsupported)
}

// maxKinds bounds what a table remembers to have logged: message types come from whoever shares the broker.
const maxKinds = 1000

// firstOf reports whether what is to be logged is the first of its kind for this table.
func (t *table) firstOf(kind string) bool {
	if t.kinds.Load() >= maxKinds {
		return false
	}
	_, known := t.logged.LoadOrStore(kind, true)
	if !known {
		t.kinds.Add(1)
	}
	return !known
}
