package auth_test

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alexedwards/scs/v2"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/middleware"
	"github.com/tideway-go/tideway/asgi/middleware/accesslog"
	"github.com/tideway-go/tideway/asgi/middleware/auth"
	"github.com/tideway-go/tideway/asgi/middleware/limit"
	"github.com/tideway-go/tideway/asgi/middleware/sessions"
	"github.com/tideway-go/tideway/testing/asgitest"
)

// countingStore counts how often the store is read.
type countingStore struct {
	scs.Store
	reads *atomic.Int32
}

func (s countingStore) Find(token string) ([]byte, bool, error) {
	s.reads.Add(1)
	return s.Store.Find(token)
}

// stack is every middleware in the order that the comment of package middleware gives, around a site behind a proxy.
type stack struct {
	*asgitest.Site
	logged *observer.ObservedLogs
	reads  atomic.Int32
}

func newStack(t *testing.T) *stack {
	s := new(stack)
	core, logged := observer.New(zap.InfoLevel)
	s.logged = logged
	m := newManager()
	m.Store = countingStore{m.Store, &s.reads}
	users := auth.New(options(m, newAccounts(), nil))
	app := asgi.Wrap(asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		switch scope.Path() {
		case "/login":
			if err := users.Login(ctx, scope, account{"ann", "1"}); err != nil {
				return err
			}
		case "/broken":
			panic("broken")
		case "/slow":
			<-ctx.Done()
			return ctx.Err()
		}
		err := seen(users).Serve(ctx, scope, receive, send)
		for err == nil && scope.Type() == asgi.WebSocket { // it stays open until the client leaves
			var event asgi.Event
			if event, err = receive(ctx); event != nil && event.EventType() == "websocket.disconnect" {
				return nil
			}
		}
		return err
	}),
		middleware.RequestID(nil),
		middleware.RealIP(&middleware.RealIPOptions{Host: true}),
		accesslog.New(&accesslog.Options{Logger: zap.New(core)}),
		middleware.Recover(func(_ context.Context, scope *asgi.Scope, _ error) error {
			return asgi.Deny{Status: 500, Body: []byte("sorry, " + middleware.RequestIDOf(scope))}
		}),
		middleware.Host("example.org"),
		limit.New(&limit.Options{ConnectionsPerKey: 1}),
		middleware.Timeout(3*time.Second),
		middleware.Cookies,
		sessions.New(m),
		users.Middleware,
		middleware.Origin("https://example.org"),
	)
	s.Site = asgitest.New(t, app).With(&asgitest.Options{Client: "127.0.0.1:99"}) // the proxy
	return s
}

// from is the site as a client behind the proxy sees it.
func (s *stack) from(client string, more map[string]string, cookies ...*http.Cookie) *asgitest.Site {
	h := http.Header{"X-Forwarded-For": {client}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"example.org"}, "Origin": {"https://example.org"}}
	for name, value := range more {
		h.Set(name, value)
	}
	return s.With(&asgitest.Options{Header: h, Cookies: cookies})
}

// line demands the next line of the log.
func (s *stack) line(t *testing.T, message string, want map[string]any) {
	t.Helper()
	synctest.Wait()
	lines := s.logged.TakeAll()
	if len(lines) != 1 || lines[0].Message != message {
		t.Fatalf("the log has %v, want one line %q", lines, message)
	}
	got := lines[0].ContextMap()
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s: %s is %v, want %v", message, name, got[name], value)
		}
	}
}

// In the documented order each middleware knows what those outside of it have found out, every answer is in the log with its
// client and id, and nobody who is refused costs a read of the store.
func TestDocumentedOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStack(t)
		for _, c := range []struct {
			name, path string
			header     map[string]string
			status     int
			body       string
			reads      bool // the store, where there is a cookie
		}{
			{"a page", "/", nil, 200, "nobody   ", true},
			{"Recover answers", "/broken", nil, 500, "sorry, <id>", true},
			{"Host reads what RealIP has found", "/", map[string]string{"X-Forwarded-Host": "evil.example"}, 400, "There is no such host here.\n", false},
			{"Timeout answers", "/slow", nil, 503, "Service Unavailable\n", true},
		} {
			before := s.reads.Load()
			e := s.from("192.0.2.1", c.header, &http.Cookie{Name: "session", Value: "none"}).Stream("GET", c.path)
			r := e.Response()
			_ = e.Wait() // what the server hears is another test
			id := r.Header.Get("X-Request-Id")
			if r.Status != c.status || string(r.Body) != strings.Replace(c.body, "<id>", id, 1) || id == "" {
				t.Errorf("%s: got %d %q with the id %q", c.name, r.Status, r.Body, id)
			}
			s.line(t, "http: request", map[string]any{"client": "192.0.2.1:0", "request_id": id, "status": int64(c.status)})
			if read := s.reads.Load() > before; read != c.reads {
				t.Errorf("%s: the store was read: %v", c.name, read)
			}
		}

		r := s.from("192.0.2.1", nil).Request("POST", "/login")
		cookies := (&http.Response{Header: r.Header}).Cookies()
		if string(r.Body) != "ann   " || len(cookies) != 1 {
			t.Fatalf("the login: %d %q %v", r.Status, r.Body, r.Header)
		}
		s.line(t, "http: request", map[string]any{"path": "/login"}) // and the place of the request is free
		ann := s.from("192.0.2.1", nil, cookies...)
		ws := ann.Dial("/")
		ws.ExpectText("ann   ")
		s.line(t, "websocket: open", map[string]any{"client": "192.0.2.1:0", "request_id": ws.Header().Get("X-Request-Id")})

		before := s.reads.Load()
		if r := ann.Refused("/"); r.Status != 503 || r.Header.Get("X-Request-Id") == "" {
			t.Errorf("limit refuses a second one with %v", r)
		}
		s.line(t, "websocket: refused", map[string]any{"client": "192.0.2.1:0", "status": int64(503)})
		if s.reads.Load() != before {
			t.Error("the store was read for a client that limit has refused")
		}
		if r := s.from("192.0.2.2", map[string]string{"Origin": "https://evil.example"}).Refused("/"); r.Status != 403 {
			t.Errorf("Origin refuses another client of the proxy with %v", r)
		}
		s.line(t, "websocket: refused", map[string]any{"client": "192.0.2.2:0", "status": int64(403)})
		ws.Disconnect()
		s.line(t, "websocket: close", map[string]any{"client": "192.0.2.1:0"})
	})
}
