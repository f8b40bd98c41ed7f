package sessions_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alexedwards/scs/v2"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/middleware"
	"github.com/tideway-go/tideway/asgi/middleware/sessions"
	"github.com/tideway-go/tideway/testing/asgitest"
)

// Cases 149 and 152: what a response does to the session and its cookie.
func TestResponse(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		idle   time.Duration
		anon   bool // no session before
		change func(m *scs.SessionManager, ctx context.Context) error
		cookie string // "", "same", "new", "deleted"
		value  string // of "k" in the store afterwards
	}{
		{name: "case 149: modified, of a newcomer", status: 200, anon: true, change: put, cookie: "new", value: "v"},
		{name: "modified", status: 200, change: put, cookie: "same", value: "v"},
		{name: "modified, and a failure that is no 500", status: 503, change: put, cookie: "same", value: "v"},
		{name: "case 152: status 500 saves nothing", status: 500, change: put, value: "old"},
		{name: "case 152: unmodified", status: 200, change: nothing, value: "old"},
		{name: "unmodified, of a newcomer", status: 200, anon: true, change: nothing},
		{name: "case 152: save every request", status: 200, idle: time.Hour, change: nothing, cookie: "same", value: "old"},
		{name: "case 152: empty", status: 200, change: (*scs.SessionManager).Clear, cookie: "deleted"},
		{name: "empty, of a newcomer", status: 200, anon: true, change: putAndRemove},
		{name: "destroyed", status: 200, change: (*scs.SessionManager).Destroy, cookie: "deleted"},
		{name: "destroyed and begun anew", status: 200, change: startOver, cookie: "new", value: "v"},
		{name: "renewed", status: 200, change: (*scs.SessionManager).RenewToken, cookie: "new", value: "old"},
		{name: "saved by hand", status: 200, change: putAndSave, cookie: "same", value: "v"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newManager()
				m.IdleTimeout = c.idle
				token := ""
				app := asgi.Wrap(handle(c.status, func(ctx context.Context) error { return c.change(m, ctx) }), sessions.New(m))
				site := asgitest.New(t, app)
				if !c.anon {
					token = stored(t, m, "k", "old")
					site = with(site, m, token)
				}
				r := site.Request("GET", "/")
				if got := r.Header["Vary"]; len(got) != 1 || got[0] != "Cookie" {
					t.Errorf("Vary is %q, want Cookie: the response depends on it", got)
				}
				now := token
				if c.cookie == "" {
					if got := r.Header["Set-Cookie"]; got != nil {
						t.Errorf("SE3: nothing was saved, and a cookie is set: %q", got)
					}
				} else {
					cookie := oneCookie(t, r.Header)
					now = cookie.Value
					if deleted := cookie.MaxAge < 0; deleted != (c.cookie == "deleted") || (now == token) != (c.cookie == "same") {
						t.Errorf("the cookie is %q, want the %s one", cookie, c.cookie)
					}
				}
				got, found := read(t, m, now, "k")
				if got != c.value || found != (c.value != "") {
					t.Errorf("the store has %q (found: %t), want %q", got, found, c.value)
				}
				if now != token {
					if _, found := read(t, m, token, "k"); found {
						t.Error("SE1: the old token is still good")
					}
				}
			})
		})
	}
}

func put(m *scs.SessionManager, ctx context.Context) error { m.Put(ctx, "k", "v"); return nil }
func nothing(*scs.SessionManager, context.Context) error   { return nil }
func putAndSave(m *scs.SessionManager, ctx context.Context) error {
	m.Put(ctx, "k", "v")
	return sessions.Save(ctx, m)
}

func putAndRemove(m *scs.SessionManager, ctx context.Context) error {
	m.Put(ctx, "k", "v")
	m.Remove(ctx, "k")
	return nil
}

func startOver(m *scs.SessionManager, ctx context.Context) error {
	if err := m.Destroy(ctx); err != nil {
		return err
	}
	m.Put(ctx, "k", "v")
	return nil
}

// Case 149: the attributes of the cookie, those of the manager.
func TestCookie(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager()
		site := asgitest.New(t, asgi.Wrap(handle(200, func(ctx context.Context) error { return put(m, ctx) }), sessions.New(m)))
		line := site.Request("GET", "/").Header.Get("Set-Cookie")
		for _, want := range []string{"sessionid=", "; Path=/", "; Expires=", "; Max-Age=86401", "; HttpOnly", "; SameSite=Lax"} {
			if !strings.Contains(line, want) {
				t.Errorf("the cookie is %q, want it to have %q", line, want)
			}
		}
		m.Cookie.SameSite, m.Cookie.Secure, m.Cookie.Domain, m.Cookie.Path, m.Cookie.Persist = http.SameSiteStrictMode, true, "example.org", "/app", false
		line = site.Request("GET", "/").Header.Get("Set-Cookie")
		for _, want := range []string{"; Path=/app", "; Domain=example.org", "; Secure", "; SameSite=Strict"} {
			if !strings.Contains(line, want) {
				t.Errorf("the cookie is %q, want it to have %q", line, want)
			}
		}
		if strings.Contains(line, "Max-Age") {
			t.Errorf("the cookie is %q, and it is to end with the browser", line)
		}
	})
}

// Case 149: a SameSite that there is not is an error, as is a cookie that nobody would take.
func TestMistakes(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*scs.SessionCookie)
		want  string
	}{
		"case 149: SameSite": {func(c *scs.SessionCookie) { c.SameSite = 9 }, "SameSite is 9"},
		"None alone":         {func(c *scs.SessionCookie) { c.SameSite = http.SameSiteNoneMode }, "set Cookie.Secure"},
		"name":               {func(c *scs.SessionCookie) { c.Name = "a b" }, "invalid Cookie.Name"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newManager()
			c.spoil(&m.Cookie)
			defer func() {
				if text, _ := recover().(string); !strings.Contains(text, c.want) {
					t.Errorf("New panics with %q, want %q in it", text, c.want)
				}
			}()
			sessions.New(m)
		})
	}
	defer func() {
		if recover() == nil {
			t.Error("New takes no manager for one")
		}
	}()
	sessions.New(nil)
}

// Case 150: two requests that are answered out of order keep separate sessions, and their values are really stored.
func TestOutOfOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager()
		app := asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
			m.Put(ctx, "path", scope.Path())
			for { // the whole body first
				event, err := receive(ctx)
				if err != nil {
					return err
				}
				if part, ok := event.(asgi.HTTPRequest); ok && !part.MoreBody {
					break
				}
			}
			if err := send(ctx, asgi.HTTPResponseStart{Status: 200}); err != nil {
				return err
			}
			return send(ctx, asgi.HTTPResponseBody{})
		})
		site := asgitest.New(t, asgi.Wrap(app, sessions.New(m)))
		first, second := site.Upload("POST", "/first"), site.Upload("POST", "/second")
		second.EndBody()
		b := oneCookie(t, second.Response().Header)
		first.EndBody()
		a := oneCookie(t, first.Response().Header)
		for path, token := range map[string]string{"/first": a.Value, "/second": b.Value} {
			if got, _ := read(t, m, token, "path"); got != path {
				t.Errorf("SE4: the session of %s holds %q", path, got)
			}
		}
	})
}

// Case 151: a session that is deleted elsewhere before it is saved is an error, and is not brought back.
func TestDeletedElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager()
		token := stored(t, m, "k", "old")
		var app error
		site := with(asgitest.New(t, asgi.Wrap(asgi.AppFunc(func(ctx context.Context, _ *asgi.Scope, _ asgi.Receive, send asgi.Send) error {
			m.Put(ctx, "k", "v")
			if err := m.Store.Delete(token); err != nil {
				return err
			}
			app = send(ctx, asgi.HTTPResponseStart{Status: 200})
			return app
		}), sessions.New(m))), m, token)
		r := site.Request("GET", "/")
		if !errors.Is(app, sessions.ErrDeleted) {
			t.Errorf("SE2: the app's response starts with %v, want ErrDeleted", app)
		}
		if r.Status != http.StatusBadRequest || len(cookiesOf(r.Header)) > 0 {
			t.Errorf("the client gets %d and cookies %v, want 400 and none", r.Status, cookiesOf(r.Header))
		}
		if _, found := read(t, m, token, "k"); found {
			t.Error("SE2: the session was brought back")
		}
	})
}

// The same behind an http.Handler, which hears of it when it writes.
func TestDeletedUnderAHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager()
		token := stored(t, m, "k", "old")
		site := asgitest.New(t, sessions.New(m)(asgi.FromHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			m.Put(r.Context(), "k", "v")
			if err := m.Store.Delete(token); err != nil {
				t.Error(err)
			}
			w.WriteHeader(http.StatusOK)
		}))))
		if r := with(site, m, token).Request("GET", "/"); r.Status != http.StatusBadRequest || len(cookiesOf(r.Header)) > 0 {
			t.Errorf("SE2: the client gets %d and cookies %v, want 400 and none", r.Status, cookiesOf(r.Header))
		}
		if _, found := read(t, m, token, "k"); found {
			t.Error("SE2: the session was brought back")
		}
	})
}

// Two managers, each with its cookie, stand in one stack.
func TestTwoManagers(t *testing.T) {
	site, shop := scs.New(), scs.New()
	site.Store, shop.Store = newManager().Store, newManager().Store
	shop.Cookie.Name = "shop"
	app := asgi.Wrap(handle(200, func(ctx context.Context) error {
		site.Put(ctx, "k", "of the site")
		shop.Put(ctx, "k", "of the shop")
		return nil
	}), sessions.New(site), sessions.New(shop), sessions.New(site))
	got := map[string]string{}
	for _, c := range cookiesOf(asgitest.New(t, app).Request("GET", "/").Header) {
		got[c.Name] = c.Value
	}
	if len(got) != 2 {
		t.Fatalf("SE3: the cookies are %v, want one for each manager", got)
	}
	for name, m := range map[string]*scs.SessionManager{"session": site, "shop": shop} {
		want := map[string]string{"session": "of the site", "shop": "of the shop"}[name]
		if value, _ := read(t, m, got[name], "k"); value != want {
			t.Errorf("SE4: the session of %s holds %q, want %q", name, value, want)
		}
	}
}

// A token that the store does not know, which somebody may have planted, never becomes a session's.
func TestMadeUpToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager()
		site := asgitest.New(t, asgi.Wrap(handle(200, func(ctx context.Context) error { return put(m, ctx) }), sessions.New(m)))
		if got := oneCookie(t, with(site, m, "planted").Request("GET", "/").Header).Value; got == "planted" {
			t.Error("SE1: the session has the token that the client made up")
		}
		if _, found := read(t, m, "planted", "k"); found {
			t.Error("SE1: the store has a session under a token that the client made up")
		}
	})
}

// A refusal has the cookie too, also a redirect that is returned as one.
func TestDeny(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager()
		site := asgitest.New(t, asgi.Wrap(asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, _ asgi.Receive, _ asgi.Send) error {
			m.Put(ctx, "k", "v")
			if scope.Path() == "/broken" {
				return asgi.Deny{Status: 500}
			}
			return asgi.Deny{Status: 303, Header: http.Header{"Location": {"/in"}}}
		}), sessions.New(m)))
		r := site.Request("POST", "/login")
		if got, _ := read(t, m, oneCookie(t, r.Header).Value, "k"); got != "v" || r.Status != 303 || r.Header.Get("Location") != "/in" {
			t.Errorf("the redirect is %d to %q and the session has %q", r.Status, r.Header.Get("Location"), got)
		}
		if r := site.Request("POST", "/broken"); len(cookiesOf(r.Header)) > 0 {
			t.Errorf("status 500 sets %q", r.Header["Set-Cookie"])
		}
	})
}

// After the start only the token that the client has can be saved.
func TestAfterTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager()
		var late error
		app := asgi.AppFunc(func(ctx context.Context, _ *asgi.Scope, _ asgi.Receive, send asgi.Send) error {
			if err := send(ctx, asgi.HTTPResponseStart{Status: 200}); err != nil {
				return err
			}
			m.Put(ctx, "k", "v")
			late = sessions.Save(ctx, m)
			return send(ctx, asgi.HTTPResponseBody{})
		})
		site := asgitest.New(t, asgi.Wrap(app, sessions.New(m)))
		if site.Request("GET", "/"); !errors.Is(late, middleware.ErrResponseBegun) {
			t.Errorf("a newcomer's session is saved with %v, want ErrResponseBegun", late)
		}
		token := stored(t, m, "k", "old")
		with(site, m, token).Request("GET", "/")
		if got, _ := read(t, m, token, "k"); late != nil || got != "v" {
			t.Errorf("saved with %v, and the store has %q", late, got)
		}
	})
}

// What changes the token after the start cannot reach the client: a session that scs itself has renewed is not saved under a token
// that nobody has, and one that is destroyed needs no cookie, since what the client keeps is worth nothing.
func TestTokenAfterTheStart(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*scs.SessionManager, context.Context) error
		want   error
	}{
		"renewed by scs": {(*scs.SessionManager).RenewToken, middleware.ErrResponseBegun},
		"destroyed":      {(*scs.SessionManager).Destroy, nil},
		"emptied":        {(*scs.SessionManager).Clear, nil},
	} {
		synctest.Test(t, func(t *testing.T) {
			m := newManager()
			token := stored(t, m, "k", "old")
			var late error
			site := asgitest.New(t, sessions.New(m)(asgi.AppFunc(func(ctx context.Context, _ *asgi.Scope, _ asgi.Receive, send asgi.Send) error {
				if err := send(ctx, asgi.HTTPResponseStart{Status: 200}); err != nil {
					return err
				}
				if err := c.change(m, ctx); err != nil {
					t.Error(err)
				}
				late = sessions.Save(ctx, m)
				if now := m.Token(ctx); now != token && now != "" {
					if _, found := read(t, m, now, "k"); found {
						t.Errorf("%s: the store has a session that no client knows", name)
					}
				}
				return send(ctx, asgi.HTTPResponseBody{})
			})))
			r := with(site, m, token).Request("GET", "/")
			if !errors.Is(late, c.want) || len(cookiesOf(r.Header)) > 0 {
				t.Errorf("SE3: %s after the start: Save returns %v, want %v, and sets %v", name, late, c.want, cookiesOf(r.Header))
			}
			if _, found := read(t, m, token, "k"); found {
				t.Errorf("SE1: %s: the old token is still good", name)
			}
		})
	}
}

// A store that fails is a failure of the app: before it runs, and in its response.
func TestStoreFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager()
		token := stored(t, m, "k", "old")
		broken := errors.New("no store today")
		m.Store = failing{m.Store, broken}
		site := asgitest.New(t, asgi.Wrap(handle(200, func(ctx context.Context) error { return put(m, ctx) }), sessions.New(m)))
		for name, s := range map[string]*asgitest.Site{"load": with(site, m, token), "save": site} {
			e := s.Stream("GET", "/")
			if status, h := e.Start(); status != 500 || len(cookiesOf(h)) > 0 {
				t.Errorf("%s: status %d, headers %v", name, status, h)
			}
			if err := e.Wait(); !errors.Is(err, broken) {
				t.Errorf("%s: the app failed with %v", name, err)
			}
		}
	})
}

type failing struct {
	scs.Store
	err error
}

func (f failing) Find(string) ([]byte, bool, error)      { return nil, false, f.err }
func (f failing) Commit(string, []byte, time.Time) error { return f.err }
