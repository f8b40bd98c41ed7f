package auth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/alexedwards/scs/v2/memstore"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/middleware/auth"
	"github.com/tideway-go/tideway/asgi/middleware/sessions"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/routing"
	"github.com/tideway-go/tideway/testing/asgitest"
)

// account is the user of these tests.
type account struct{ Name, Hash string }

// accounts are the database.
type accounts struct {
	mu    sync.Mutex
	users map[string]account
	err   error  // of every Load
	next  func() // runs in the next Load
}

func newAccounts() *accounts {
	return &accounts{users: map[string]account{"ann": {"ann", "1"}, "bob": {"bob", "1"}, "7": {"7", "1"}}}
}

func (d *accounts) load(_ context.Context, id string) (account, error) {
	d.mu.Lock()
	next := d.next
	d.next = nil
	d.mu.Unlock()
	if next != nil {
		next()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err != nil {
		return account{}, d.err
	}
	u, ok := d.users[id]
	if !ok {
		return account{}, fmt.Errorf("user %q: %w", id, auth.ErrInvalid)
	}
	return u, nil
}

func (d *accounts) set(u account) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.users[u.Name] = u
}

func (d *accounts) fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.err = err
}

// newManager is what scs.New makes, but for the store, which has no goroutine.
func newManager() *scs.SessionManager {
	return &scs.SessionManager{
		Lifetime: 24 * time.Hour,
		Store:    memstore.NewWithCleanupInterval(0),
		Codec:    scs.GobCodec{},
		Cookie:   scs.SessionCookie{Name: "session", HttpOnly: true, Path: "/", SameSite: http.SameSiteLaxMode, Persist: true},
	}
}

// process is one process of a site, with pages to log in and out, a socket, and a stream.
type process struct {
	*asgitest.Site
	t     *testing.T
	users *auth.Authenticator[account]
	scs   *scs.SessionManager
	data  *accounts
	gate  func(scope *asgi.Scope) // runs before a socket answers

	mu    sync.Mutex
	heard []string // OnLogin and OnLogout
}

func options(m *scs.SessionManager, data *accounts, layer *layers.Layer) auth.Options[account] {
	return auth.Options[account]{
		ID:      func(u account) string { return u.Name },
		Session: &auth.Session[account]{Manager: m, Load: data.load, Hash: func(u account) string { return u.Hash }},
		Token:   data.token,
		Layer:   func(*asgi.Scope) *layers.Layer { return layer },
	}
}

// token verifies tokens such as "ann" and "ann-60", the second of which ends in 60 s.
func (d *accounts) token(ctx context.Context, token string) (id auth.Identity[account], err error) {
	name, seconds, limited := strings.Cut(token, "-")
	if id.User, err = d.load(ctx, name); err != nil {
		return id, err
	}
	if id.Session = token; limited {
		born := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // when a bubble begins
		age, err := time.ParseDuration(seconds + "s")
		if err != nil {
			return id, auth.ErrInvalid
		}
		id.Expires = born.Add(age)
	}
	return id, nil
}

// start starts a process. change may change the options.
func start(t *testing.T, m *scs.SessionManager, data *accounts, layer *layers.Layer, change func(*auth.Options[account])) *process {
	t.Helper()
	p := &process{t: t, scs: m, data: data}
	o := options(m, data, layer)
	o.OnLogin = func(_ context.Context, _ *asgi.Scope, u account) { p.hear("in " + u.Name) }
	o.OnLogout = func(_ context.Context, _ *asgi.Scope, u account) { p.hear("out " + u.Name) }
	if change != nil {
		change(&o)
	}
	p.users = auth.New(o)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /login/{name}", p.login)
	mux.HandleFunc("POST /logout", p.logout)
	mux.HandleFunc("POST /revoke/{name}", p.revoke)
	mux.HandleFunc("GET /me", p.me)
	app := routing.Protocols(map[string]asgi.App{
		asgi.HTTP: routing.URLs(
			routing.Path("/private", p.users.Require(asgi.FromHandler(http.HandlerFunc(p.me)))),
			routing.Path("/stream", p.users.Require(p.stream())),
			routing.Regexp(".*", asgi.FromHandler(mux)),
		),
		asgi.WebSocket: routing.URLs(
			routing.Path("/ws", p.socket()),
			routing.Path("/ws/private", p.users.Require(p.socket())),
		),
	})
	p.Site = asgitest.New(t, asgi.Wrap(app, sessions.New(m), p.users.Middleware))
	if layer != nil {
		p.Site = p.With(&asgitest.Options{Layer: layer})
	}
	return p
}

func (p *process) hear(what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.heard = append(p.heard, what)
}

func (p *process) login(w http.ResponseWriter, r *http.Request) {
	scope, _ := asgi.ScopeOf(r.Context())
	u, err := p.data.load(r.Context(), r.PathValue("name"))
	if err == nil {
		err = p.users.Login(r.Context(), scope, u)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	p.me(w, r)
}

func (p *process) logout(w http.ResponseWriter, r *http.Request) {
	scope, _ := asgi.ScopeOf(r.Context())
	if err := p.users.Logout(r.Context(), scope); err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	p.me(w, r)
}

func (p *process) revoke(w http.ResponseWriter, r *http.Request) {
	if err := auth.Revoke(r.Context(), p.Layer(), auth.Revocation{User: r.PathValue("name")}); err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	p.me(w, r)
}

func (p *process) me(w http.ResponseWriter, r *http.Request) {
	scope, _ := asgi.ScopeOf(r.Context())
	fmt.Fprint(w, p.name(scope))
}

func (p *process) name(scope *asgi.Scope) string {
	if u, ok := p.users.User(scope); ok {
		return u.Name
	}
	return "nobody"
}

// stream is an event stream that never ends by itself.
func (p *process) stream() asgi.App {
	return consumers.AsyncHTTPConsumer[struct{}]{
		Handle: func(_ *struct{}, ctx context.Context, c *consumers.Conn, _ []byte) error {
			if err := c.StartResponse(ctx, 200, http.Header{"Content-Type": {"text/event-stream"}}); err != nil {
				return err
			}
			return c.SendBody(ctx, []byte("data: "+p.name(c.Scope())+"\n\n"), true)
		},
		Messages: []consumers.Handler[struct{}]{consumers.On(never, func(*struct{}, context.Context, *consumers.Conn, struct{}) error { return nil })},
	}.App()
}

const never layers.Type[struct{}] = "test.never"

// socket says who is there, at first and whenever it is asked.
func (p *process) socket() asgi.App {
	return consumers.AsyncWebsocketConsumer[struct{}]{
		Connect: func(_ *struct{}, ctx context.Context, c *consumers.Conn) error {
			if p.gate != nil {
				p.gate(c.Scope())
			}
			return nil
		},
		Text: func(_ *struct{}, ctx context.Context, c *consumers.Conn, text string) error {
			switch name, login := strings.CutPrefix(text, "login "); {
			case login:
				err := p.users.Login(ctx, c.Scope(), account{Name: name})
				return c.SendText(ctx, fmt.Sprint(err))
			case text == "logout":
				if err := p.users.Logout(ctx, c.Scope()); err != nil {
					return err
				}
			}
			return c.SendText(ctx, p.name(c.Scope()))
		},
	}.App()
}

// a browser keeps the cookie of a process's pages.
type browser struct {
	*process
	cookie *http.Cookie
}

// site is the process with what the browser sends.
func (b *browser) site() *asgitest.Site {
	if b.cookie == nil {
		return b.Site
	}
	return b.With(&asgitest.Options{Cookies: []*http.Cookie{b.cookie}})
}

// do makes a request and keeps the cookie.
func (b *browser) do(method, path string) *asgitest.Response {
	b.t.Helper()
	r := b.site().Request(method, path)
	for _, c := range (&http.Response{Header: r.Header}).Cookies() {
		if b.cookie = c; c.MaxAge < 0 {
			b.cookie = nil
		}
	}
	return r
}

// expect demands the body of a response.
func (b *browser) expect(method, path, want string) {
	b.t.Helper()
	if r := b.do(method, path); string(r.Body) != want || r.Status != 200 {
		b.t.Errorf("%s %s: %d %q, want %q", method, path, r.Status, r.Body, want)
	}
}

// asks demands who the socket says is there.
func asks(ws *asgitest.WebSocket, want string) {
	ws.SendText("?")
	ws.ExpectText(want)
}

var errDatabase = errors.New("no database today")

// as is the site with a bearer token.
func (p *process) as(token string) *asgitest.Site {
	return p.With(&asgitest.Options{Header: http.Header{"Authorization": {"Bearer " + token}}})
}
