package tracing

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/tideway-go/tideway/asgi"
)

// An opening is the ctx of an application. It holds the span of a handshake or a request as long as that lasts; then nothing
// keeps the span in memory, and no later work becomes its child.
type opening struct {
	context.Context
	span trace.SpanContext
	open atomic.Pointer[openSpan] // nil after the end
}

type openSpan struct {
	within context.Context // with the span
	span   trace.Span
}

// open starts the span of a handshake or a request.
func (t *Tracing) open(ctx context.Context, scope *asgi.Scope, name string) *opening {
	opts := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
		attribute.String("url.scheme", scope.Scheme()),
		attribute.String("url.path", scope.Path()),
		attribute.String("server.address", scope.Host()),
		attribute.String("client.address", scope.Client()),
		attribute.String("network.protocol.version", scope.HTTPVersion()),
	)}
	if scope.Type() == asgi.HTTP {
		opts = append(opts, trace.WithAttributes(attribute.String("http.request.method", name)))
	}
	if !trace.SpanContextFromContext(ctx).IsValid() { // else net/http middleware has dealt with the header
		client := trace.SpanContextFromContext(wire.Extract(context.Background(), propagation.HeaderCarrier(scope.Header())))
		switch {
		case !client.IsValid():
		case t.opts.TrustClients:
			ctx = trace.ContextWithRemoteSpanContext(ctx, client)
		default:
			opts = append(opts, linkTo(client))
		}
	}
	within, span := t.tracer.Start(ctx, name, opts...)
	o := &opening{Context: ctx, span: span.SpanContext()}
	if trace.SpanContextFromContext(ctx).IsValid() { // that of the middleware ends with this one
		o.Context = trace.ContextWithSpan(ctx, trace.SpanFromContext(context.Background()))
	}
	o.open.Store(&openSpan{within, span})
	return o
}

// Value looks into the ctx with the span while that lasts.
func (o *opening) Value(key any) any {
	if s := o.open.Load(); s != nil {
		return s.within.Value(key)
	}
	return o.Context.Value(key)
}

// isOpen reports whether there is a span that lasts.
func (o *opening) isOpen() bool { return o != nil && o.open.Load() != nil }

// end ends the span, if it has not ended, with the status of the answer; 0 is none. A nil err is an answer on purpose.
func (o *opening) end(status int, err error) {
	s := o.open.Swap(nil)
	if s == nil {
		return
	}
	if status != 0 {
		s.span.SetAttributes(attribute.Int("http.response.status_code", status))
	}
	switch {
	case err != nil:
		failed(s.span, err)
	case status >= http.StatusInternalServerError:
		s.span.SetStatus(codes.Error, http.StatusText(status))
	}
	s.span.End()
}

// statusOf is the answer that an application's error makes, and the error if it is a failure.
func statusOf(err error) (status int, failure error) {
	var deny asgi.Deny
	var chosen asgi.CloseError
	switch {
	case errors.As(err, &deny):
		return cmp.Or(deny.Status, http.StatusForbidden), nil
	case errors.As(err, &chosen):
		return http.StatusForbidden, nil
	case errors.Is(err, asgi.ErrClosed), errors.Is(err, context.Canceled):
		return 0, nil
	}
	if status, ok := asgi.StatusOf(err); ok {
		return status, err
	}
	return http.StatusInternalServerError, err
}
