package middleware_test

import (
	"context"
	"testing"

	"go.uber.org/goleak"

	"github.com/tideway-go/tideway/asgi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// page is an app that answers a request with "ok", and a WebSocket with an echo, once check has returned nil.
func page(check func(*asgi.Scope) error) asgi.App {
	return asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		if _, err := receive(ctx); err != nil {
			return err
		}
		if check != nil {
			if err := check(scope); err != nil {
				return err
			}
		}
		if scope.Type() == asgi.WebSocket {
			return echo(ctx, receive, send)
		}
		if err := send(ctx, asgi.HTTPResponseStart{Status: 200}); err != nil {
			return err
		}
		return send(ctx, asgi.HTTPResponseBody{Body: []byte("ok")})
	})
}

func echo(ctx context.Context, receive asgi.Receive, send asgi.Send) error {
	err := send(ctx, asgi.WebSocketAccept{})
	for err == nil {
		var event asgi.Event
		if event, err = receive(ctx); err != nil {
			return err
		}
		switch e := event.(type) {
		case asgi.WebSocketReceive:
			err = send(ctx, asgi.WebSocketSend{Frame: e.Frame})
		case asgi.WebSocketDisconnect:
			return nil
		}
	}
	return err
}
