package tracing

import (
	"context"
	"errors"
	"strings"

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
	opts = append(opts, trace.WithTimestamp(call.Began), trace.WithSpanKind(kind), trace.WithAttributes(attributes(call)...))
	ctx, span := o.tracing.tracer.Start(ctx, spanName(call), opts...)
	return context.WithValue(ctx, spanKey{o.tracing}, span)
}

// place says what the span of a handler is a child of, or linked to, and whether there is to be one.
func (o *observer) place(ctx context.Context, call consumers.Call) (kind trace.SpanKind, opts []trace.SpanStartOption, ok bool) {
	if call.Kind == consumers.KindMessage {
		sender := trace.SpanContextFromContext(ctx)
		if !sender.IsRemote() {
			return 0, nil, false
		}
		if o.tracing.opts.LinkMessages {
			return trace.SpanKindConsumer, append(o.link(), trace.WithNewRoot(), linkTo(sender)), true
		}
		return trace.SpanKindConsumer, o.link(), true
	}
	if o.opening.isOpen() && (o.request || call.Kind == consumers.KindConnect) {
		return trace.SpanKindInternal, nil, true
	}
	return trace.SpanKindServer, append(o.link(), trace.WithNewRoot()), true
}

// link is one to what the connection began with.
func (o *observer) link() []trace.SpanStartOption {
	if o.opening == nil {
		return nil
	}
	return []trace.SpanStartOption{linkTo(o.opening.span)}
}

func linkTo(span trace.SpanContext) trace.SpanStartOption {
	return trace.WithLinks(trace.Link{SpanContext: span})
}

// spanName is "main.chat text", or "main.chat message chat.message".
func spanName(call consumers.Call) string {
	return strings.TrimSuffix(call.Consumer+" "+string(call.Kind)+" "+call.Type, " ")
}

func attributes(call consumers.Call) []attribute.KeyValue {
	list := []attribute.KeyValue{attribute.String("tideway.consumer", call.Consumer), attribute.String("tideway.kind", string(call.Kind))}
	if call.Type != "" {
		list = append(list, attribute.String("tideway.type", call.Type))
	}
	return list
}

// End implements consumers.Observer.
func (o *observer) End(ctx context.Context, call consumers.Call, result consumers.Result) {
	span, ok := ctx.Value(spanKey{o.tracing}).(trace.Span)
	if !ok {
		return
	}
	span.SetAttributes(attribute.String("tideway.outcome", string(result.Outcome)))
	switch result.Outcome {
	case consumers.OutcomeError, consumers.OutcomePanic, consumers.OutcomeInvalid:
		failed(span, result.Err)
	}
	span.End(trace.WithTimestamp(call.Began.Add(result.Took)))
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
