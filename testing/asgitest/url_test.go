package asgitest_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/testing/asgitest"
)

// seen hands the scope of a connection to the test, and refuses the connection.
func seen(to **asgi.Scope) asgi.App {
	return asgi.AppFunc(func(_ context.Context, scope *asgi.Scope, _ asgi.Receive, _ asgi.Send) error {
		*to = scope
		return asgi.Deny{}
	})
}

// Case 161. Whatever the form of the URL, the app sees a decoded path and the query as it was sent.
func TestURLForms(t *testing.T) {
	for _, c := range []struct {
		url, scheme, host, path, rawPath, query, authorization string
	}{
		{"/", "ws", "testserver", "/", "/", "", ""},
		{"/p?q", "ws", "testserver", "/p", "/p", "q", ""},
		{"/p?q=1&q=%20#h", "ws", "testserver", "/p", "/p", "q=1&q=%20", ""},
		{"//p//q", "ws", "testserver", "//p//q", "//p//q", "", ""},
		{"user:pass@host:1234/p?q#h", "ws", "host:1234", "/p", "/p", "q", "Basic dXNlcjpwYXNz"},
		{"wss://host/p?q#h", "wss", "host", "/p", "/p", "q", ""},
		{"https://user@host", "wss", "host", "/", "/", "", "Basic dXNlcjo="},
		{"ws://[::1]:80/", "ws", "[::1]:80", "/", "/", "", ""},
		{"/%C3%BCml%C3%A4ut/?%C3%A9", "ws", "testserver", "/ümläut/", "/%C3%BCml%C3%A4ut/", "%C3%A9", ""},
		{"/ümläut/?é", "ws", "testserver", "/ümläut/", "/%C3%BCml%C3%A4ut/", "%C3%A9", ""},
		{"/a%2Fb", "ws", "testserver", "/a/b", "/a%2Fb", "", ""},
		{"/a b?c d", "ws", "testserver", "/a b", "/a%20b", "c%20d", ""},
	} {
		t.Run(c.url, func(t *testing.T) {
			var scope *asgi.Scope
			site := asgitest.New(t, seen(&scope))
			site.Refused(c.url)
			for _, f := range []struct{ name, got, want string }{
				{"scheme", scope.Scheme(), c.scheme},
				{"host", scope.Host(), c.host},
				{"path", scope.Path(), c.path},
				{"raw path", scope.RawPath(), c.rawPath},
				{"raw query", scope.RawQuery(), c.query},
				{"authorization", scope.Header().Get("Authorization"), c.authorization},
			} {
				if f.got != f.want {
					t.Errorf("%s is %q, want %q", f.name, f.got, f.want)
				}
			}
		})
	}
}

func TestBadURLs(t *testing.T) {
	for _, c := range []struct{ url, want string }{
		{"", "begin it with a slash"},
		{"foo/", "begin it with a slash"},
		{"?q", "begin it with a slash"},
		{"/%zz", "invalid URL escape"},
		{"ftp://host/", `scheme "ftp"`},
	} {
		t.Run(c.url, func(t *testing.T) {
			got := record(t, func(t testing.TB) { asgitest.New(t, echo).Dial(c.url) }).text()
			if !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q in it", got, c.want)
			}
		})
	}
}

var userKey = asgi.NewKey[string]("user")

// Options shape the scope; With lays them over one another.
func TestOptions(t *testing.T) {
	var scope *asgi.Scope
	type contextKey struct{}
	site := asgitest.New(t, seen(&scope)).With(&asgitest.Options{
		Header:       http.Header{"x-one": {"1"}, "X-Two": {"2", "3"}},
		Cookies:      []*http.Cookie{{Name: "sessionid", Value: "abc"}, {Name: "b", Value: "c"}},
		Subprotocols: []string{"v2", "v1"},
		Scheme:       "https",
		Host:         "example.org",
		HTTPVersion:  "2",
		Client:       "198.51.100.7:5",
		Server:       "198.51.100.8:6",
		RootPath:     "/a b",
		State:        map[string]any{"db": 1},
		Context:      context.WithValue(t.Context(), contextKey{}, "v"),
		Scope:        func(s *asgi.Scope) *asgi.Scope { return userKey.With(s, "ann") },
	})
	over := &asgitest.Options{
		Header: http.Header{"X-Two": {"4"}},
		Scope: func(s *asgi.Scope) *asgi.Scope {
			user, _ := userKey.Get(s)
			return userKey.With(s, user+" again")
		},
	}
	site.With(over).Refused("/p")
	user, _ := userKey.Get(scope)
	got := fmt.Sprintln(scope.Header(), scope.Subprotocols(), scope.Scheme(), scope.Host(), scope.HTTPVersion(), scope.Client(),
		scope.Server(), scope.RootPath(), scope.Path(), scope.RawPath(), scope.State(), scope.Value(contextKey{}), user)
	want := "map[Cookie:[sessionid=abc; b=c] X-One:[1] X-Two:[4]] [v2 v1] wss example.org 2 198.51.100.7:5" +
		" 198.51.100.8:6 /a b /a b/p /a%20b/p map[db:1] v ann again\n"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	site.Stream("put", "/p", "12", "3").Start()
	if scope.Method() != "PUT" || scope.Scheme() != "https" || scope.Header().Get("Content-Length") != "3" {
		t.Errorf("method %s, scheme %s, header %v", scope.Method(), scope.Scheme(), scope.Header())
	}
	if got := scope.Header()["X-Two"]; len(got) != 2 {
		t.Errorf("With has changed the Site below it: X-Two is %q", got)
	}
}
