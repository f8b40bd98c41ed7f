package routing_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/routing"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// reached is what an app of a test saw of the routers in front of it.
type reached struct {
	name  string
	scope *asgi.Scope
}

// recorder makes apps that say that they were reached.
type recorder struct{ got *reached }

func (r *recorder) app(name string) asgi.App {
	return asgi.AppFunc(func(_ context.Context, scope *asgi.Scope, _ asgi.Receive, _ asgi.Send) error {
		r.got = &reached{name, scope}
		return nil
	})
}

// to returns the name of the app that a path reaches, or the error.
func (r *recorder) to(t *testing.T, app asgi.App, fields asgi.Fields) (string, error) {
	t.Helper()
	r.got = nil
	if fields.Type == "" {
		fields.Type = asgi.WebSocket
	}
	err := app.Serve(t.Context(), asgi.NewScope(fields), none, swallow)
	if err != nil && r.got != nil {
		t.Fatalf("%s was reached, and the error is %v", r.got.name, err)
	}
	if err != nil {
		return "", err
	}
	return r.got.name, nil
}

func none(context.Context) (asgi.Event, error)  { return nil, asgi.ErrClosed }
func swallow(context.Context, asgi.Event) error { return nil }
func plainly(app asgi.App) asgi.App             { return app }
func hidden(app asgi.App) asgi.App              { return asgi.AppFunc(app.Serve) }
func at(path string) asgi.Fields                { return asgi.Fields{Path: path, RawPath: path} }
func params(s *asgi.Scope, names ...string) string {
	var b strings.Builder
	for _, n := range names {
		fmt.Fprintf(&b, "%s=%s ", n, routing.Param(s, n))
	}
	return strings.TrimSpace(b.String())
}

// wantNoRoute demands all that an error without a route promises.
func wantNoRoute(t *testing.T, err error, names string) {
	t.Helper()
	var deny asgi.Deny
	if !errors.Is(err, routing.ErrNoRoute) || !errors.As(err, &deny) || deny.StatusCode() != 404 {
		t.Errorf("error is %v; want ErrNoRoute that wraps a Deny with 404", err)
		return
	}
	if !strings.Contains(err.Error(), names) {
		t.Errorf("error %q does not name %q", err, names)
	}
}

// Case 125.
func TestProtocols(t *testing.T) {
	var r recorder
	app := routing.Protocols(map[string]asgi.App{
		asgi.HTTP:      r.app("pages"),
		asgi.WebSocket: r.app("sockets"),
		"mqtt":         r.app("own"),
	})
	for typ, want := range map[string]string{asgi.HTTP: "pages", asgi.WebSocket: "sockets", "mqtt": "own"} {
		if got, err := r.to(t, app, asgi.Fields{Type: typ}); got != want || err != nil {
			t.Errorf("%s reaches %q, %v; want %q", typ, got, err, want)
		}
	}
	for _, typ := range []string{asgi.Lifespan, "gopher"} {
		_, err := r.to(t, app, asgi.Fields{Type: typ})
		wantNoRoute(t, err, typ)
		if !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: %v does not match ErrUnsupported", typ, err)
		}
	}
	err := app.Serve(t.Context(), asgi.NewScope(asgi.Fields{}), none, swallow)
	wantNoRoute(t, err, `""`) // no type
}

// Case 126.
func TestChannels(t *testing.T) {
	var r recorder
	app := routing.Channels(map[string]asgi.App{"thumbnails": r.app("t"), "mails": r.app("m")})
	for name, want := range map[string]string{"thumbnails": "t", "mails": "m"} {
		if got, err := r.to(t, app, asgi.Fields{Type: asgi.Channel, Channel: name}); got != want || err != nil {
			t.Errorf("%s reaches %q, %v; want %q", name, got, err, want)
		}
	}
	_, err := r.to(t, app, asgi.Fields{Type: asgi.Channel, Channel: "faxes"})
	wantNoRoute(t, err, `"faxes"`)
	_, err = r.to(t, app, asgi.Fields{Type: asgi.HTTP, Path: "/"})
	if err == nil || !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "Protocols") {
		t.Errorf("a scope without a channel: %v; want an error that says where Channels belongs", err)
	}
}

// Case 127.
func TestURLs(t *testing.T) {
	var r recorder
	app := routing.URLs(
		routing.Path("/", r.app("root")),
		routing.Path("/foo/", r.app("foo")),
		routing.Regexp(`bar`, r.app("bar")),
		routing.Regexp(`^/positional/(\w+)/$`, r.app("positional")),
		routing.Regexp(`^/named/(?P<name>\w+)/(\w+)/$`, r.app("named")),
		routing.Path("/default/", r.app("default")).With(map[string]string{"default": "42"}),
		routing.Path("/year/{year:int}/", r.app("year")),
	)
	tests := []struct{ path, want string }{
		{"/", "root"},
		{"/foo/", "foo"},
		{"/bar/", "bar"},
		{"/bar/baz/", "bar"},
		{"/deep/bar", "bar"},
		{"/positional/123/", "positional"},
		{"/named/hello/x/", "named"},
		{"/default/", "default"},
		{"/year/2012/", "year"},
	}
	for _, tt := range tests {
		got, err := r.to(t, app, at(tt.path))
		if got != tt.want || err != nil {
			t.Errorf("case 127: %s reaches %q, %v; want %q", tt.path, got, err, tt.want)
			continue
		}
		s := r.got.scope
		switch tt.want {
		case "positional":
			if a := routing.Args(s); len(a) != 1 || a[0] != "123" {
				t.Errorf("case 127: args are %q", a)
			}
		case "named":
			if p, a := routing.Param(s, "name"), routing.Args(s); p != "hello" || len(a) != 0 {
				t.Errorf("case 127: name is %q, args are %q; want hello and none", p, a)
			}
		case "default":
			if n := routing.Int(s, "default"); n != 42 {
				t.Errorf("case 127: default is %d", n)
			}
		case "year":
			if n := routing.Int(s, "year"); n != 2012 {
				t.Errorf("case 127: year is %d", n)
			}
		}
	}
	for _, path := range []string{"/nothing/", "/foo", "/year/x/", "/year//", "/positional/"} {
		_, err := r.to(t, app, at(path))
		wantNoRoute(t, err, path)
	}
}

// Case 128.
func TestURLsMatchWholePaths(t *testing.T) {
	var r recorder
	app := routing.URLs(routing.Path("/", r.app("root")), routing.Path("/ws/{id:int}/", r.app("ws")))
	for _, path := range []string{"/ws/5", "/ws/5/extra", "/ws/5/extra/", "/ws/"} {
		_, err := r.to(t, app, at(path))
		wantNoRoute(t, err, path)
	}
	for path, want := range map[string]string{"/ws/5/": "ws", "//": "root", "": "root", "//ws/5/": "ws"} {
		if got, err := r.to(t, app, at(path)); got != want || err != nil {
			t.Errorf("case 128: %q reaches %q, %v; want %q", path, got, err, want)
		}
	}
}

// Cases 129 and 130.
func TestURLsRootPath(t *testing.T) {
	var r recorder
	app := routing.URLs(routing.Path("/", r.app("index")), routing.Path("/foo/", r.app("foo")))
	tests := []struct{ name, root, path, raw, want string }{
		{"case 129: index", "/live", "/live/", "", "index"},
		{"case 129: below", "/live", "/live/foo/", "", "foo"},
		{"case 129: not below", "/live", "/", "", ""},
		{"case 129: not below, with a route", "/live", "/foo/", "", ""},
		{"case 129: the root itself", "/live", "/live", "", "index"},
		{"case 130: prefix of a segment", "/live", "/livews/foo/", "", ""},
		{"case 130: prefix of a segment, no slash", "/live", "/livefoo/", "", ""},
		{"two segments", "/a/b", "/a/b/foo/", "", "foo"},
		{"one of two segments", "/a/b", "/a/foo/", "", ""},
		{"slash at the end of the root", "/live/", "/live/foo/", "", "foo"},
		{"encoded", "/rööt", "/rööt/foo/", "/r%C3%B6%C3%B6t/foo/", "foo"},
		{"encoded slash is no end", "/a/b", "/a/b/foo/", "/a%2Fb/foo/", ""},
		{"root is the slash", "/", "/foo/", "", "foo"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.raw == "" {
				tt.raw = tt.path
			}
			got, err := r.to(t, app, asgi.Fields{Path: tt.path, RawPath: tt.raw, RootPath: tt.root})
			if tt.want == "" {
				wantNoRoute(t, err, tt.path)
			} else if got != tt.want || err != nil {
				t.Errorf("reaches %q, %v; want %q", got, err, tt.want)
			}
		})
	}
}

// Case 131.
func TestURLsMergeParams(t *testing.T) {
	var r recorder
	app := routing.URLs(
		routing.Mount("/u/{user}/{both}/", routing.URLs(
			routing.Path("/p/{post:int}/{both}/", r.app("post")).With(map[string]string{"page": "1"}),
		)).With(map[string]string{"page": "9", "site": "s"}),
		routing.Regexp(`^/parent/(\w+)/`, routing.URLs(
			routing.Regexp(`^/child/(\w+)/$`, r.app("child")),
		)),
	)
	if got, err := r.to(t, app, at("/u/ann/outer/p/3/inner/")); got != "post" || err != nil {
		t.Fatalf("reaches %q, %v", got, err)
	}
	want := "user=ann post=3 both=inner page=1 site=s nobody="
	if got := params(r.got.scope, "user", "post", "both", "page", "site", "nobody"); got != want {
		t.Errorf("case 131: parameters are %q, want %q", got, want)
	}
	if got, err := r.to(t, app, at("/parent/foo/child/3/")); got != "child" || err != nil {
		t.Fatalf("reaches %q, %v", got, err)
	}
	if a := routing.Args(r.got.scope); len(a) != 2 || a[0] != "foo" || a[1] != "3" {
		t.Errorf("case 131: args are %q, want foo and 3", a)
	}
}

// Case 132.
func TestURLsNestThroughAnyMiddleware(t *testing.T) {
	seen := asgi.NewKey[bool]("seen")
	marking := func(app asgi.App) asgi.App {
		return asgi.AppFunc(func(ctx context.Context, s *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
			return app.Serve(ctx, seen.With(s, true), receive, send)
		})
	}
	for name, middleware := range map[string]asgi.Middleware{"none": plainly, "another type": hidden, "new scope": marking} {
		var r recorder
		inner := routing.URLs(routing.Path("/{id:int}/", r.app("inner")))
		app := routing.URLs(routing.Mount("/outer/", middleware(routing.Protocols(map[string]asgi.App{
			asgi.WebSocket: middleware(inner),
		}))))
		if got, err := r.to(t, app, at("/outer/5/")); got != "inner" || err != nil {
			t.Errorf("case 132: middleware %s: reaches %q, %v", name, got, err)
		} else if routing.Int(r.got.scope, "id") != 5 {
			t.Errorf("case 132: middleware %s: id is %q", name, routing.Param(r.got.scope, "id"))
		}
	}
}

// Case 133.
func TestURLsFallBack(t *testing.T) {
	for name, middleware := range map[string]asgi.Middleware{"none": plainly, "another type": hidden} {
		var r recorder
		app := routing.URLs(routing.Mount("/", middleware(routing.URLs(
			routing.Mount("/prefix/", middleware(routing.URLs(routing.Path("/no-match/", r.app("1"))))),
			routing.Path("/prefix/stuff/", r.app("2")),
		))), routing.Path("/last/", r.app("3")))
		for path, want := range map[string]string{"/prefix/stuff/": "2", "/prefix/no-match/": "1", "/last/": "3"} {
			if got, err := r.to(t, app, at(path)); got != want || err != nil {
				t.Errorf("case 133: middleware %s: %s reaches %q, %v; want %q", name, path, got, err, want)
			}
		}
		_, err := r.to(t, app, at("/prefix/nothing/"))
		wantNoRoute(t, err, "/prefix/nothing/")
		for _, root := range []string{"/prefix", "/other"} {
			_, err := r.to(t, app, asgi.Fields{Path: "/last/", RawPath: "/last/", RootPath: root})
			wantNoRoute(t, err, root)
		}
	}
}

// An app that has touched the connection keeps it, whatever it returns.
func TestURLsDoNotFallBackFromATouchedConnection(t *testing.T) {
	var r recorder
	touches := map[string]func(asgi.Receive, asgi.Send){
		"receive": func(receive asgi.Receive, _ asgi.Send) { _, _ = receive(t.Context()) },
		"send":    func(_ asgi.Receive, send asgi.Send) { _ = send(t.Context(), asgi.WebSocketAccept{}) },
	}
	for name, touch := range touches {
		first := asgi.AppFunc(func(_ context.Context, _ *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
			touch(receive, send)
			return fmt.Errorf("late: %w", routing.ErrNoRoute)
		})
		app := routing.URLs(routing.Mount("/", first), routing.Path("/x", r.app("second")))
		if got, err := r.to(t, app, at("/x")); got != "" || !errors.Is(err, routing.ErrNoRoute) {
			t.Errorf("after %s: reaches %q, %v; want the first app's error", name, got, err)
		}
	}
	other := errors.New("broken")
	failing := asgi.AppFunc(func(context.Context, *asgi.Scope, asgi.Receive, asgi.Send) error { return other })
	app := routing.URLs(routing.Mount("/", failing), routing.Path("/x", r.app("second")))
	if _, err := r.to(t, app, at("/x")); err != other {
		t.Errorf("error is %v; want the first app's own", err)
	}
}

// Case 135: what the servers answer is theirs to test; here is what they are told.
func TestNoRouteIsARefusalWith404(t *testing.T) {
	app := routing.URLs(routing.Path("/chat/", new(recorder).app("chat")))
	for _, typ := range []string{asgi.HTTP, asgi.WebSocket} {
		err := app.Serve(t.Context(), asgi.NewScope(asgi.Fields{Type: typ, Path: "/nothing", RawPath: "/nothing"}), none, swallow)
		wantNoRoute(t, err, "/nothing")
		if errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: %v matches ErrUnsupported, though the type has paths", typ, err)
		}
	}
	wantNoRoute(t, routing.ErrNoRoute, "no route")
}

// Case 135 for HTTP: 404, and nothing for the log.
func TestNoRouteOverHTTP(t *testing.T) {
	w := httptest.NewRecorder()
	asgi.Handler{
		App:     routing.URLs(routing.Path("/chat/", new(recorder).app("chat"))),
		OnError: func(_ *asgi.Scope, err error) { t.Errorf("case 135: OnError heard %v", err) },
	}.ServeHTTP(w, httptest.NewRequest("GET", "/nothing", nil))
	if w.Code != 404 || w.Body.Len() != 0 {
		t.Errorf("case 135: got %d, %q; want a bare 404", w.Code, w.Body)
	}
}

// Promise S8 rests on this: a router at the top tells the server that there is no lifespan.
func TestURLsHaveNoLifespan(t *testing.T) {
	app := routing.URLs(routing.Path("/", new(recorder).app("root")))
	for _, typ := range []string{asgi.Lifespan, asgi.Channel} {
		err := app.Serve(t.Context(), asgi.NewScope(asgi.Fields{Type: typ}), none, swallow)
		if !errors.Is(err, errors.ErrUnsupported) || !errors.Is(err, routing.ErrNoRoute) || !strings.Contains(err.Error(), typ) {
			t.Errorf("%s: %v; want ErrUnsupported and ErrNoRoute", typ, err)
		}
	}
}
