package auth

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/alexedwards/scs/v2"
	"github.com/alexedwards/scs/v2/memstore"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/middleware/sessions"
	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/memlayer"
	"github.com/tideway-go/tideway/testing/asgitest"
)

// However a connection ends, nothing of it stays in the registry, also where somebody logs in on it afterwards.
func TestNothingStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &scs.SessionManager{Lifetime: 1 << 40, Store: memstore.NewWithCleanupInterval(0), Codec: scs.GobCodec{}, Cookie: scs.SessionCookie{Name: "s", Path: "/"}}
		layer := memlayer.New(nil)
		a := New(Options[string]{
			ID: func(u string) string { return u },
			Token: func(_ context.Context, token string) (Identity[string], error) {
				return Identity[string]{User: token}, nil
			},
			Session: &Session[string]{Manager: m, Load: func(_ context.Context, id string) (string, error) { return id, nil }},
			Layer:   func(*asgi.Scope) *layers.Layer { return layer },
		})
		var scope *asgi.Scope
		var inside context.Context
		app := asgi.AppFunc(func(ctx context.Context, s *asgi.Scope, _ asgi.Receive, send asgi.Send) error {
			scope, inside = s, ctx
			switch s.Path() {
			case "/deny":
				return asgi.Deny{}
			case "/panic":
				panic(http.ErrAbortHandler)
			case "/login":
				for range 2 {
					if err := a.Login(ctx, s, "bob"); err != nil {
						return err
					}
				}
			}
			if s.Type() == asgi.WebSocket {
				return send(ctx, asgi.WebSocketAccept{})
			}
			if err := send(ctx, asgi.HTTPResponseStart{Status: 200}); err != nil {
				return err
			}
			return send(ctx, asgi.HTTPResponseBody{})
		})
		site := asgitest.New(t, asgi.Wrap(app, sessions.New(m), a.Middleware))
		site = site.With(&asgitest.Options{Header: http.Header{"Authorization": {"Bearer ann"}}})
		site.Request("GET", "/")
		site.Request("GET", "/deny")
		site.Request("POST", "/login")
		synctest.Wait()                   // the response comes before Serve returns
		_ = a.Login(inside, scope, "eve") // too late: the response has left
		c, _ := a.key.Get(scope)
		c.enter("eve", finding[string]{})
		ws := site.Dial("/login")
		ws.Wait()
		site.Refused("/deny")
		synctest.Wait()
		if n := len(a.registry.users); n > 0 {
			t.Errorf("A7: %d users stay in the registry: %v", n, a.registry.users)
		}
		if n := len(a.joins.layer); n != 1 {
			t.Errorf("there are %d channels for one layer", n)
		}
	})
}

// A server that knows no denial response gets a close.
func TestPlainServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := New(Options[string]{
			ID: func(u string) string { return u },
			Token: func(_ context.Context, token string) (Identity[string], error) {
				return Identity[string]{User: token}, nil
			},
			Layer: func(*asgi.Scope) *layers.Layer { return nil },
		})
		var accept error
		raw := asgitest.New(t, a.Require(asgi.AppFunc(func(ctx context.Context, _ *asgi.Scope, _ asgi.Receive, send asgi.Send) error {
			a.registry.revoked(notice{User: "ann"})
			accept = send(ctx, asgi.WebSocketAccept{})
			return accept
		}))).Raw(asgi.NewScope(asgi.Fields{Type: asgi.WebSocket, Header: http.Header{"Authorization": {"Bearer ann"}}}))
		raw.Expect(asgi.WebSocketClose{})
		if err := raw.Wait(); !errors.Is(err, asgi.ErrClosed) || !errors.Is(accept, asgi.ErrClosed) {
			t.Errorf("A5: the app hears %v", accept)
		}
	})
}

// A reason that no close frame can have does not keep a socket open.
func TestReason(t *testing.T) {
	for reason, want := range map[string]string{
		"": "logged out", "go": "go", "\xff": "logged out",
		strings.Repeat("x", 123): strings.Repeat("x", 123), strings.Repeat("x", 124): "logged out",
	} {
		if got := (notice{Reason: reason}).reason(); got != want {
			t.Errorf("reason %q becomes %q, want %q", reason, got, want)
		}
	}
	if err := Revoke(context.Background(), nil, Revocation{User: "ann", Reason: "\xff"}); err == nil || errors.Is(err, layers.ErrNoLayer) {
		t.Errorf("a reason that is no text: %v", err)
	}
}
