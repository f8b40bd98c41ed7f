package consumers_test

import (
	"context"
	"testing"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/consumers"
)

// none is the state of consumers that need none.
type none struct{}

// socket is the table that most tests here fill in.
type socket = consumers.AsyncWebsocketConsumer[none]

// A wire is a server of a few lines: it sets up nothing by itself, neither a layer nor a logger, and checks nothing.
type wire struct {
	in  chan asgi.Event
	out chan asgi.Event
	end chan error // what Serve returned
}

// connect runs app on a scope of the given fields until the test ends it by a disconnect.
func connect(t testing.TB, app asgi.App, scope *asgi.Scope) *wire {
	w := &wire{make(chan asgi.Event, 100), make(chan asgi.Event, 100), make(chan error, 1)}
	go func() { w.end <- app.Serve(t.Context(), scope, w.receive, w.send) }()
	return w
}

// receive is a method, not a func literal: any value of the type asgi.Receive will do (case 93).
func (w *wire) receive(ctx context.Context) (asgi.Event, error) {
	select {
	case ev := <-w.in:
		return ev, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (w *wire) send(_ context.Context, ev asgi.Event) error {
	w.out <- ev
	return nil
}

// told returns what a handler's goroutine puts into a channel.
func told[T any](t testing.TB, values <-chan T) T {
	t.Helper()
	select {
	case v := <-values:
		return v
	case <-time.After(time.Minute): // of the bubble's clock
		t.Fatal("nothing was told")
	}
	panic("not reached")
}

// handlerTime is how long a handler may run before its connection gets a second goroutine, and what it has sent is
// written.
const handlerTime = time.Millisecond
