package routing_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/routing"
)

// say makes an app that says what it was reached with.
func say(f func(*asgi.Scope) string) asgi.App {
	return asgi.AppFunc(func(_ context.Context, scope *asgi.Scope, _ asgi.Receive, _ asgi.Send) error {
		fmt.Println(f(scope))
		return nil
	})
}

// visit opens a connection.
func visit(app asgi.App, fields asgi.Fields) {
	fields.RawPath = fields.Path
	err := app.Serve(context.Background(), asgi.NewScope(fields), none, swallow)
	if err != nil {
		fmt.Println(err)
	}
}

func ExampleURLs() {
	app := routing.URLs(
		routing.Path("/ws/chat/{room}/", say(func(s *asgi.Scope) string { return "chat in " + routing.Param(s, "room") })),
		routing.Path("/ws/user/{id:int}/", say(func(s *asgi.Scope) string { return fmt.Sprint("user ", routing.Int(s, "id")) })),
	)
	visit(app, asgi.Fields{Type: asgi.WebSocket, Path: "/ws/chat/lobby/"})
	visit(app, asgi.Fields{Type: asgi.WebSocket, Path: "/ws/user/42/"})
	visit(app, asgi.Fields{Type: asgi.WebSocket, Path: "/ws/user/ann/"})
	// Output:
	// chat in lobby
	// user 42
	// routing: no route for "/ws/user/ann/"
}

func ExampleProtocols() {
	app := routing.Protocols(map[string]asgi.App{
		asgi.HTTP:      say(func(*asgi.Scope) string { return "a page" }),
		asgi.WebSocket: say(func(*asgi.Scope) string { return "a socket" }),
	})
	visit(app, asgi.Fields{Type: asgi.WebSocket, Path: "/"})
	visit(app, asgi.Fields{Type: asgi.Lifespan})
	// Output:
	// a socket
	// routing: no route for scope type "lifespan": there is one for http, websocket
}

func ExampleChannels() {
	app := routing.Channels(map[string]asgi.App{
		"thumbnails": say(func(s *asgi.Scope) string { return "work from " + s.Channel() }),
	})
	visit(app, asgi.Fields{Type: asgi.Channel, Channel: "thumbnails"})
	// Output: work from thumbnails
}

// Routers nest through middleware of any kind, which sees the parameters found so far.
func ExampleMount() {
	membersOnly := func(app asgi.App) asgi.App {
		return asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
			if routing.Param(scope, "team") != "gophers" {
				return asgi.Deny{} // 403
			}
			return app.Serve(ctx, scope, receive, send)
		})
	}
	team := routing.URLs(
		routing.Path("/room/{room}/", say(func(s *asgi.Scope) string {
			return routing.Param(s, "team") + " in " + routing.Param(s, "room")
		})),
	)
	app := routing.URLs(routing.Mount("/ws/{team}/", membersOnly(team)))
	visit(app, asgi.Fields{Type: asgi.WebSocket, Path: "/ws/gophers/room/burrow/"})
	visit(app, asgi.Fields{Type: asgi.WebSocket, Path: "/ws/moles/room/burrow/"})
	// Output:
	// gophers in burrow
	// asgi: denied: 403 Forbidden
}

func ExampleRegexp() {
	app := routing.URLs(
		routing.Regexp(`^/log/(?P<day>\d{4}-\d\d-\d\d)\.txt$`, say(func(s *asgi.Scope) string {
			return "log of " + routing.Param(s, "day")
		})),
	)
	visit(app, asgi.Fields{Type: asgi.HTTP, Path: "/log/2026-11-22.txt"})
	// Output: log of 2026-11-22
}

func ExampleArgs() {
	app := routing.URLs(
		routing.Regexp(`^/(\d+)x(\d+)/$`, say(func(s *asgi.Scope) string { return fmt.Sprint(routing.Args(s)) })),
	)
	visit(app, asgi.Fields{Type: asgi.HTTP, Path: "/640x480/"})
	// Output: [640 480]
}

func ExampleRoute_With() {
	list := say(func(s *asgi.Scope) string { return fmt.Sprint("page ", routing.Int(s, "page")) })
	app := routing.URLs(
		routing.Path("/latest/", list).With(map[string]string{"page": "1"}),
		routing.Path("/page/{page:int}/", list),
	)
	visit(app, asgi.Fields{Type: asgi.HTTP, Path: "/latest/"})
	visit(app, asgi.Fields{Type: asgi.HTTP, Path: "/page/7/"})
	// Output:
	// page 1
	// page 7
}

// An app that does not want the connection leaves it to the next route.
func ExamplePath_noRoute() {
	preview := asgi.AppFunc(func(_ context.Context, scope *asgi.Scope, _ asgi.Receive, _ asgi.Send) error {
		if scope.Header().Get("X-Preview") == "" {
			return routing.ErrNoRoute // nothing has been received or sent
		}
		return errors.New("not today")
	})
	app := routing.URLs(
		routing.Mount("/", preview),
		routing.Path("/news/", say(func(*asgi.Scope) string { return "the news" })),
	)
	visit(app, asgi.Fields{Type: asgi.HTTP, Path: "/news/"})
	// Output: the news
}
