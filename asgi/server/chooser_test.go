package server_test

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
)

// A router can be asked for the application behind it.
type router struct {
	asgi.App // HTTP and lifespan go this way
	choose   func(*asgi.Scope) (asgi.App, *asgi.Scope, error)
}

func (r router) Choose(scope *asgi.Scope) (asgi.App, *asgi.Scope, error) { return r.choose(scope) }

var markKey = asgi.NewKey[string]("mark")

// TestChooser demands that a chain of routers leads to the application with the scope that they made, and that a router that
// fails, in whichever way, fails that handshake alone.
func TestChooser(t *testing.T) {
	around := socket(func(context.Context, *asgi.Scope, asgi.Receive, asgi.Send) error {
		t.Error("the router's Serve was called")
		return nil
	})
	marks := socket(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		mark, _ := markKey.Get(scope)
		return send(ctx, asgi.WebSocketSend{Frame: asgi.TextFrame(mark)})
	})
	inner := router{around, func(scope *asgi.Scope) (asgi.App, *asgi.Scope, error) {
		mark, _ := markKey.Get(scope)
		return marks, markKey.With(scope, mark+"b"), nil
	}}
	s := variant{}.mount(t, router{around, func(scope *asgi.Scope) (asgi.App, *asgi.Scope, error) {
		switch scope.RawQuery() {
		case "error":
			return nil, nil, errors.New("no route")
		case "panic":
			panic("no route")
		case "goexit":
			runtime.Goexit()
		}
		return inner, markKey.With(scope, "a"), nil
	}}, server.Options{})
	for _, query := range []string{"error", "panic", "goexit"} {
		resp, err := s.peer().request(strings.Replace(handshake, "q=1", query, 1) + "\r\n")
		if err != nil || resp.StatusCode != http.StatusInternalServerError {
			t.Errorf("%s: %v, %v, want 500", query, resp, err)
		}
	}
	if err := s.open().expect(fin|text, "ab"); err != nil {
		t.Error(err)
	}
}
