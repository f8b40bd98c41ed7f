package routing_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/routing"
)

func TestPatterns(t *testing.T) {
	const id = "0187d0c1-9a3b-7c4d-8e5f-0123456789ab"
	tests := []struct {
		pattern, raw string
		want         string // "name=value …", or "no"
	}{
		{"/", "/", ""},
		{"/", "/x", "no"},
		{"/chat/", "/chat/", ""},
		{"/chat/", "/chat", "no"},
		{"/chat/", "/chat/x", "no"},
		{"/chat/", "/Chat/", "no"},
		{"/chat/", "//chat/", ""},
		{"/chat/", "/chat//", "no"},
		{"/chat/", "/ch%61t/", ""},
		{"/chat/", "/chat%2F", "no"},
		{"/größe/", "/gr%C3%B6%C3%9Fe/", ""},
		{"/größe/", "/größe/", ""},
		{"/a b", "/a%20b", ""},
		{"/100%", "/100%25", ""},
		{"/chat/{room}", "/chat/a", "room=a"},
		{"/chat/{room}", "/chat/a%2Fb", "room=a/b"},
		{"/chat/{room}", "/chat/a%252Fb", "room=a%2Fb"},
		{"/chat/{room}", "/chat/%C3%A9", "room=é"},
		{"/chat/{room}", "/chat/", "no"},
		{"/chat/{room}", "/chat/a/", "no"},
		{"/chat/{room}", "/chat/a/b", "no"},
		{"/{a}/{b}/{c}/", "/1/2/3/", "a=1 b=2 c=3"},
		{"/{a}/{b}", "//b", "no"},
		{"/{name:str}/", "/x/", "name=x"},
		{"/user/{id:int}/", "/user/7/", "id=7"},
		{"/user/{id:int}/", "/user/007/", "id=007"},
		{"/user/{id:int}/", "/user/-7/", "no"},
		{"/user/{id:int}/", "/user/+7/", "no"},
		{"/user/{id:int}/", "/user/%2B7/", "no"},
		{"/user/{id:int}/", "/user/7a/", "no"},
		{"/user/{id:int}/", "/user/1_0/", "no"},
		{"/user/{id:int}/", "/user/99999999999999999999/", "no"},
		{"/user/{id:int}/", "/user/٣/", "no"},
		{"/post/{s:slug}", "/post/my-post_2", "s=my-post_2"},
		{"/post/{s:slug}", "/post/my.post", "no"},
		{"/post/{s:slug}", "/post/%C3%A9", "no"},
		{"/post/{s:slug}", "/post/", "no"},
		{"/job/{id:uuid}", "/job/" + id, "id=" + id},
		{"/job/{id:uuid}", "/job/" + strings.ToUpper(id), "no"},
		{"/job/{id:uuid}", "/job/" + id[1:], "no"},
		{"/job/{id:uuid}", "/job/" + strings.ReplaceAll(id, "-", "0"), "no"},
		{"/files/{rest...}", "/files/", "rest="},
		{"/files/{rest...}", "/files/a/b", "rest=a/b"},
		{"/files/{rest...}", "/files/a%2Fb/", "rest=a/b/"},
		{"/files/{rest...}", "/files", "no"},
		{"/{rest...}", "/", "rest="},
	}
	for _, tt := range tests {
		path, err := url.PathUnescape(tt.raw)
		if err != nil {
			t.Fatal(err)
		}
		var r recorder
		app := routing.URLs(routing.Path(tt.pattern, r.app("app")))
		_, err = r.to(t, app, asgi.Fields{Path: path, RawPath: tt.raw})
		switch {
		case tt.want == "no":
			wantNoRoute(t, err, fmt.Sprintf("%q", path))
		case err != nil:
			t.Errorf("%s does not match %s: %v", tt.pattern, tt.raw, err)
		default:
			for pair := range strings.SplitSeq(tt.want, " ") {
				name, value, _ := strings.Cut(pair, "=")
				if got := routing.Param(r.got.scope, name); got != value {
					t.Errorf("%s on %s: %s is %q, want %q", tt.pattern, tt.raw, name, got, value)
				}
			}
		}
	}
}

func TestMountHandsOnTheRest(t *testing.T) {
	tests := []struct{ prefix, raw, inner, want string }{
		{"/api/", "/api/x", "/x", "reached"},
		{"/api/", "/api/", "/", "reached"},
		{"/api/", "/api", "/{rest...}", ""},
		{"/api/", "/apix/", "/{rest...}", ""},
		{"/", "/x", "/x", "reached"},
		{"/{user}/", "/a%2Fb/x", "/x", "reached"},
		{"/api/", "/api/a%2Fb/c", "/{one}/{two}", "reached"},
		{"/api/", "/api//x", "/x", "no empty segment"},
	}
	for _, tt := range tests {
		path, err := url.PathUnescape(tt.raw)
		if err != nil {
			t.Fatal(err)
		}
		var r recorder
		app := routing.URLs(routing.Mount(tt.prefix, routing.URLs(routing.Path(tt.inner, r.app("reached")))))
		got, err := r.to(t, app, asgi.Fields{Path: path, RawPath: tt.raw})
		if tt.want != "reached" {
			if !errors.Is(err, routing.ErrNoRoute) {
				t.Errorf("Mount(%q) and %q: %s reaches %q, %v; want no route", tt.prefix, tt.inner, tt.raw, got, err)
			}
			continue
		}
		if got != tt.want || err != nil {
			t.Errorf("Mount(%q) and %q: %s reaches %q, %v", tt.prefix, tt.inner, tt.raw, got, err)
		}
	}
}

// Routers below routes that match the whole path, and below regular expressions.
func TestRestBelowOtherRoutes(t *testing.T) {
	tests := []struct {
		name, path string
		route      func(asgi.App) routing.Route
		inner      string
	}{
		{"Path", "/x/", func(a asgi.App) routing.Route { return routing.Path("/x/", a) }, "/"},
		{"rest", "/x/y", func(a asgi.App) routing.Route { return routing.Path("/x/{rest...}", a) }, "/"},
		{"Regexp with an end", "/x/y", func(a asgi.App) routing.Route { return routing.Regexp("^/x/y$", a) }, "/"},
		{"Regexp as a prefix", "/x/y z", func(a asgi.App) routing.Route { return routing.Regexp("^/x/", a) }, "/y z"},
		{"Regexp in the middle of a segment", "/xy", func(a asgi.App) routing.Route { return routing.Regexp("^/x", a) }, "/y"},
	}
	for _, tt := range tests {
		var r recorder
		app := routing.URLs(tt.route(routing.URLs(routing.Path(tt.inner, r.app("inner")))))
		if got, err := r.to(t, app, asgi.Fields{Path: tt.path}); got != "inner" || err != nil {
			t.Errorf("%s: reaches %q, %v", tt.name, got, err)
		}
	}
}

// A middleware that changes the decoded path alone is believed.
func TestPathCountsWhereRawPathDisagrees(t *testing.T) {
	for _, raw := range []string{"/old%2Fer", "/old", "", "/bad%zz", "/new%2Fer/x"} {
		var r recorder
		app := routing.URLs(routing.Path("/new/{id}", r.app("new")))
		if got, err := r.to(t, app, asgi.Fields{Path: "/new/50%", RawPath: raw}); got != "new" || err != nil {
			t.Errorf("raw path %q: reaches %q, %v", raw, got, err)
		} else if id := routing.Param(r.got.scope, "id"); id != "50%" {
			t.Errorf("raw path %q: id is %q", raw, id)
		}
	}
}

func TestParamsWithoutRoutes(t *testing.T) {
	s := asgi.NewScope(asgi.Fields{Type: asgi.HTTP})
	if p, n, a := routing.Param(s, "x"), routing.Int(s, "x"), routing.Args(s); p != "" || n != 0 || a != nil {
		t.Errorf("got %q, %d, %q; want nothing", p, n, a)
	}
}

func TestOptionalGroup(t *testing.T) {
	var r recorder
	app := routing.URLs(routing.Mount("/{page}/", routing.URLs(
		routing.Regexp(`^/list(?:/(?P<page>\d+))?$`, r.app("list")),
	)))
	for path, want := range map[string]string{"/outer/list/7": "7", "/outer/list": "outer"} {
		if _, err := r.to(t, app, at(path)); err != nil {
			t.Fatal(err)
		}
		if got := routing.Param(r.got.scope, "page"); got != want {
			t.Errorf("%s: page is %q, want %q", path, got, want)
		}
	}
}

// FuzzPath throws patterns and paths at each other. What can be read matches its own text, and matching never panics.
func FuzzPath(f *testing.F) {
	for _, seed := range [][2]string{
		{"/", "/"}, {"/ws/chat/{room}/", "/ws/chat/a%2Fb/"}, {"/{id:int}", "/7"}, {"/{rest...}", "//a/../b"},
		{"/<int:id>/", "/%zz"}, {"ws/{x:path}", ""}, {"/{a}/{a}", "/%"}, {"/100%", "/é"}, {"/ :id", "/\x00"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, raw string) {
		var r recorder
		route, ok := tryPath(t, pattern, r.app("app"))
		if !ok {
			return
		}
		app := routing.URLs(route)
		path, err := url.PathUnescape(raw)
		if err != nil {
			path = raw
		}
		if _, err := r.to(t, app, asgi.Fields{Path: path, RawPath: raw}); err != nil && !errors.Is(err, routing.ErrNoRoute) {
			t.Errorf("%q on %q: %v", pattern, raw, err)
		}
		if strings.ContainsAny(pattern, "{}") {
			return
		}
		if _, err := r.to(t, app, asgi.Fields{Path: pattern}); err != nil {
			t.Errorf("%q does not match itself: %v", pattern, err)
		}
	})
}

// tryPath makes a route unless the pattern is a mistake. Anything but a mistake that is explained fails the test.
func tryPath(t *testing.T, pattern string, app asgi.App) (r routing.Route, ok bool) {
	defer func() {
		if v := recover(); v != nil {
			text, isText := v.(string)
			if !isText || !strings.HasPrefix(text, "routing: Path(") {
				t.Errorf("Path(%q) panics with %v", pattern, v)
			}
			ok = false
		}
	}()
	return routing.Path(pattern, app), true
}

// FuzzRootPath cuts root paths off paths.
func FuzzRootPath(f *testing.F) {
	f.Add("/live", "/live/x")
	f.Add("/", "//")
	f.Add("/a/b", "/a%2Fb/c")
	f.Fuzz(func(t *testing.T, root, path string) {
		app := routing.URLs(routing.Path("/{rest...}", asgi.AppFunc(
			func(_ context.Context, s *asgi.Scope, _ asgi.Receive, _ asgi.Send) error {
				if strings.Trim(root, "/") == "" && routing.Param(s, "rest") != strings.TrimLeft(s.Path(), "/") {
					t.Errorf("path %q: the rest is %q", path, routing.Param(s, "rest"))
				}
				return nil
			})))
		scope := asgi.NewScope(asgi.Fields{Type: asgi.HTTP, Path: path, RootPath: root})
		if err := app.Serve(t.Context(), scope, none, swallow); err != nil && !errors.Is(err, routing.ErrNoRoute) {
			t.Error(err)
		}
	})
}
