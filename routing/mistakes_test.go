package routing_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/routing"
)

// Every mistake in a set-up panics with the line of the mistake and with what to write instead.
func TestMistakes(t *testing.T) {
	app := new(recorder).app("app")
	path := func(pattern string) func() { return func() { routing.Path(pattern, app) } }
	mount := func(prefix string) func() { return func() { routing.Mount(prefix, app) } }
	expr := func(e string) func() { return func() { routing.Regexp(e, app) } }
	tests := []struct {
		name string
		do   func()
		want string
	}{
		{"Django", path("ws/<int:id>/"), `Path("ws/<int:id>/"): parameters stand in braces: write "/ws/{id:int}/"`},
		{"Django without type", path("/<room>/"), `write "/{room}/"`},
		{"Django path", path("/<path:rest>"), `write "/{rest...}"`},
		{"Django str", path("<str:s>"), `write "/{s}"`},
		{"no slash", path("ws/"), `write "/ws/"`},
		{"empty", path(""), `write "/"`},
		{"regular expression", path("^ws/$"), "use routing.Regexp"},
		{"regular expression with an end", path("/ws/$"), "use routing.Regexp"},
		{"group", path(`/ws/(?P<room>\w+)/`), "use routing.Regexp"},
		{"method", path("GET /x"), `write "/x"`},
		{"query", path("/x?y=1"), `remove what follows "/x"`},
		{"encoded", path("/a%20b"), `write "/a b"`},
		{"empty segment", path("/a//b"), "remove one of the two slashes"},
		{"two slashes at the start", path("//b"), "remove one of the two slashes"},
		{"duplicate name", path("/{id}/{id}"), `two parameters are named "id"`},
		{"duplicate name in the rest", path("/{id}/{id...}"), `two parameters are named "id"`},
		{"part of a segment", path("/{id}.json"), "use routing.Regexp"},
		{"open brace", path("/{id"), "use routing.Regexp"},
		{"stray brace", path("/id}"), "use routing.Regexp"},
		{"no name", path("/{}"), "such as {room}"},
		{"bad name", path("/{room-name}"), "such as {room}"},
		{"unknown type", path("/{id:float}"), "write one of str, int, slug, uuid"},
		{"path as a type", path("/{p:path}"), "write {p...}"},
		{"rest with a type", path("/{p...:int}"), "the rest of a path has no type: write {p...}"},
		{"typed rest", path("/{p:int...}"), `there is no type "int..."`},
		{"rest in the middle", path("/{p...}/x"), "{p...} must be the last segment"},
		{"end marker", path("/x/{$}"), "{$} is not needed"},
		{"colon", path("/users/:id"), "write {id} for :id"},
		{"star", path("/ws/*"), "write {name} for one segment, {name...} for the rest"},
		{"two stars", path("/ws/**"), "a star is no wildcard"},
		{"nil app", func() { routing.Path("/", nil) }, `Path("/"): the app is nil`},
		{"Mount without slash", mount("/api"), `write "/api/"`},
		{"Mount of a parameter", mount("/{user}"), `write "/{user}/"`},
		{"Mount with a rest", mount("/api/{rest...}"), "remove {rest...}"},
		{"Mount of a bad pattern", mount("api/"), `Mount("api/"): it does not begin with a slash`},
		{"Mount of nil", func() { routing.Mount("/", nil) }, "the app is nil"},
		{"bad expression", expr("("), "missing closing )"},
		{"expression of Django", expr(`^ws/chat/(?P<room>\w+)/$`), `can never match, because paths begin with a slash: write "^/ws/chat/`},
		{"expression that begins with a group", expr(`^(?P<room>\w+)/$`), `write "^/(?P<room>`},
		{"expression that begins with a choice", expr(`^(?:a|b+|[c-e]{2})/`), "can never match"},
		{"Regexp of nil", func() { routing.Regexp("x", nil) }, "the app is nil"},
		{"With of a capture", func() { routing.Path("/{id}", app).With(map[string]string{"id": "1"}) }, `With sets "id", which the path has too`},
		{"With of a group", func() { routing.Regexp("(?P<id>.)", app).With(map[string]string{"id": "1"}) }, `With sets "id"`},
		{"no routes", func() { routing.URLs() }, "there are no routes"},
		{"zero route", func() { routing.URLs(routing.Path("/", app), routing.Route{}) }, "route 2 is empty: make it with routing.Path"},
		{"no protocols", func() { routing.Protocols(nil) }, "there is no app in the map"},
		{"nil protocol", func() { routing.Protocols(map[string]asgi.App{asgi.HTTP: nil}) }, `the app for "http" is nil`},
		{"scheme", func() { routing.Protocols(map[string]asgi.App{"ws": app}) }, `write "websocket"`},
		{"scheme https", func() { routing.Protocols(map[string]asgi.App{"https": app}) }, `write "http"`},
		{"capital letters", func() { routing.Protocols(map[string]asgi.App{"WebSocket": app}) }, `write "websocket"`},
		{"name in capitals", func() { routing.Protocols(map[string]asgi.App{"HTTP": app}) }, `write "http"`},
		{"no channels", func() { routing.Channels(nil) }, "there is no app in the map"},
		{"nil channel", func() { routing.Channels(map[string]asgi.App{"a": nil}) }, `the app for "a" is nil`},
		{"channel without a name", func() { routing.Channels(map[string]asgi.App{"": app}) }, "name the channel"},
	}
	line := regexp.MustCompile(`\n\tat .*mistakes_test\.go:\d+$`)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text := panicText(tt.do)
			if !strings.HasPrefix(text, "routing: ") || !strings.Contains(text, tt.want) {
				t.Errorf("panics with %q\nwant %q in it", text, tt.want)
			}
			if !line.MatchString(text) {
				t.Errorf("panics with %q, which does not end with the line of the mistake", text)
			}
		})
	}
}

// panicText is what f panics with, or nothing.
func panicText(f func()) (text string) {
	defer func() {
		if v := recover(); v != nil {
			text = fmt.Sprint(v)
		}
	}()
	f()
	return ""
}

// Expressions that look like the mistake and are none.
func TestExpressionsThatCanMatch(t *testing.T) {
	for expr, path := range map[string]string{
		`^`: "/", `^$|^/`: "/", `^/ws`: "/ws", `^[/w]`: "/", `^.`: "/", `^x*/`: "/", `^x?/`: "/", `^(a|/b)`: "/b", `^x{0,2}/`: "/",
		`ws`: "/a/ws", `^(?:)/`: "/", `^(/)+`: "/", `\b`: "/x", `^\W+ws$`: "/ws", `(?i)^/WS`: "/ws", `a|^b`: "/a",
	} {
		var r recorder
		if got, err := r.to(t, routing.URLs(routing.Regexp(expr, r.app("app"))), at(path)); got != "app" {
			t.Errorf("%s does not match %s: %v", expr, path, err)
		}
	}
}

func TestShadowedRoutes(t *testing.T) {
	app := new(recorder).app("app")
	path := func(p string) routing.Route { return routing.Path(p, app) }
	tests := []struct {
		first, second routing.Route
		shadowed      bool
	}{
		{path("/a/"), path("/a/"), true},
		{path("/a"), path("/a/"), false},
		{path("/{x}/"), path("/{y}/"), true},
		{path("/{x}/"), path("/a/"), true},
		{path("/a/"), path("/{x}/"), false},
		{path("/{x:int}"), path("/7"), true},
		{path("/{x:int}"), path("/a"), false},
		{path("/{x:int}"), path("/{x:slug}"), false},
		{path("/{x:slug}"), path("/{x:int}"), true},
		{path("/{x:slug}"), path("/{x:uuid}"), true},
		{path("/{x:uuid}"), path("/{x:slug}"), false},
		{path("/{x:slug}"), path("/{x}"), false},
		{path("/{x}"), path("/{x:str}"), true},
		{path("/{x}"), path("/"), false},
		{path("/{x...}"), path("/"), true},
		{path("/{x...}"), path("/a/b/{c}"), true},
		{path("/a/{x...}"), path("/a/"), true},
		{path("/a/{x...}"), path("/a"), false},
		{path("/a/{x...}"), path("/{y...}"), false},
		{path("/a/{x...}"), path("/a/{y...}"), true},
		{path("/a/{x}"), path("/a/{y...}"), false},
		{path("/a/{x...}"), routing.Mount("/a/b/", app), true},
		{path("/a/{x...}"), routing.Mount("/", app), false},
		{path("/a/"), routing.Mount("/a/", app), false},
		{routing.Mount("/a/", app), path("/a/b"), false}, // the mounted app may have no route
		{routing.Mount("/a/", app), routing.Mount("/a/", app), false},
		{routing.Regexp("^/a$", app), routing.Regexp("^/a$", app), true},
		{routing.Regexp("^/a$", app), routing.Regexp("^/b$", app), false},
		{routing.Regexp("^/a$", app), path("/a"), false},
		{path("/a"), routing.Regexp("^/a$", app), false},
	}
	for i, tt := range tests {
		text := panicText(func() { routing.URLs(path("/zero"), tt.first, tt.second) })
		switch {
		case !tt.shadowed && text != "":
			t.Errorf("pair %d: panics with %q", i, text)
		case tt.shadowed && (!strings.Contains(text, "route 3,") || !strings.Contains(text, "route 2,") ||
			strings.Count(text, "mistakes_test.go:") != 2):
			t.Errorf("pair %d: panics with %q; want both routes with their lines", i, text)
		}
	}
}

// Case 134: include() has no counterpart; routers nest as values, and what is no route does not compile. An empty
// Route, which does, is refused like any other mistake.
func TestIncludeIsRefused(t *testing.T) {
	if text := panicText(func() { routing.URLs(routing.Route{}) }); !strings.Contains(text, "make it with routing.Path") {
		t.Errorf("case 134: panics with %q", text)
	}
}

func TestMapsAreCopied(t *testing.T) {
	var r recorder
	apps := map[string]asgi.App{asgi.HTTP: r.app("http")}
	channels := map[string]asgi.App{"c": r.app("c")}
	params := map[string]string{"p": "1"}
	byProtocol, byName := routing.Protocols(apps), routing.Channels(channels)
	byURL := routing.URLs(routing.Path("/", r.app("p")).With(params))
	clear(apps)
	clear(channels)
	params["p"] = "2"
	if _, err := r.to(t, byProtocol, asgi.Fields{Type: asgi.HTTP}); err != nil {
		t.Errorf("Protocols: %v", err)
	}
	if _, err := r.to(t, byName, asgi.Fields{Type: asgi.Channel, Channel: "c"}); err != nil {
		t.Errorf("Channels: %v", err)
	}
	if _, err := r.to(t, byURL, at("/")); err != nil || routing.Param(r.got.scope, "p") != "1" {
		t.Errorf("With: %v, p is %q", err, routing.Param(r.got.scope, "p"))
	}
}
