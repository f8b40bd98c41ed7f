package tracing

import (
	"maps"
	"strings"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/tideway-go/tideway/consumers"
)

// A description is what all spans of one handler have in common.
type description struct {
	name       string // "main.chat text", or "main.chat message chat.message"
	attributes trace.SpanStartOption
}

// A handlerKey is one handler of one consumer.
type handlerKey struct {
	consumer string
	kind     consumers.Kind
	typ      string
}

// descriptions are those of all handlers that have run: as many as there are in the program. They are read for each call
// without a lock, and replaced to add to them.
type descriptions struct {
	all    atomic.Pointer[map[handlerKey]*description]
	adding sync.Mutex
}

func (d *descriptions) get(call consumers.Call) *description {
	key := handlerKey{call.Consumer, call.Kind, call.Type}
	if all := d.all.Load(); all != nil && (*all)[key] != nil {
		return (*all)[key]
	}
	d.adding.Lock()
	defer d.adding.Unlock()
	added := make(map[handlerKey]*description)
	if old := d.all.Load(); old != nil {
		maps.Copy(added, *old)
	}
	if added[key] == nil {
		added[key] = describe(key)
		d.all.Store(&added)
	}
	return added[key]
}

func describe(key handlerKey) *description {
	attributes := []attribute.KeyValue{
		attribute.String("tideway.consumer", key.consumer),
		attribute.String("tideway.kind", string(key.kind)),
	}
	if key.typ != "" {
		attributes = append(attributes, attribute.String("tideway.type", key.typ))
	}
	return &description{
		name:       strings.TrimSuffix(key.consumer+" "+string(key.kind)+" "+key.typ, " "),
		attributes: trace.WithAttributes(attributes...),
	}
}
