package tracing

import (
	"cmp"
	"context"
	"mime"
	"net/http"
	"slices"
	"sync/atomic"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/consumers"
)

// methods are those that a span is named by; clients may invent others.
var methods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
	http.MethodConnect, http.MethodOptions, http.MethodTrace}

// serveHTTP serves a request within a span.
func (t *Tracing) serveHTTP(ctx context.Context, app asgi.App, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) (err error) {
	name := scope.Method()
	if !slices.Contains(methods, name) {
		name = "_OTHER" // as OpenTelemetry's conventions have it
	}
	o := t.open(ctx, scope, name)
	var sent atomic.Int64 // the status
	returned := false
	defer func() {
		status, failure := http.StatusInternalServerError, error(nil)
		switch {
		case !returned:
			failure = errPanicked
		case err != nil:
			status, failure = statusOf(err)
		}
		o.end(cmp.Or(int(sent.Load()), status), failure)
	}()
	scope = consumers.WithObserver(scope, &observer{tracing: t, opening: o, request: true})
	err = app.Serve(o, scope, receive, func(ctx context.Context, ev asgi.Event) error {
		err := send(ctx, ev)
		if start, ok := ev.(asgi.HTTPResponseStart); ok && err == nil {
			sent.Store(int64(start.Status))
			if isEventStream(start.Header) { // it may last for days
				o.end(start.Status, nil)
			}
		}
		return err
	})
	returned = true
	return err
}

func isEventStream(header http.Header) bool {
	media, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	return err == nil && media == "text/event-stream"
}
