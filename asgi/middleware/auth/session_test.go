package auth_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/middleware"
	"github.com/tideway-go/tideway/asgi/middleware/auth"
	"github.com/tideway-go/tideway/asgi/middleware/sessions"
	"github.com/tideway-go/tideway/layers/memlayer"
	"github.com/tideway-go/tideway/testing/asgitest"
)

// Cases 153 to 155: login, another login, logout.
func TestLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newManager(), newAccounts(), memlayer.New(nil), nil)
		b := &browser{process: p}
		b.expect("GET", "/me", "nobody")
		b.expect("POST", "/logout", "nobody") // case 155: nobody is logged in, nobody is told
		b.expect("POST", "/login/ann", "ann")
		first := b.cookie.Value
		b.expect("GET", "/me", "ann")
		b.expect("POST", "/login/bob", "bob") // case 154: the second replaces the first
		if b.cookie.Value == first {
			t.Error("A3: a login keeps the session's token")
		}
		b.expect("GET", "/me", "bob")
		(&browser{p, &http.Cookie{Name: "session", Value: first}}).expect("GET", "/me", "nobody")
		second := b.cookie
		b.expect("POST", "/logout", "nobody")
		if b.cookie != nil {
			t.Error("case 155: the cookie is still there after a logout")
		}
		(&browser{p, second}).expect("GET", "/me", "nobody")
		if want := []string{"in ann", "in bob", "out bob"}; !slices.Equal(p.heard, want) {
			t.Errorf("cases 153 and 155: the site heard %q, want %q", p.heard, want)
		}
	})
}

// A session that somebody has planted in a browser is not the one that its user logs in with; what was in it stays.
func TestFixation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager()
		p := start(t, m, newAccounts(), nil, nil)
		ctx, err := m.Load(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		m.Put(ctx, "cart", "a book")
		planted, _, err := m.Commit(ctx)
		if err != nil {
			t.Fatal(err)
		}
		attacker := &browser{p, &http.Cookie{Name: "session", Value: planted}}
		victim := &browser{p, attacker.cookie}
		victim.expect("POST", "/login/ann", "ann")
		if victim.cookie.Value == planted {
			t.Error("A3: the planted token is the one of the login")
		}
		attacker.expect("GET", "/me", "nobody")
		after, err := m.Load(t.Context(), victim.cookie.Value)
		if err != nil || m.GetString(after, "cart") != "a book" {
			t.Errorf("the session holds %q (%v), want what was in it before", m.GetString(after, "cart"), err)
		}
		victim.expect("POST", "/login/bob", "bob")
		if after, _ = m.Load(t.Context(), victim.cookie.Value); m.GetString(after, "cart") != "" {
			t.Error("case 154: the second user has the first one's session data")
		}
	})
}

// Case 153: what login needs.
func TestLoginNeeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newManager(), newAccounts(), nil, nil)
		ctx := context.Background()
		if err := p.users.Login(ctx, &asgi.Scope{}, account{Name: "ann"}); err == nil || !strings.Contains(err.Error(), "Middleware") {
			t.Errorf("case 153: a scope without the middleware: %v", err)
		}
		if err := p.users.Logout(ctx, &asgi.Scope{}); err == nil {
			t.Error("a logout of a scope without the middleware is none")
		}
		tokens := auth.New(auth.Options[account]{ID: func(u account) string { return u.Name }, Token: p.data.token})
		if err := tokens.Login(ctx, &asgi.Scope{}, account{Name: "ann"}); err == nil || !strings.Contains(err.Error(), "Options.Session") {
			t.Errorf("case 153: login without sessions: %v", err)
		}
		var anonymous, late error
		site := asgitest.New(t, asgi.Wrap(asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, _ asgi.Receive, send asgi.Send) error {
			anonymous = p.users.Login(ctx, scope, account{})
			if err := send(ctx, asgi.HTTPResponseStart{Status: 200}); err != nil {
				return err
			}
			late = p.users.Login(ctx, scope, account{Name: "ann"})
			return send(ctx, asgi.HTTPResponseBody{})
		}), sessions.New(p.scs), p.users.Middleware))
		site.Request("POST", "/")
		if anonymous == nil || !strings.Contains(anonymous.Error(), "no id") {
			t.Errorf("case 153: no user anywhere: %v", anonymous)
		}
		if !errors.Is(late, middleware.ErrResponseBegun) {
			t.Errorf("after the start: %v", late)
		}
		e := asgitest.New(t, p.users.Middleware(p.stream())).Stream("GET", "/")
		if status, _ := e.Start(); status != 500 {
			t.Errorf("case 153: without sessions.New the status is %d, want 500", status)
		}
		if err := e.Wait(); err == nil || !strings.Contains(err.Error(), "sessions.New") {
			t.Errorf("case 153: without sessions.New the error is %v", err)
		}
	})
}

// Case 156: a hash that has changed flushes the session, and a user who is gone is nobody.
func TestHash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager()
		p := start(t, m, newAccounts(), nil, nil)
		b := &browser{process: p}
		b.expect("POST", "/login/ann", "ann")
		token := b.cookie.Value
		p.data.set(account{"ann", "2"})
		b.expect("GET", "/me", "nobody")
		if _, found, _ := m.Store.Find(token); found || b.cookie != nil {
			t.Error("case 156: the session of a changed user is still there")
		}
		b.expect("POST", "/login/bob", "bob")
		p.data.mu.Lock()
		delete(p.data.users, "bob")
		p.data.mu.Unlock()
		b.expect("GET", "/me", "nobody")
		p.data.fail(errDatabase)
		e := b.site().Stream("GET", "/me")
		if status, _ := e.Start(); status != 500 {
			t.Errorf("A1: a database that fails makes the status %d, want 500", status)
		}
		if err := e.Wait(); !errors.Is(err, errDatabase) {
			t.Errorf("A1: a database that fails is %v", err)
		}
	})
}

// A session of a site with its own login is readable, whatever kind of id it holds.
func TestForeignLogin(t *testing.T) {
	for name, id := range map[string]any{"string": "7", "int": 7, "int64": int64(7)} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newManager()
				p := start(t, m, newAccounts(), nil, func(o *auth.Options[account]) { o.Session.Key, o.Session.Hash = "userID", nil })
				ctx, err := m.Load(t.Context(), "")
				if err != nil {
					t.Fatal(err)
				}
				m.Put(ctx, "userID", id)
				token, _, err := m.Commit(ctx)
				if err != nil {
					t.Fatal(err)
				}
				b := &browser{p, &http.Cookie{Name: "session", Value: token}}
				b.expect("GET", "/me", "7")
				ws := b.site().Dial("/ws/private")
				asks(ws, "7")
				ws.Disconnect()
			})
		})
	}
}

// On a WebSocket a login works before the accept, and afterwards says what to do instead; a logout works.
func TestSocketLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager()
		p := start(t, m, newAccounts(), nil, nil)
		p.gate = nil
		ws := p.Dial("/ws")
		ws.SendText("login ann")
		if got := ws.ReceiveText(); !strings.Contains(got, middleware.ErrResponseBegun.Error()) {
			t.Errorf("login on an accepted socket says %q", got)
		}
		asks(ws, "nobody")
		ws.Disconnect()

		site := asgitest.New(t, asgi.Wrap(asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
			if err := p.users.Login(ctx, scope, account{"ann", "1"}); err != nil {
				return err
			}
			return p.socket().Serve(ctx, scope, receive, send)
		}), sessions.New(m), p.users.Middleware))
		ws = site.Dial("/")
		asks(ws, "ann")
		b := &browser{process: p}
		if cookies := (&http.Response{Header: ws.Header()}).Cookies(); len(cookies) == 1 {
			b.cookie = cookies[0]
		}
		b.expect("GET", "/me", "ann")
		other := b.site().Dial("/ws/private")
		ws.SendText("logout")
		ws.ExpectText("nobody")
		other.ExpectClose(4401, "logged out")
		b.expect("GET", "/me", "nobody")
		ws.Disconnect()
	})
}
