package tracing

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/consumers"
)

// An observer makes spans of the handlers of one connection.
type observer struct {
	tracing *Tracing
	opening *opening // the handshake or the request; nil for a worker
	request bool
}

// Opened implements consumers.Observer.
func (o *observer) Opened(string, *consumers.Conn) {}

// Closed implements consumers.Observer.
func (o *observer) Closed(string, *consumers.Conn) {}

// spanKey is where the ctx of a handler has the span that End ends: others may have put theirs into it.
type spanKey struct{ of *Tracing }

// Begin implements consumers.Observer.
func (o *observer) Begin(ctx context.Context, call consumers.Call) context.Context {
	kind, opts, ok := o.place(ctx, call)
	if !ok {
		return ctx
	}
	d := o.tracing.handlers.get(call)
	ctx, span := o.tracing.tracer.Start(ctx, d.name, append(opts, d.attributes, kind)...)
	return context.WithValue(ctx, spanKey{o.tracing}, span)
}

// Options that are the same for all spans.
var (
	asConsumer = trace.WithSpanKind(trace.SpanKindConsumer)
	asInternal = trace.WithSpanKind(trace.SpanKindInternal)
	asServer   = trace.WithSpanKind(trace.SpanKindServer)
	newRoot    = trace.WithNewRoot()
)

// place says what the span of a handler is a child of, or linked to, and whether there is to be one.
func (o *observer) place(ctx context.Context, call consumers.Call) (kind trace.SpanStartOption, opts []trace.SpanStartOption, ok bool) {
	if call.Kind == consumers.KindMessage {
		sender := trace.SpanContextFromContext(ctx)
		if !sender.IsRemote() {
			return nil, nil, false
		}
		if o.tracing.opts.LinkMessages {
			return asConsumer, append(o.link(), newRoot, linkTo(sender)), true
		}
		return asConsumer, o.link(), true
	}
	if o.opening.isOpen() && (o.request || call.Kind == consumers.KindConnect) {
		return asInternal, nil, true
	}
	return asServer, append(o.link(), newRoot), true
}

// link is one to what the connection began with.
func (o *observer) link() []trace.SpanStartOption {
	opts := make([]trace.SpanStartOption, 0, 5)
	if o.opening == nil {
		return opts
	}
	return append(opts, linkTo(o.opening.span))
}

func linkTo(span trace.SpanContext) trace.SpanStartOption {
	return trace.WithLinks(trace.Link{SpanContext: span})
}

// End implements consumers.Observer.
func (o *observer) End(ctx context.Context, _ consumers.Call, result consumers.Result) {
	span, ok := ctx.Value(spanKey{o.tracing}).(trace.Span)
	if !ok {
		return
	}
	span.SetAttributes(attribute.String("tideway.outcome", string(result.Outcome)))
	switch result.Outcome {
	case consumers.OutcomeError, consumers.OutcomePanic, consumers.OutcomeInvalid:
		failed(span, result.Err)
	}
	span.End()
}

// failed notes an error in a span.
func failed(span trace.Span, err error) {
	var opts []trace.EventOption
	var broken *asgi.PanicError
	if errors.As(err, &broken) {
		opts = append(opts, trace.WithAttributes(attribute.String("exception.stacktrace", string(broken.Stack))))
	}
	span.RecordError(err, opts...)
	span.SetStatus(codes.Error, err.Error())
}
