package layers

import (
	"context"
	"errors"

	"github.com/tideway-go/tideway/layers/driver"
	"github.com/tideway-go/tideway/layers/internal/payload"
)

// A Propagator lets traces cross a layer: package asgi/server/tracing has one for OpenTelemetry. What Inject returns travels
// in each message under the key "__trace__", beside the "type", and is taken off before anything decodes the payload. A
// process without a Propagator takes it off too. Consumers of Django Channels see one more key in their event.
//
// Both methods are called by many goroutines at once.
type Propagator interface {
	// Inject returns the trace context of ctx as text, at most 1,024 bytes: a W3C traceparent, then a space and the
	// tracestate if there is one. Empty: nothing is to be carried, such as for a trace that is not sampled.
	Inject(ctx context.Context) string

	// Extract returns a ctx that holds the trace context which a message carries. The text comes from whoever shares the
	// broker; for one that makes no sense it returns ctx.
	Extract(ctx context.Context, trace string) context.Context
}

// TraceContext returns ctx with the trace context of the sender of m, if m carries one and the layer has a Propagator. Handlers
// of consumers get theirs from an observer; this is for code that takes messages by [Layer.Receive] or [Layer.Take].
func (l *Layer) TraceContext(ctx context.Context, m Message) context.Context {
	if l == nil || l.opts.Propagator == nil || m.m == nil {
		return ctx
	}
	trace := m.m.Trace()
	if trace == "" {
		return ctx
	}
	return l.opts.Propagator.Extract(ctx, trace)
}

// trace hands a message to the driver's send with the trace context of ctx, and without that of an earlier sending. A trace
// must not make a message too large.
func (l *Layer) trace(ctx context.Context, m Message, send func(*driver.Message) error) error {
	out := l.traced(ctx, m)
	err := send(l.arrive(out))
	if err != nil && out.Trace() != "" && errors.Is(err, driver.ErrTooLarge) {
		err = send(l.arrive(driver.NewMessage(m.Type(), m.m.Bare())))
	}
	return err
}

// traced returns m with the trace context of ctx instead of its own.
func (l *Layer) traced(ctx context.Context, m Message) *driver.Message {
	bare, trace := m.m.Bare(), ""
	if l.opts.Propagator != nil {
		trace = l.opts.Propagator.Inject(ctx)
	}
	if trace != "" {
		data := payload.WithTrace(bare, trace)
		if len(data) <= l.opts.MaxMessageSize {
			return driver.NewTracedMessage(m.Type(), data, bare, trace)
		}
	}
	if m.m.Trace() == "" {
		return m.m
	}
	return driver.NewMessage(m.Type(), bare)
}

// cutTrace makes a message of what came from the wire with a trace context in it.
func cutTrace(typ string, data []byte) *driver.Message {
	bare, trace := payload.CutTrace(data)
	return driver.NewTracedMessage(typ, data, bare, trace)
}
