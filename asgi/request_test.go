package asgi_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/tideway-go/tideway/asgi"
)

// Case 170. A minimal GET: what the scope says, and one body event that is empty and the last.
func TestMinimalGet(t *testing.T) {
	type seen struct {
		scope *asgi.Scope
		first asgi.Event
	}
	got := make(chan seen, 1)
	url, client := serve(t, asgi.Handler{App: app(func(ctx context.Context, c conn) error {
		event, err := c.receive(ctx)
		if err != nil {
			return err
		}
		got <- seen{c.scope, event}
		return c.respond(ctx, 200, nil, "")
	})})
	r, err := client.Get(url + "/te%20st?a=%20b")
	if err != nil {
		t.Fatal(err)
	}
	body(t, r)
	s := <-got
	host := strings.TrimPrefix(url, "http://")
	for _, tt := range []struct{ name, got, want string }{
		{"type", s.scope.Type(), "http"},
		{"http version", s.scope.HTTPVersion(), "1.1"},
		{"method", s.scope.Method(), "GET"},
		{"scheme", s.scope.Scheme(), "http"},
		{"path", s.scope.Path(), "/te st"},
		{"raw path", s.scope.RawPath(), "/te%20st"},
		{"query", s.scope.RawQuery(), "a=%20b"},
		{"root path", s.scope.RootPath(), ""},
		{"host", s.scope.Host(), host},
		{"server", s.scope.Server(), host},
		{"header", s.scope.Header().Get("Accept-Encoding"), "gzip"},
	} {
		if tt.got != tt.want {
			t.Errorf("case 170: %s is %q, want %q", tt.name, tt.got, tt.want)
		}
	}
	if _, err := net.ResolveTCPAddr("tcp", s.scope.Client()); err != nil {
		t.Errorf("case 170: client is %q: %v", s.scope.Client(), err)
	}
	if _, ok := s.scope.Header()["Host"]; ok {
		t.Error("case 170: Host is among the headers as well")
	}
	if e, ok := s.first.(asgi.HTTPRequest); !ok || len(e.Body) != 0 || e.MoreBody {
		t.Errorf("case 170: first event is %#v, want an empty HTTPRequest without more", s.first)
	}
}

// Case 171, and what handlers in front make of the URL.
func TestFieldsOfPath(t *testing.T) {
	strip := func(prefix string) func(*http.Request) *http.Request {
		return func(r *http.Request) (got *http.Request) {
			http.StripPrefix(prefix, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r })).
				ServeHTTP(httptest.NewRecorder(), r)
			return got
		}
	}
	rewrite := func(path string) func(*http.Request) *http.Request {
		return func(r *http.Request) *http.Request {
			r = r.Clone(r.Context())
			r.URL = &url.URL{Path: path}
			return r
		}
	}
	tests := []struct {
		name, target    string
		front           func(*http.Request) *http.Request
		path, raw, root string
	}{
		{"case 171: encoded slash", "/foo%2Fbar", nil, "/foo/bar", "/foo%2Fbar", ""},
		{"case 171: UTF-8", "/%C3%A4/%E2%82%AC", nil, "/ä/€", "/%C3%A4/%E2%82%AC", ""},
		{"case 171: space", "/a%20b", nil, "/a b", "/a%20b", ""},
		{"case 171: plus is no space", "/a+b", nil, "/a+b", "/a+b", ""},
		{"case 171: percent", "/100%25", nil, "/100%", "/100%25", ""},
		{"needless encoding", "/%61", nil, "/a", "/%61", ""},
		{"query", "/a?b=/c", nil, "/a", "/a", ""},
		{"two slashes", "//a//b", nil, "//a//b", "//a//b", ""},
		{"absolute form", "http://example.org/a%2Fb?q", nil, "/a/b", "/a%2Fb", ""},
		{"asterisk form", "*", nil, "*", "*", ""},
		{"StripPrefix", "/live/a%2Fb", strip("/live"), "/live/a/b", "/live/a%2Fb", "/live"},
		{"StripPrefix of all", "/live", strip("/live"), "/live", "/live", "/live"},
		{"StripPrefix with the slash", "/live/a", strip("/live/"), "/live/a", "/live/a", "/live"},
		{"StripPrefix of a slash", "/a", strip("/"), "/a", "/a", ""},
		{"StripPrefix within a segment", "/livea", strip("/live"), "a", "a", ""},
		{"StripPrefix that is encoded", "/r%C3%B6/a", strip("/rö"), "/rö/a", "/r%C3%B6/a", "/rö"},
		{"rewritten", "/old", rewrite("/new path"), "/new path", "/new%20path", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			method := "GET"
			if tt.target == "*" {
				method = "OPTIONS"
			}
			r := httptest.NewRequest(method, tt.target, nil)
			if tt.front != nil {
				if r = tt.front(r); r == nil {
					t.Fatal("the handler in front did not pass the request on")
				}
			}
			f := asgi.FieldsOf(r)
			if f.Path != tt.path || f.RawPath != tt.raw || f.RootPath != tt.root {
				t.Errorf("path %q, raw path %q, root path %q; want %q, %q, %q", f.Path, f.RawPath, f.RootPath, tt.path, tt.raw, tt.root)
			}
		})
	}
}

// Case 172. Names are canonical, values are without surrounding space and in order, the query is as it was sent.
func TestHeadersAndQuery(t *testing.T) {
	got := make(chan *asgi.Scope, 1)
	server := httptest.NewServer(asgi.Handler{App: app(func(ctx context.Context, c conn) error {
		got <- c.scope
		return c.respond(ctx, 204, nil, "")
	})})
	defer server.Close()
	response := raw(t, server, "GET /?x=%C3%A4%26&y=a+b HTTP/1.1\r\nHost: example.org\r\n"+
		"x-TEST:  one \t\r\nX-Other: 1\r\nX-Test:two\r\nx-test: a, b\r\n\r\n")
	if response.StatusCode != 204 {
		t.Fatalf("status is %s", response.Status)
	}
	s := <-got
	if values := s.Header()["X-Test"]; !slices.Equal(values, []string{"one", "two", "a, b"}) {
		t.Errorf("case 172: values are %q", values)
	}
	if s.RawQuery() != "x=%C3%A4%26&y=a+b" {
		t.Errorf("case 172: query is %q", s.RawQuery())
	}
	if s.Host() != "example.org" {
		t.Errorf("host is %q", s.Host())
	}
}

func TestFieldsOfProtocol(t *testing.T) {
	tests := []struct {
		major, minor int
		tls          bool
		version      string
		scheme       string
	}{
		{1, 0, false, "1.0", "http"},
		{1, 1, true, "1.1", "https"},
		{2, 0, true, "2", "https"},
		{3, 0, true, "3", "https"},
	}
	for _, tt := range tests {
		r := httptest.NewRequest("get", "/", nil)
		r.ProtoMajor, r.ProtoMinor, r.TLS = tt.major, tt.minor, nil
		if tt.tls {
			r.TLS = &tls.ConnectionState{}
		}
		f := asgi.FieldsOf(r)
		if f.HTTPVersion != tt.version || f.Scheme != tt.scheme || f.Method != "GET" {
			t.Errorf("version %q, scheme %q, method %q; want %q, %q, GET", f.HTTPVersion, f.Scheme, f.Method, tt.version, tt.scheme)
		}
	}
}

// The description outlives the request: values stay, cancellation does not, and changes of one do not show in the other.
func TestFieldsOfOutliveTheRequest(t *testing.T) {
	type key struct{}
	ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "value"))
	r := httptest.NewRequest("GET", "/", nil).WithContext(ctx)
	r.Header.Set("Host", "spoofed.example")
	r.Header.Set("A", "1")
	r.RemoteAddr = "@" // a Unix socket
	f := asgi.FieldsOf(r)
	scope := asgi.NewScope(f)
	cancel()
	r.Header.Set("A", "2")
	if f.Context.Err() != nil || scope.Value(key{}) != "value" {
		t.Errorf("context: %v, value %v", f.Context.Err(), scope.Value(key{}))
	}
	if scope.Header().Get("A") != "1" || scope.Header().Get("Host") != "" || r.Header.Get("Host") == "" {
		t.Errorf("scope has %v, request has %v", scope.Header(), r.Header)
	}
	if f.Client != "" || f.Server != "" {
		t.Errorf("client %q, server %q; want none", f.Client, f.Server)
	}
}

func TestHandlerOverHTTP2(t *testing.T) {
	server := httptest.NewUnstartedServer(asgi.Handler{App: app(func(ctx context.Context, c conn) error {
		_, push := c.scope.Extension("http.response.push")
		return c.respond(ctx, 200, nil, fmt.Sprint(c.scope.HTTPVersion(), " ", c.scope.Scheme(), " ", push), " ", "end")
	})})
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	r, err := server.Client().Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	if got := body(t, r); got != "2 https true end" {
		t.Errorf("got %q", got)
	}
}

func ExampleFieldsOf() {
	r := httptest.NewRequest("GET", "/ws/chat/caf%C3%A9/?from=page", nil)
	f := asgi.FieldsOf(r)
	f.Type, f.Scheme, f.Method = asgi.WebSocket, "ws", "" // as a server for WebSockets does
	scope := asgi.NewScope(f)
	fmt.Println(scope.Type(), scope.Path(), scope.RawPath(), scope.RawQuery())
	// Output: websocket /ws/chat/café/ /ws/chat/caf%C3%A9/ from=page
}

// FuzzFieldsOf: whatever a request line says, the two forms of the path agree, and the root path is a part of it.
func FuzzFieldsOf(f *testing.F) {
	for _, target := range []string{"/", "/a%2Fb", "//x", "/%zz", "http://h/a", "*", "/a?b#c", "/é"} {
		f.Add(target, "/live")
	}
	f.Fuzz(func(t *testing.T, target, prefix string) {
		u, err := url.ParseRequestURI(target)
		if err != nil {
			return
		}
		r := &http.Request{Method: "GET", URL: u, RequestURI: target}
		if path, ok := strings.CutPrefix(u.Path, prefix); ok {
			r.URL = &url.URL{Path: path}
		}
		fields := asgi.FieldsOf(r)
		if decoded, err := url.PathUnescape(fields.RawPath); err != nil || decoded != fields.Path {
			t.Errorf("%q without %q: raw path %q is %q, path is %q: %v", target, prefix, fields.RawPath, decoded, fields.Path, err)
		}
		if !strings.HasPrefix(fields.Path, fields.RootPath) || strings.HasSuffix(fields.RootPath, "/") {
			t.Errorf("%q without %q: root path %q of %q", target, prefix, fields.RootPath, fields.Path)
		}
	})
}
