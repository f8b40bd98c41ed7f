package tracing

import (
	"cmp"
	"context"
	"mime"
	"net/http"
	"slices"
	"sync/atomic"

	"go.opentelemetry.io/otel/trace"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/consumers"
)

// methods are those that a span is named by; clients may invent others.
var methods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
	http.MethodConnect, http.MethodOptions, http.MethodTrace}

// A request is an HTTP request while its span lasts.
type request struct {
	span   trace.Span
	status atomic.Int64
	ended  atomic.Bool
}

// serveHTTP serves a request within a span.
func (t *Tracing) serveHTTP(ctx context.Context, app asgi.App, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) (err error) {
	name := scope.Method()
	if !slices.Contains(methods, name) {
		name = "_OTHER" // as OpenTelemetry's conventions have it
	}
	ctx, span := t.begin(ctx, scope, name)
	r := &request{span: span}
	returned := false
	defer func() {
		status, failure := http.StatusInternalServerError, error(nil)
		switch {
		case !returned:
			failure = errPanicked
		case err != nil:
			status, failure = statusOf(err)
		}
		r.end(cmp.Or(int(r.status.Load()), status), failure)
	}()
	scope = consumers.WithObserver(scope, &observer{tracing: t, began: span.SpanContext(), request: true})
	err = app.Serve(ctx, scope, receive, func(ctx context.Context, ev asgi.Event) error {
		err := send(ctx, ev)
		if start, ok := ev.(asgi.HTTPResponseStart); ok && err == nil {
			r.started(start)
		}
		return err
	})
	returned = true
	return err
}

// started notes the status. An event stream may last for days, so its span ends here.
func (r *request) started(ev asgi.HTTPResponseStart) {
	r.status.Store(int64(ev.Status))
	if media, _, err := mime.ParseMediaType(ev.Header.Get("Content-Type")); err == nil && media == "text/event-stream" {
		r.end(ev.Status, nil)
	}
}

func (r *request) end(status int, err error) {
	if !r.ended.Swap(true) {
		answered(r.span, status, err)
		r.span.End()
	}
}
