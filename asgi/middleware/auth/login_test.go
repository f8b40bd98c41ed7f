package auth_test

import (
	"context"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/middleware/sessions"
	"github.com/tideway-go/tideway/layers/memlayer"
	"github.com/tideway-go/tideway/testing/asgitest"
)

// page is another process of p's site, of one page, which does one thing with the session and says who is there.
func (p *process) page(do func(ctx context.Context, scope *asgi.Scope) error) *process {
	site := asgitest.New(p.t, asgi.Wrap(asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, _ asgi.Receive, send asgi.Send) error {
		if err := do(ctx, scope); err != nil {
			return err
		}
		if err := send(ctx, asgi.HTTPResponseStart{Status: 200}); err != nil {
			return err
		}
		return send(ctx, asgi.HTTPResponseBody{Body: []byte(p.name(scope))})
	}), sessions.New(p.scs), p.users.Middleware))
	return &process{Site: site, t: p.t, users: p.users, scs: p.scs, data: p.data}
}

// Case 154: the session of a user whose hash is another one now is emptied by a login of the same user; with the same hash it
// stays.
func TestLoginAgain(t *testing.T) {
	for hash, want := range map[string]string{"1": "a book", "2": ""} {
		synctest.Test(t, func(t *testing.T) {
			m := newManager()
			p := start(t, m, newAccounts(), nil, nil)
			b := &browser{process: p}
			b.expect("POST", "/login/ann", "ann")
			again := &browser{p.page(func(ctx context.Context, scope *asgi.Scope) error {
				m.Put(ctx, "cart", "a book")
				return p.users.Login(ctx, scope, account{"ann", hash}) // changed since the middleware has looked
			}), b.cookie}
			again.expect("POST", "/", "ann")
			after, err := m.Load(t.Context(), again.cookie.Value)
			if err != nil || m.GetString(after, "cart") != want || m.GetString(after, "auth.user") != "ann" {
				t.Errorf("case 154: after a login with the hash %q the session holds %q (%v), want %q", hash, m.GetString(after, "cart"), err, want)
			}
		})
	}
}

// A login keeps its name when the session gets a new token, as it must at a change of rights: a logout closes what was opened before.
func TestLoginOutlivesTheToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager()
		p := start(t, m, newAccounts(), memlayer.New(nil), nil)
		b := &browser{process: p}
		b.expect("POST", "/login/ann", "ann")
		ws := b.site().Dial("/ws")
		renewed := &browser{p.page(func(ctx context.Context, _ *asgi.Scope) error { return sessions.Renew(ctx, m) }), b.cookie}
		renewed.expect("POST", "/", "ann")
		if renewed.cookie.Value == b.cookie.Value {
			t.Fatal("the session kept its token")
		}
		(&browser{p, renewed.cookie}).expect("POST", "/logout", "nobody")
		ws.ExpectClose(4401, "logged out")
		ws.Wait()
	})
}

// The digest in a session is of one user: with the id of another in its place the session is nobody's, though both have the same
// hash, such as that of no password.
func TestHashOfAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager()
		p := start(t, m, newAccounts(), nil, nil)
		b := &browser{process: p}
		b.expect("POST", "/login/ann", "ann")
		ctx, err := m.Load(t.Context(), b.cookie.Value)
		if err != nil {
			t.Fatal(err)
		}
		m.Put(ctx, "auth.user", "bob")
		if _, _, err := m.Commit(ctx); err != nil {
			t.Fatal(err)
		}
		b.expect("GET", "/me", "nobody")
	})
}

// OnLogout hears of the user whose session has ended. One who is known by a token has not logged out.
func TestLogoutBesideAToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newManager(), newAccounts(), memlayer.New(nil), nil)
		b := &browser{process: p}
		b.expect("POST", "/login/bob", "bob")
		cookie := b.cookie
		r := p.With(&asgitest.Options{Cookies: []*http.Cookie{cookie}, Header: http.Header{"Authorization": {"Bearer ann"}}}).Request("POST", "/logout")
		if r.Status != 200 {
			t.Fatalf("the logout gets %d %q", r.Status, r.Body)
		}
		if want := []string{"in bob"}; !slices.Equal(p.heard, want) {
			t.Errorf("the site heard %q, want %q: ann has no session that could have ended", p.heard, want)
		}
		(&browser{p, cookie}).expect("GET", "/me", "nobody")
	})
}
