package limit_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/middleware/limit"
	"github.com/tideway-go/tideway/testing/asgitest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// echo answers a request when its body is complete, and sends every message of a WebSocket back.
var echo = asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
	for {
		event, err := receive(ctx)
		if err != nil {
			return err
		}
		switch e := event.(type) {
		case asgi.HTTPRequest:
			if e.MoreBody {
				continue
			}
			if err := send(ctx, asgi.HTTPResponseStart{Status: 200}); err != nil {
				return err
			}
			return send(ctx, asgi.HTTPResponseBody{})
		case asgi.WebSocketConnect:
			err = send(ctx, asgi.WebSocketAccept{})
		case asgi.WebSocketReceive:
			err = send(ctx, asgi.WebSocketSend{Frame: e.Frame})
		default:
			return nil
		}
		if err != nil {
			return err
		}
	}
})

func from(client string) *asgitest.Options { return &asgitest.Options{Client: client} }

// Connections in all: WebSockets and requests alike, and each gives its place back.
func TestConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site := asgitest.New(t, limit.New(&limit.Options{Connections: 2})(echo))
		a := site.Dial("/")
		b := site.With(from("192.0.2.9:1")).Upload("POST", "/")
		synctest.Wait()
		if r := site.Refused("/"); r.Status != 503 || !strings.Contains(fmt.Sprint(r.Err), "all 2 connections are taken") {
			t.Errorf("a third WebSocket: %v", r)
		}
		if r := site.Request("GET", "/"); r.Status != 503 || string(r.Body) != "Service Unavailable\n" {
			t.Errorf("a third request: %d %q", r.Status, r.Body)
		}
		b.EndBody()
		b.Response()
		if r := site.Request("GET", "/"); r.Status != 200 {
			t.Errorf("after a request has ended: %d", r.Status)
		}
		a.Disconnect()
		site.Dial("/").Disconnect()
	})
}

// Connections of one key: others are not concerned, and the empty key has no limit.
func TestConnectionsPerKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site := asgitest.New(t, limit.New(&limit.Options{ConnectionsPerKey: 1})(echo))
		ann, bob := site.With(from("192.0.2.1:1")), site.With(from("192.0.2.2:1"))
		ws := ann.Dial("/")
		if r := site.With(from("192.0.2.1:2")).Refused("/"); r.Status != 503 || !strings.Contains(fmt.Sprint(r.Err), "192.0.2.1 has 1 connections") {
			t.Errorf("a second WebSocket: %v", r)
		}
		other := bob.Dial("/")
		ws.Disconnect()
		ann.Dial("/").Disconnect()
		other.Disconnect()
		none := site.With(&asgitest.Options{Scope: func(s *asgi.Scope) *asgi.Scope {
			return s.Derive(func(f *asgi.Fields) { f.Client = "" })
		}})
		one, two := none.Dial("/"), none.Dial("/")
		one.Disconnect()
		two.Disconnect()
	})
}

// How often a key connects: what is refused counts too, and Retry-After says when to come again.
func TestConnectsPerKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site := asgitest.New(t, limit.New(&limit.Options{ConnectsPerKey: limit.Rate{PerSecond: 0.1, Burst: 2}})(echo))
		want := func(status int, retry string) {
			t.Helper()
			if r := site.Request("GET", "/"); r.Status != status || r.Header.Get("Retry-After") != retry {
				t.Errorf("got %d, Retry-After %q, want %d, %q", r.Status, r.Header.Get("Retry-After"), status, retry)
			}
		}
		want(200, "")
		site.Dial("/").Disconnect()
		want(429, "10")
		if r := site.Refused("/"); r.Status != 429 {
			t.Errorf("a WebSocket: %v", r)
		}
		if r := site.With(from("192.0.2.77:1")).Request("GET", "/"); r.Status != 200 {
			t.Errorf("another key: %d", r.Status)
		}
		<-time.After(9500 * time.Millisecond)
		want(429, "1")
		<-time.After(500 * time.Millisecond)
		want(200, "")
		want(429, "10")
	})
}

// How often connections are opened in all: requests and WebSockets of all keys alike, and of those without a key.
func TestConnects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site := asgitest.New(t, limit.New(&limit.Options{Connects: limit.Rate{PerSecond: 0.1, Burst: 2}})(echo))
		ann, bob := site.With(from("192.0.2.1:1")), site.With(from("/run/app.sock"))
		ann.Dial("/").Disconnect()
		if r := bob.Request("GET", "/"); r.Status != 200 {
			t.Errorf("the second: %d", r.Status)
		}
		if r := bob.Request("GET", "/"); r.Status != 503 || r.Header.Get("Retry-After") != "10" {
			t.Errorf("the third: %d, Retry-After %q, want 503, 10", r.Status, r.Header.Get("Retry-After"))
		}
		if r := ann.Refused("/"); r.Status != 503 || r.Header.Get("Retry-After") != "10" || !strings.Contains(fmt.Sprint(r.Err), "than Options.Connects takes") {
			t.Errorf("a WebSocket: %v, Retry-After %q", r, r.Header.Get("Retry-After"))
		}
		<-time.After(9500 * time.Millisecond)
		if r := ann.Refused("/"); r.Status != 503 || r.Header.Get("Retry-After") != "1" {
			t.Errorf("half a second before: %v, Retry-After %q", r, r.Header.Get("Retry-After"))
		}
		<-time.After(500 * time.Millisecond)
		bob.Dial("/").Disconnect()
		if r := ann.Request("GET", "/"); r.Status != 503 {
			t.Errorf("after the one that there was room for: %d", r.Status)
		}
	})
}

// Whoever is refused for a reason of its own, or for want of a place, takes nothing of the rate of all.
func TestConnectsOfTheRefused(t *testing.T) {
	for name, o := range map[string]limit.Options{
		"over its own rate":         {ConnectsPerKey: limit.Rate{PerSecond: 0.01, Burst: 1}},
		"with connections enough":   {ConnectionsPerKey: 1},
		"while all places are full": {Connections: 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			o.Connects = limit.Rate{PerSecond: 0.01, Burst: 2}
			site := asgitest.New(t, limit.New(&o)(echo))
			bad := site.With(from("192.0.2.1:1"))
			ws := bad.Dial("/")
			for range 5 {
				if r := bad.Refused("/"); strings.Contains(fmt.Sprint(r.Err), "Connects takes") {
					t.Fatalf("a client %s is refused by the rate of all: %v", name, r.Err)
				}
			}
			ws.Disconnect()
			good := site.With(from("192.0.2.2:1"))
			if r := good.Request("GET", "/"); r.Status != 200 {
				t.Errorf("a client %s took from the others what Connects has: %d", name, r.Status)
			}
			if r := site.With(from("192.0.2.3:1")).Request("GET", "/"); r.Status != 503 {
				t.Errorf("%s: the bucket of two holds a third: %d", name, r.Status)
			}
		})
	}
}

// A place is given back however an app ends: it returns, fails, panics, or ends its goroutine.
func TestPlacesComeBack(t *testing.T) {
	m := limit.New(&limit.Options{Connections: 1, ConnectionsPerKey: 1, Key: func(*asgi.Scope) string { return "key" }})
	for name, end := range map[string]func() error{
		"nil":    func() error { return nil },
		"error":  func() error { return errors.New("broken") },
		"panic":  func() error { panic("broken") },
		"Goexit": func() error { (&testing.T{}).SkipNow(); return nil },
	} {
		done, served := make(chan bool), false
		go func() { // ends with the app, and closes done on its way
			defer close(done)
			defer func() { _ = recover() }()
			_ = m(asgi.AppFunc(func(context.Context, *asgi.Scope, asgi.Receive, asgi.Send) error { served = true; return end() })).
				Serve(t.Context(), asgi.NewScope(asgi.Fields{Type: asgi.HTTP}), nil, nil)
		}()
		<-done
		if !served {
			t.Errorf("%s: the place of another was not given back", name)
		}
	}
	if r := asgitest.New(t, m(echo)).Request("GET", "/"); r.Status != 200 {
		t.Errorf("at last: %d", r.Status)
	}
}

// Where the WebSocket is open already, the refusal is a close with 1013.
func TestRefusalAfterTheAccept(t *testing.T) {
	for _, o := range []limit.Options{
		{Connections: 1}, {ConnectionsPerKey: 1}, {Connects: limit.Rate{PerSecond: 0.01}}, {ConnectsPerKey: limit.Rate{PerSecond: 0.01}},
	} {
		refusedAfterTheAccept(t, limit.New(&o)(echo))
	}
}

func refusedAfterTheAccept(t *testing.T, limited asgi.App) {
	synctest.Test(t, func(t *testing.T) {
		site := asgitest.New(t, asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
			if scope.Path() == "/open" {
				if err := send(ctx, asgi.WebSocketAccept{}); err != nil {
					return err
				}
			}
			return limited.Serve(ctx, scope, receive, send)
		}))
		ws := site.Dial("/")
		late := site.Dial("/open")
		late.ExpectClose(1013, "try again later")
		ws.Disconnect()
	})
}

// One middleware is one set of limits, also around several apps; met twice by a connection, it counts once. Another one counts
// by itself.
func TestSharedAndNested(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := limit.New(&limit.Options{Connections: 1})
		other := limit.New(&limit.Options{Connections: 1})
		a, b := asgitest.New(t, m(other(m(echo)))), asgitest.New(t, m(echo))
		ws := a.Dial("/")
		if r := b.Refused("/"); r.Status != 503 {
			t.Errorf("another app: %v", r)
		}
		if r := asgitest.New(t, other(echo)).Refused("/"); r.Status != 503 {
			t.Errorf("the other middleware: %v", r)
		}
		ws.Disconnect()
	})
}

// Scopes of other types pass untouched.
func TestOtherScopesPass(t *testing.T) {
	m := limit.New(&limit.Options{Connections: 1, Key: func(*asgi.Scope) string { t.Error("asked for a key"); return "" }})
	for _, kind := range []string{asgi.Lifespan, asgi.Channel, "mqtt"} {
		scope := asgi.NewScope(asgi.Fields{Type: kind})
		failed := errors.New("failed")
		var serve func(depth int) error
		serve = func(depth int) error {
			return m(asgi.AppFunc(func(_ context.Context, s *asgi.Scope, _ asgi.Receive, _ asgi.Send) error {
				if s != scope {
					t.Errorf("%s: another scope", kind)
				}
				if depth > 0 {
					return serve(depth - 1)
				}
				return failed
			})).Serve(t.Context(), scope, nil, nil)
		}
		if err := serve(2); err != failed {
			t.Errorf("%s: got %v", kind, err)
		}
	}
}

func TestClientIP(t *testing.T) {
	for client, want := range map[string]string{
		"192.0.2.1:5":           "192.0.2.1",
		"[::ffff:192.0.2.1]:5":  "192.0.2.1",
		"[2001:db8:1:2::3]:5":   "2001:db8:1:2::/64",
		"[2001:db8:1:2:ff::]:6": "2001:db8:1:2::/64",
		"[2001:db8:1:3::3]:5":   "2001:db8:1:3::/64",
		"[fe80::1%eth0]:5":      "fe80::/64",
		"/run/app.sock":         "",
		"":                      "",
	} {
		if got := limit.ClientIP(asgi.NewScope(asgi.Fields{Client: client})); got != want {
			t.Errorf("%q is %q, want %q", client, got, want)
		}
	}
}

func TestNonsensePanics(t *testing.T) {
	nan := 0.0
	nan /= nan
	for want, o := range map[string]limit.Options{
		"Options.Connections is -1":                                   {Connections: -1},
		"Options.ConnectionsPerKey is -1":                             {ConnectionsPerKey: -1},
		"Options.ConnectionsPerKey is 9, which one key never reaches": {Connections: 8, ConnectionsPerKey: 9},
		"Options.Keys is -1":                                          {Keys: -1},
		"Options.ConnectsPerKey is":                                   {ConnectsPerKey: limit.Rate{PerSecond: -1}},
		"Options.Connects is {":                                       {Connects: limit.Rate{PerSecond: -1}},
		"Options.Messages is":                                         {Messages: limit.Rate{Burst: 5}},
		"Options.Bytes is":                                            {Bytes: limit.Rate{PerSecond: 1, Burst: -1}},
		"Options.Close is set and there is nothing to exceed: set Messages": {Close: true, Connections: 1},
		"Options.Bytes is {PerSecond:NaN":                                   {Bytes: limit.Rate{PerSecond: nan}},
	} {
		func() {
			defer func() {
				if got := fmt.Sprint(recover()); !strings.HasPrefix(got, "asgi/middleware/limit: New: "+want) {
					t.Errorf("panicked with %q, want %q", got, want)
				}
			}()
			limit.New(&o)
		}()
	}
	limit.New(nil)
	defer func() {
		if got := fmt.Sprint(recover()); !strings.Contains(got, "the app is nil: pass the one") {
			t.Errorf("without an app it panicked with %q", got)
		}
	}()
	limit.New(nil)(nil)
}

// The key may be anything, such as a header that a proxy has proved.
func TestKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site := asgitest.New(t, limit.New(&limit.Options{ConnectionsPerKey: 1, Key: func(s *asgi.Scope) string { return s.Header().Get("User") }})(echo))
		user := func(name string) *asgitest.Site {
			return site.With(&asgitest.Options{Header: http.Header{"User": {name}}})
		}
		ws := user("ann").Dial("/")
		if r := user("ann").Refused("/"); r.Status != 503 {
			t.Errorf("got %v", r)
		}
		user("bob").Dial("/").Disconnect()
		ws.Disconnect()
	})
}
