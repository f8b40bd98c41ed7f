package consumers_test

import (
	"context"
	"fmt"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/consumers"
)

// slow is an observer that prints the handlers that take longer than a limit.
type slow struct{ limit time.Duration }

func (s slow) Opened(consumer string, c *consumers.Conn) {}
func (s slow) Closed(consumer string, c *consumers.Conn) {}

func (s slow) Begin(ctx context.Context, call consumers.Call) context.Context { return ctx }

func (s slow) End(ctx context.Context, call consumers.Call, result consumers.Result) {
	if result.Took >= s.limit {
		fmt.Println(call.Consumer, call.Kind, call.Type, result.Outcome)
	}
}

// middleware brings the observer to every connection of app.
func (s slow) middleware(app asgi.App) asgi.App {
	return asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		return app.Serve(ctx, consumers.WithObserver(scope, s), receive, send)
	})
}

// parrot says what it hears.
type parrot struct{}

func (p *parrot) text(ctx context.Context, c *consumers.Conn, text string) error {
	return c.SendText(ctx, text)
}

// An observer hears of every handler that the consumers below its middleware run.
func ExampleObserver() {
	app := asgi.Wrap(consumers.AsyncWebsocketConsumer[parrot]{Text: (*parrot).text}.App(), slow{limit: 0}.middleware)

	client := script(1, "hello") // connects, says it once, and leaves
	if err := app.Serve(context.Background(), asgi.NewScope(asgi.Fields{Type: asgi.WebSocket}), client, nowhere); err != nil {
		fmt.Println(err)
	}
	// Output:
	// consumers_test.parrot connect  ok
	// consumers_test.parrot text  ok
}
