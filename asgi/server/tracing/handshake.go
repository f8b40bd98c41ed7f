package tracing

import (
	"context"
	"errors"
	"net/http"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/consumers"
)

// serveWebSocket serves a WebSocket within a span until the application has answered.
func (t *Tracing) serveWebSocket(ctx context.Context, app asgi.App, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) (err error) {
	o := t.open(ctx, scope, "websocket handshake")
	returned := false
	defer func() {
		switch {
		case !returned:
			o.end(http.StatusInternalServerError, errPanicked)
		case err == nil: // without an answer, if there is still a span
			o.end(http.StatusInternalServerError, nil)
		default:
			o.end(statusOf(err))
		}
	}()
	scope = consumers.WithObserver(scope, &observer{tracing: t, opening: o})
	err = app.Serve(o, scope, receive, func(ctx context.Context, ev asgi.Event) error {
		err := send(ctx, ev)
		if err == nil && o.isOpen() {
			o.sent(ev)
		}
		return err
	})
	returned = true
	return err
}

// errPanicked stands for the panic of an application, which goes on to the server.
var errPanicked = errors.New("the application panicked")

// sent looks for the answer to a handshake.
func (o *opening) sent(ev asgi.Event) {
	switch ev := ev.(type) {
	case asgi.WebSocketAccept:
		o.end(http.StatusSwitchingProtocols, nil)
	case asgi.WebSocketClose:
		o.end(http.StatusForbidden, nil)
	case asgi.WebSocketHTTPResponseStart:
		o.end(ev.Status, nil)
	}
}
