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
	"github.com/tideway-go/tideway/consumers"
)

// begin starts the span of a handshake or a request.
func (t *Tracing) begin(ctx context.Context, scope *asgi.Scope, name string) (context.Context, trace.Span) {
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
	return t.tracer.Start(ctx, name, opts...)
}

// A handshake is the ctx of a WebSocket's application. It holds the span as long as that lasts; then nothing keeps the span
// in memory, and no later work becomes its child.
type handshake struct {
	context.Context
	open atomic.Pointer[openHandshake] // nil after the answer
}

type openHandshake struct {
	within context.Context // with the span
	span   trace.Span
}

// Value looks into the ctx with the span while that lasts.
func (h *handshake) Value(key any) any {
	if o := h.open.Load(); o != nil {
		return o.within.Value(key)
	}
	return h.Context.Value(key)
}

// end ends the span, if it has not ended, with the status of the answer. A nil err is an answer on purpose.
func (h *handshake) end(status int, err error) {
	if o := h.open.Swap(nil); o != nil {
		answered(o.span, status, err)
		o.span.End()
	}
}

// answered notes the answer in a span.
func answered(span trace.Span, status int, err error) {
	if status != 0 {
		span.SetAttributes(attribute.Int("http.response.status_code", status))
	}
	switch {
	case err != nil:
		failed(span, err)
	case status >= http.StatusInternalServerError:
		span.SetStatus(codes.Error, http.StatusText(status))
	}
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
	return http.StatusInternalServerError, err
}

// serveWebSocket serves a WebSocket within a span until the application has answered.
func (t *Tracing) serveWebSocket(ctx context.Context, app asgi.App, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) (err error) {
	within, span := t.begin(ctx, scope, "websocket handshake")
	later := ctx
	if trace.SpanContextFromContext(ctx).IsValid() { // of net/http middleware: it ends with the handshake, too
		later = trace.ContextWithSpan(ctx, trace.SpanFromContext(context.Background()))
	}
	h := &handshake{Context: later}
	h.open.Store(&openHandshake{within, span})
	returned := false
	defer func() {
		switch {
		case !returned:
			h.end(http.StatusInternalServerError, errPanicked)
		case err == nil: // without an answer, if there is still a span
			h.end(http.StatusInternalServerError, nil)
		default:
			h.end(statusOf(err))
		}
	}()
	scope = consumers.WithObserver(scope, &observer{tracing: t, began: span.SpanContext()})
	err = app.Serve(h, scope, receive, func(ctx context.Context, ev asgi.Event) error {
		err := send(ctx, ev)
		if err == nil && h.open.Load() != nil {
			h.sent(ev)
		}
		return err
	})
	returned = true
	return err
}

// errPanicked stands for the panic of an application, which goes on to the server.
var errPanicked = errors.New("the application panicked")

// sent looks for the answer.
func (h *handshake) sent(ev asgi.Event) {
	switch ev := ev.(type) {
	case asgi.WebSocketAccept:
		h.end(http.StatusSwitchingProtocols, nil)
	case asgi.WebSocketClose:
		h.end(http.StatusForbidden, nil)
	case asgi.WebSocketHTTPResponseStart:
		h.end(ev.Status, nil)
	}
}
