package routing_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/routing"
)

// BenchmarkURLs routes one connection among 20 routes: to a literal path, to one with a parameter, through a mount, to
// nowhere.
func BenchmarkURLs(b *testing.B) {
	leaf := asgi.AppFunc(func(context.Context, *asgi.Scope, asgi.Receive, asgi.Send) error { return nil })
	var routes []routing.Route
	for i := range 16 {
		routes = append(routes, routing.Path(fmt.Sprintf("/page%d/", i), leaf))
	}
	routes = append(routes,
		routing.Path("/ws/chat/{room}/", leaf),
		routing.Path("/ws/user/{id:int}/", leaf),
		routing.Regexp(`^/archive/(\d+)/$`, leaf),
		routing.Mount("/api/{version}/", routing.URLs(routing.Path("/users/{id:int}/", leaf))),
	)
	app := routing.Protocols(map[string]asgi.App{asgi.WebSocket: routing.URLs(routes...)})
	for name, path := range map[string]string{
		"literal": "/page8/",
		"param":   "/ws/chat/lobby/",
		"encoded": "/ws/chat/l%C3%B6bby/",
		"regexp":  "/archive/2012/",
		"mount":   "/api/v2/users/7/",
		"none":    "/ws/nothing/",
	} {
		b.Run(name, func(b *testing.B) {
			decoded := path
			if name == "encoded" {
				decoded = "/ws/chat/löbby/"
			}
			scope := asgi.NewScope(asgi.Fields{Type: asgi.WebSocket, Path: decoded, RawPath: path})
			b.ReportAllocs()
			for b.Loop() {
				if err := app.Serve(b.Context(), scope, none, swallow); (err != nil) != (name == "none") {
					b.Fatal(err)
				}
			}
		})
	}
}

// A route costs three allocations: what was found, the scope that carries it, and their link; a second parameter one more.
func TestURLsAllocate(t *testing.T) {
	leaf := asgi.AppFunc(func(context.Context, *asgi.Scope, asgi.Receive, asgi.Send) error { return nil })
	for path, most := range map[string]float64{"/ws/1/": 3, "/ws/x/1/": 4} {
		pattern := map[string]string{"/ws/1/": "/ws/{a:int}/", "/ws/x/1/": "/ws/{a}/{b:int}/"}[path]
		app := routing.URLs(routing.Path(pattern, leaf))
		scope := asgi.NewScope(asgi.Fields{Type: asgi.WebSocket, Path: path, RawPath: path})
		ctx := t.Context()
		if got := testing.AllocsPerRun(100, func() { _ = app.Serve(ctx, scope, none, swallow) }); got > most {
			t.Errorf("%s: %v allocations, want at most %v", path, got, most)
		}
	}
}
