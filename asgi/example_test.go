package asgi_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"

	"github.com/tideway-go/tideway/asgi"
)

// The application of the package comment. Its check of the type keeps it out of what it cannot serve.
func Example() {
	app := asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		if scope.Type() != asgi.HTTP { // the life of the process, a WebSocket
			return fmt.Errorf("hello: scope type %q: %w", scope.Type(), errors.ErrUnsupported)
		}
		if _, err := receive(ctx); err != nil { // the whole body of a small request
			return err
		}
		if err := send(ctx, asgi.HTTPResponseStart{Status: 200}); err != nil {
			return err
		}
		return send(ctx, asgi.HTTPResponseBody{Body: []byte("hello\n")})
	})

	response := httptest.NewRecorder()
	asgi.Handler{App: app}.ServeHTTP(response, httptest.NewRequest("GET", "/", nil))
	fmt.Print(response.Code, " ", response.Body)

	life := asgi.NewScope(asgi.Fields{Type: asgi.Lifespan})
	fmt.Println(app.Serve(context.Background(), life, nil, nil))
	// Output:
	// 200 hello
	// hello: scope type "lifespan": unsupported operation
}

// userKey stands beside the middleware that sets it.
var userKey = asgi.NewKey[string]("user")

// A middleware hands on a derived scope, or refuses.
func ExampleMiddleware() {
	authenticated := func(app asgi.App) asgi.App {
		return asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
			name := scope.Header().Get("X-User")
			if name == "" {
				return asgi.Deny{Status: 401}
			}
			return app.Serve(ctx, userKey.With(scope, name), receive, send)
		})
	}
	app := asgi.Wrap(asgi.AppFunc(func(_ context.Context, scope *asgi.Scope, _ asgi.Receive, _ asgi.Send) error {
		name, _ := userKey.Get(scope)
		fmt.Println("hello", name)
		return nil
	}), authenticated)

	for _, header := range []map[string][]string{{"X-User": {"ann"}}, {}} {
		scope := asgi.NewScope(asgi.Fields{Type: asgi.WebSocket, Path: "/", Header: header})
		if err := app.Serve(context.Background(), scope, nil, nil); err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// hello ann
	// asgi: denied: 401 Unauthorized
}

// A middleware that watches what the application sends replaces Send.
func ExampleSend() {
	counting := func(app asgi.App) asgi.App {
		return asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
			bytes := 0
			err := app.Serve(ctx, scope, receive, func(ctx context.Context, event asgi.Event) error {
				if part, ok := event.(asgi.HTTPResponseBody); ok {
					bytes += len(part.Body)
				}
				return send(ctx, event)
			})
			fmt.Println(bytes, "bytes")
			return err
		})
	}
	app := asgi.Wrap(asgi.AppFunc(func(ctx context.Context, _ *asgi.Scope, _ asgi.Receive, send asgi.Send) error {
		return errors.Join(
			send(ctx, asgi.HTTPResponseStart{Status: 200}),
			send(ctx, asgi.HTTPResponseBody{Body: []byte("hello")}),
		)
	}), counting)
	discard := func(context.Context, asgi.Event) error { return nil }
	_ = app.Serve(context.Background(), asgi.NewScope(asgi.Fields{Type: asgi.HTTP}), nil, discard)
	// Output: 5 bytes
}

func ExampleScope_Derive() {
	scope := asgi.NewScope(asgi.Fields{Type: asgi.HTTP, Path: "/old"})
	derived := scope.Derive(func(f *asgi.Fields) { f.Path = "/new" })
	fmt.Println(scope.Path(), derived.Path())
	// Output: /old /new
}

// One frame for many connections is encoded once for each setting.
func ExamplePrepared() {
	p := asgi.Prepare(asgi.TextFrame("to all"))
	encode := func(f asgi.Frame) []byte {
		fmt.Println("encoding")
		return append([]byte{0x81, byte(len(f.Data))}, f.Data...)
	}
	for range 3 {
		fmt.Println(len(p.Encoded(asgi.Plain, encode)))
	}
	// Output:
	// encoding
	// 8
	// 8
	// 8
}
