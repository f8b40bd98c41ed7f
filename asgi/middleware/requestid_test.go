package middleware_test

import (
	"context"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/middleware"
	"github.com/tideway-go/tideway/testing/asgitest"
)

// An id of a trusted proxy is taken over if it is fit for a log; everything else gets an id of its own.
func TestRequestID(t *testing.T) {
	const proxy, stranger = "127.0.0.1:9", "192.0.2.1:9"
	for _, tc := range []struct {
		name, client string
		opts         middleware.RequestIDOptions
		header       string // which one the client sends
		incoming     []string
		taken        bool
	}{
		{"none", proxy, middleware.RequestIDOptions{}, "X-Request-Id", nil, false},
		{"a proxy's", proxy, middleware.RequestIDOptions{}, "X-Request-Id", []string{"aZ09-_.:/+=@"}, true},
		{"a stranger's", stranger, middleware.RequestIDOptions{}, "X-Request-Id", []string{"abc"}, false},
		{"another proxy", stranger, middleware.RequestIDOptions{Proxies: middleware.Proxies{Trusted: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}}, "X-Request-Id", []string{"abc"}, true},
		{"another header", proxy, middleware.RequestIDOptions{Header: "x-correlation-id"}, "X-Correlation-Id", []string{"abc"}, true},
		{"not that header", proxy, middleware.RequestIDOptions{Header: "X-Correlation-Id"}, "X-Request-Id", []string{"abc"}, false},
		{"empty", proxy, middleware.RequestIDOptions{}, "X-Request-Id", []string{""}, false},
		{"two", proxy, middleware.RequestIDOptions{}, "X-Request-Id", []string{"abc", "def"}, false},
		{"a space", proxy, middleware.RequestIDOptions{}, "X-Request-Id", []string{"a b"}, false},
		{"a quote", proxy, middleware.RequestIDOptions{}, "X-Request-Id", []string{`a"b`}, false},
		{"a letter beyond ASCII", proxy, middleware.RequestIDOptions{}, "X-Request-Id", []string{"é"}, false},
		{"long", proxy, middleware.RequestIDOptions{}, "X-Request-Id", []string{strings.Repeat("a", 128)}, true},
		{"too long", proxy, middleware.RequestIDOptions{}, "X-Request-Id", []string{strings.Repeat("a", 129)}, false},
	} {
		var ids []string
		app := middleware.RequestID(&tc.opts)(page(func(s *asgi.Scope) error { ids = append(ids, middleware.RequestIDOf(s)); return nil }))
		site := asgitest.New(t, app).With(&asgitest.Options{Client: tc.client, Header: http.Header{tc.header: tc.incoming}})
		out := http.CanonicalHeaderKey(tc.opts.Header)
		if out == "" {
			out = "X-Request-Id"
		}
		ws := site.Dial("/")
		sent := []string{ws.Header().Get(out), site.Request("GET", "/").Header.Get(out)}
		ws.Disconnect()
		for i, id := range ids {
			taken := len(tc.incoming) > 0 && id == tc.incoming[0]
			if taken != tc.taken || sent[i] != id || !taken && !regexp.MustCompile(`^[A-Z2-7]{26}$`).MatchString(id) {
				t.Errorf("%s: the id is %q, the client has %q", tc.name, id, sent[i])
			}
		}
		if len(ids) != 2 || (ids[0] == ids[1]) != tc.taken {
			t.Errorf("%s: ids are %q", tc.name, ids)
		}
	}
}

// Refusals carry the id, the app's own header stands, and the app's map stays as it is.
func TestRequestIDInAnswers(t *testing.T) {
	lower := strings.ToLower("X-Request-Id")
	own := http.Header{lower: {"own"}, "A": {"1"}}
	for name, tc := range map[string]struct {
		err    error
		events []asgi.Event
		want   string
	}{
		"Deny":                  {asgi.Deny{Status: 401}, nil, "abc"},
		"Deny with its own":     {asgi.Deny{Status: 401, Header: own}, nil, "own"},
		"a denial":              {nil, []asgi.Event{asgi.WebSocketHTTPResponseStart{Status: 401}, asgi.WebSocketHTTPResponseBody{}}, "abc"},
		"a denial with its own": {nil, []asgi.Event{asgi.WebSocketHTTPResponseStart{Status: 401, Header: own}, asgi.WebSocketHTTPResponseBody{}}, "own"},
	} {
		app := middleware.RequestID(nil)(asgi.AppFunc(
			func(ctx context.Context, _ *asgi.Scope, _ asgi.Receive, send asgi.Send) error {
				if err := events(tc.events...)(ctx, send); err != nil {
					return err
				}
				return tc.err
			}))
		site := asgitest.New(t, app).With(&asgitest.Options{Client: "127.0.0.1:1", Header: http.Header{"X-Request-Id": {"abc"}}})
		r := site.Refused("/")
		if got := append(r.Header["X-Request-Id"], r.Header[lower]...); r.Status != 401 || !slices.Equal(got, []string{tc.want}) {
			t.Errorf("%s: got %v with the id %q, want %q", name, r, got, tc.want)
		}
	}
	if len(own) != 2 {
		t.Errorf("the app's header became %v", own)
	}
}

// RealIP inside or outside, a proxy's id is taken over, and that of a client at a proxy's address is not.
func TestRequestIDBesideRealIP(t *testing.T) {
	for name, order := range map[string][]asgi.Middleware{
		"RealIP outside": {middleware.RealIP(nil), middleware.RequestID(nil)},
		"RealIP inside":  {middleware.RequestID(nil), middleware.RealIP(nil)},
	} {
		var scope *asgi.Scope
		site := asgitest.New(t, asgi.Wrap(page(func(s *asgi.Scope) error { scope = s; return nil }), order...))
		header := http.Header{"X-Request-Id": {"abc"}, "X-Forwarded-For": {"192.0.2.1"}}
		site.With(&asgitest.Options{Client: "127.0.0.1:1", Header: header}).Request("GET", "/")
		if middleware.RequestIDOf(scope) != "abc" || scope.Client() != "192.0.2.1:0" {
			t.Errorf("%s: the id is %q, the client %s", name, middleware.RequestIDOf(scope), scope.Client())
		}
		header.Set("X-Forwarded-For", "127.0.0.1")
		site.With(&asgitest.Options{Client: "192.0.2.9:1", Header: header}).Request("GET", "/")
		if middleware.RequestIDOf(scope) == "abc" {
			t.Errorf("%s: a stranger's id was taken over", name)
		}
	}
}

func TestRequestIDNests(t *testing.T) {
	var outer, inner string
	id := middleware.RequestID(nil)
	app := id(asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		outer = middleware.RequestIDOf(scope)
		return id(page(func(s *asgi.Scope) error { inner = middleware.RequestIDOf(s); return nil })).Serve(ctx, scope, receive, send)
	}))
	r := asgitest.New(t, app).Request("GET", "/")
	if outer == "" || inner != outer || !slices.Equal(r.Header["X-Request-Id"], []string{outer}) {
		t.Errorf("ids are %q outside, %q inside, %q in the response", outer, inner, r.Header["X-Request-Id"])
	}
	if got := middleware.RequestIDOf(asgi.NewScope(asgi.Fields{})); got != "" {
		t.Errorf("without the middleware: %q", got)
	}
	panicsWith(t, "asgi/middleware: RequestID: ", "netip", func() {
		middleware.RequestID(&middleware.RequestIDOptions{Proxies: middleware.Proxies{Trusted: make([]netip.Prefix, 1)}})
	})
}
