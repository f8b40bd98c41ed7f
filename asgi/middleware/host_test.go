package middleware_test

import (
	"net/http"
	"testing"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/middleware"
	"github.com/tideway-go/tideway/testing/asgitest"
)

// Case 146. An allow list of hosts; empty, it refuses everything, and Localhost is the list of a developer's machine.
func TestHost(t *testing.T) {
	list := func(patterns ...string) []string { return patterns }
	for _, tc := range []struct {
		name     string
		patterns []string
		scheme   string
		host     string
		allowed  bool
	}{
		{"the host", list("a.com"), "http", "a.com", true},
		{"at any port", list("a.com"), "http", "a.com:8000", true},
		{"another", list("a.com"), "http", "b.com", false},
		{"case", list("A.com"), "http", "a.COM", true},
		{"a dot at the end", list("a.com"), "http", "a.com.", true},
		{"a dot and a port", list("a.com"), "http", "a.com.:80", true},
		{"a subdomain", list("a.com"), "http", "b.a.com", false},
		{"a listed subdomain", list(".a.com"), "http", "b.a.com", true},
		{"the domain itself", list(".a.com"), "http", "a.com", true},
		{"a name that ends so", list(".a.com"), "http", "ba.com", false},
		{"a port", list("a.com:8000"), "http", "a.com:8000", true},
		{"another port", list("a.com:8000"), "http", "a.com:8001", false},
		{"no port", list("a.com:8000"), "http", "a.com", false},
		{"the port of http", list("a.com:80"), "http", "a.com", true},
		{"the port of wss", list("a.com:443"), "https", "a.com", true},
		{"the port of http over https", list("a.com:80"), "https", "a.com", false},
		{"a bad port", list("a.com"), "http", "a.com:x", false},
		{"more than a host", list("a.com"), "http", "a.com/x", false},
		{"a user", list("a.com"), "http", "u@a.com", false},
		{"case 146: any", list("*"), "http", "whatever", true},
		{"case 146: none", nil, "http", "a.com", false},
		{"case 146: localhost", middleware.Localhost(), "http", "localhost:8000", true},
		{"case 146: 127.0.0.1", middleware.Localhost(), "http", "127.0.0.1", true},
		{"case 146: ::1", middleware.Localhost(), "http", "[::1]:8000", true},
		{"case 146: a rebound name", middleware.Localhost(), "http", "evil.example:8000", false},
		{"case 146: what localhost is called", middleware.Localhost(), "http", "evil.localhost.example", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			started := 0
			app := middleware.Host(tc.patterns...)(page(func(*asgi.Scope) error { started++; return nil }))
			site := asgitest.New(t, app).With(&asgitest.Options{Scheme: tc.scheme, Host: tc.host})
			r := site.Request("GET", "/")
			if tc.allowed {
				site.Dial("/").Disconnect()
				if r.Status != 200 || started != 2 {
					t.Errorf("got %d, started %d times", r.Status, started)
				}
				return
			}
			if ws := site.Refused("/"); r.Status != 400 || ws.Status != 400 || len(r.Body) == 0 || started != 0 {
				t.Errorf("got %d and %v, started %d times", r.Status, ws, started)
			}
		})
	}
}

// A request of HTTP/1.0 need not name a host.
func TestHostMissing(t *testing.T) {
	site := asgitest.New(t, middleware.Host("a.com")(page(nil))).With(&asgitest.Options{
		Scope: func(s *asgi.Scope) *asgi.Scope { return s.Derive(func(f *asgi.Fields) { f.Host = "" }) },
	})
	if r := site.Request("GET", "/"); r.Status != 400 {
		t.Errorf("got %d", r.Status)
	}
}

// The list of a developer's machine serves for origins too.
func TestLocalhostOrigins(t *testing.T) {
	site := asgitest.New(t, middleware.Origin(middleware.Localhost()...)(page(nil)))
	for origin, allowed := range map[string]bool{"http://localhost:3000": true, "http://127.0.0.1": true, "http://[::1]:3000": true, "http://evil.example": false} {
		from := site.With(&asgitest.Options{Header: http.Header{"Origin": {origin}}})
		if allowed {
			from.Dial("/").Disconnect()
		} else if r := from.Refused("/"); r.Status != 403 {
			t.Errorf("%s: %v", origin, r)
		}
	}
}
