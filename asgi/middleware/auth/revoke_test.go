package auth_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/middleware/auth"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/memlayer"
	"github.com/tideway-go/tideway/testing/asgitest"
)

// Case 158: a logout in one process closes the sockets and streams of that login in another, and no others.
func TestLogoutElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, data, bus := newManager(), newAccounts(), memlayer.NewBus(nil)
		one, two := start(t, m, data, bus.Layer(), nil), start(t, m, data, bus.Layer(), nil)
		tab, other, bob := &browser{process: one}, &browser{process: one}, &browser{process: one}
		tab.expect("POST", "/login/ann", "ann")
		other.expect("POST", "/login/ann", "ann")
		bob.expect("POST", "/login/bob", "bob")
		there := func(b *browser) *browser { return &browser{two, b.cookie} }
		here, far := tab.site().Dial("/ws"), there(tab).site().Dial("/ws/private")
		stream := there(tab).site().Stream("GET", "/stream")
		stream.ExpectChunk("data: ann\n\n")
		second, stranger, nobody := there(other).site().Dial("/ws"), there(bob).site().Dial("/ws"), two.Dial("/ws")

		tab.expect("POST", "/logout", "nobody")
		for name, ws := range map[string]*asgitest.WebSocket{"the same process": here, "another process": far} {
			if got := ws.ReceiveClose(); got != (asgi.CloseError{Code: 4401, Reason: "logged out"}) {
				t.Errorf("A5: in %s the socket closes with %v", name, got)
			}
			ws.Wait()
		}
		if _, err := stream.Next(t.Context()); err == nil || errors.Is(err, asgi.ErrClosed) {
			t.Errorf("A5: the stream ends with %v, want a cut", err)
		}
		if err := stream.Wait(); err != nil && !errors.Is(err, http.ErrAbortHandler) {
			t.Errorf("the stream's app failed: %v", err)
		}
		for ws, want := range map[*asgitest.WebSocket]string{second: "ann", stranger: "bob", nobody: "nobody"} {
			asks(ws, want)
			ws.Disconnect()
		}
	})
}

// Revoke closes all of a user's, or one, or all but one, from anywhere.
func TestRevoke(t *testing.T) {
	for _, c := range []struct {
		name   string
		r      auth.Revocation
		closed string // tokens of ann's that close
		reason string
	}{
		{"all", auth.Revocation{User: "ann"}, "ann ann-9 ann-99", "logged out"},
		{"one", auth.Revocation{User: "ann", Session: "ann-9", Reason: "device removed"}, "ann-9", "device removed"},
		{"all but one", auth.Revocation{User: "ann", Except: "ann-9"}, "ann ann-99", "logged out"},
		{"a stranger", auth.Revocation{User: "eve"}, "", ""},
		{"another realm", auth.Revocation{User: "ann", Realm: "staff"}, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				bus := memlayer.NewBus(nil)
				p := start(t, newManager(), newAccounts(), bus.Layer(), nil)
				sockets := map[string]*asgitest.WebSocket{}
				for _, token := range []string{"ann", "ann-9", "ann-99"} {
					sockets[token] = p.as(token).Dial("/ws")
				}
				bob := p.as("bob").Dial("/ws")
				if err := auth.Revoke(t.Context(), bus.Layer(), c.r); err != nil {
					t.Fatal(err)
				}
				for token, ws := range sockets {
					if !strings.Contains(" "+c.closed+" ", " "+token+" ") {
						asks(ws, "ann")
						ws.Disconnect()
						continue
					}
					if got := ws.ReceiveClose(); got != (asgi.CloseError{Code: 4401, Reason: c.reason}) {
						t.Errorf("A5: %s closes with %v", token, got)
					}
					ws.Wait()
				}
				asks(bob, "bob")
				bob.Disconnect()
			})
		})
	}
}

// A message of any process does what Revoke does.
func TestRevokeOnTheWire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newManager(), newAccounts(), memlayer.New(nil), nil)
		ws, bob := p.as("ann").Dial("/ws"), p.as("bob").Dial("/ws")
		const revoked layers.Type[map[string]any] = "auth.revoked"
		for _, payload := range []map[string]any{{"user": 7}, {}, {"user": "ann", "reason": "from Python", "more": true}} {
			if err := p.Layer().GroupSend(t.Context(), "auth.revoked.auth", revoked.With(payload)); err != nil {
				t.Fatal(err)
			}
		}
		ws.ExpectClose(4401, "from Python")
		ws.Wait()
		asks(bob, "bob")
		bob.Disconnect()
	})
}

func TestRevokeMistakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		layer := memlayer.New(nil)
		for want, err := range map[string]error{
			"User is empty":   auth.Revoke(t.Context(), layer, auth.Revocation{}),
			"124 bytes":       auth.Revoke(t.Context(), layer, auth.Revocation{User: "ann", Reason: strings.Repeat("x", 124)}),
			"layers.Register": auth.Revoke(t.Context(), nil, auth.Revocation{User: "ann"}),
		} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v, want %q in it", err, want)
			}
		}
	})
}

// The app hears of the end as of any other, and its ctx ends.
func TestAppHears(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		layer := memlayer.New(nil)
		users := tokens(func(o *auth.Options[account]) {
			o.CloseCode = 1008
			o.Layer = func(*asgi.Scope) *layers.Layer { return layer }
		})
		ended := make(chan asgi.DisconnectError, 1)
		app := consumers.AsyncWebsocketConsumer[struct{}]{
			Disconnect: func(_ *struct{}, _ context.Context, _ *consumers.Conn, why asgi.DisconnectError) error {
				ended <- why
				return nil
			},
		}.App()
		site := asgitest.New(t, users.Require(app)).With(&asgitest.Options{Header: http.Header{"Authorization": {"Bearer ann"}}})
		ws := site.Dial("/")
		if err := auth.Revoke(t.Context(), layer, auth.Revocation{User: "ann", Reason: "go"}); err != nil {
			t.Fatal(err)
		}
		ws.ExpectClose(1008, "go")
		ws.Wait()
		if why := <-ended; why != (asgi.DisconnectError{Code: 1008, Reason: "go", By: asgi.ByApp}) {
			t.Errorf("the app hears %+v", why)
		}
	})
}

// A revocation that comes while a socket waits for its answer refuses it.
func TestRevokedBeforeTheAccept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newManager(), newAccounts(), memlayer.New(nil), nil)
		p.gate = func(*asgi.Scope) {
			if err := auth.Revoke(t.Context(), p.Layer(), auth.Revocation{User: "ann"}); err != nil {
				t.Error(err)
			}
		}
		refusal := p.as("ann").Refused("/ws")
		if refusal.Status != 401 || refusal.Header.Get("Www-Authenticate") == "" {
			t.Errorf("A5: a socket that was revoked before the accept gets %v", refusal)
		}
	})
}

// One that comes while the accept is on its way closes at once.
func TestRevokedDuringTheAccept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		layer := memlayer.New(nil)
		users := tokens(func(o *auth.Options[account]) { o.Layer = func(*asgi.Scope) *layers.Layer { return layer } })
		inner := users.Require(consumers.AsyncWebsocketConsumer[struct{}]{}.App())
		site := asgitest.New(t, asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
			return inner.Serve(ctx, scope, receive, func(ctx context.Context, event asgi.Event) error {
				if _, ok := event.(asgi.WebSocketAccept); ok {
					if err := auth.Revoke(t.Context(), layer, auth.Revocation{User: "ann"}); err != nil {
						t.Error(err)
					}
				}
				return send(ctx, event)
			})
		}))
		ws := site.DialWith("/", &asgitest.Options{Header: http.Header{"Authorization": {"Bearer ann"}}})
		if got := ws.ReceiveClose(); got.Code != 4401 {
			t.Errorf("A5: a socket that was revoked during the accept closes with %v", got)
		}
		ws.Wait()
	})
}

// A logout between the reading of the session and the registration of the connection is found, in this process and in
// another, with the first connection of a process and with a later one.
func TestRevokedWhileFound(t *testing.T) {
	for _, first := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			m, data, bus := newManager(), newAccounts(), memlayer.NewBus(nil)
			one, two := start(t, m, data, bus.Layer(), nil), start(t, m, data, bus.Layer(), nil)
			b := &browser{process: one}
			b.expect("POST", "/login/ann", "ann")
			if !first {
				two.as("bob").Dial("/ws").Disconnect()
				<-time.After(time.Second)
			}
			cookie := b.cookie
			two.data.gate(func() { b.expect("POST", "/logout", "nobody") })
			refusal := (&browser{two, cookie}).site().Refused("/ws")
			if refusal.Status != 401 {
				t.Errorf("A5: a session that was deleted while its user was loaded gets %v", refusal)
			}
		})
	}
}

// gate has the next Load, which has read the session, wait for work.
func (d *accounts) gate(work func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.next = work
}

// A request that revokes its own user may finish; another that has not answered gets 401.
func TestOwnRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newManager(), newAccounts(), memlayer.New(nil), nil)
		ann := p.as("ann")
		stream := ann.Stream("GET", "/stream")
		stream.ExpectChunk("data: ann\n\n")
		if r := ann.Request("POST", "/revoke/ann"); r.Status != 200 || string(r.Body) != "ann" {
			t.Errorf("the request that revokes gets %d %q", r.Status, r.Body)
		}
		if _, err := stream.Next(t.Context()); err == nil {
			t.Error("A5: the stream goes on")
		}
		_ = stream.Wait()
	})
	synctest.Test(t, func(t *testing.T) {
		layer := memlayer.New(nil)
		users := tokens(func(o *auth.Options[account]) { o.Layer = func(*asgi.Scope) *layers.Layer { return layer } })
		site := asgitest.New(t, users.Require(asgi.FromHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			<-r.Context().Done() // a long poll
			var why asgi.DisconnectError
			if err := context.Cause(r.Context()); !errors.As(err, &why) || why.Reason != "logged out" {
				t.Errorf("the ctx ends with %v", err)
			}
		}))))
		e := site.With(&asgitest.Options{Header: http.Header{"Authorization": {"Bearer ann"}}}).Stream("GET", "/")
		synctest.Wait()
		if err := auth.Revoke(t.Context(), layer, auth.Revocation{User: "ann"}); err != nil {
			t.Fatal(err)
		}
		if r := e.Response(); r.Status != 401 {
			t.Errorf("A5: a request without a response yet gets %d", r.Status)
		}
	})
}

// A layer that is closed or cut costs nobody a connection.
func TestLayerFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		layer := memlayer.New(nil)
		p := start(t, newManager(), newAccounts(), nil, func(o *auth.Options[account]) {
			o.Layer = func(*asgi.Scope) *layers.Layer { return layer }
		})
		if err := layer.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		b := &browser{process: p}
		b.expect("POST", "/login/ann", "ann")
		ws := b.site().Dial("/ws/private")
		asks(ws, "ann")
		ws.Disconnect()
		if r := b.do("POST", "/logout"); !strings.Contains(string(r.Body), "the session is deleted") {
			t.Errorf("a logout that reaches nobody says %q", r.Body)
		}
		b.expect("GET", "/me", "nobody")
	})
}
