package consumers_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/consumers"
)

type contextKey struct{}

// TestContext: the ctx of handlers behaves as one of package context, whatever is done with it first, and however the
// connection ends.
func TestContext(t *testing.T) {
	lost := asgi.WebSocketDisconnect{Code: 1006, By: asgi.ByNetwork}
	for _, c := range []struct {
		name string
		use  func(ctx context.Context) (wait context.Context)
	}{
		{"itself", func(ctx context.Context) context.Context { return ctx }},
		{"Err first", func(ctx context.Context) context.Context { _ = ctx.Err(); return ctx }},
		{"a child", func(ctx context.Context) context.Context {
			child, cancel := context.WithCancel(ctx)
			context.AfterFunc(child, cancel)
			return child
		}},
		{"a child with a timeout", func(ctx context.Context) context.Context {
			child, cancel := context.WithTimeout(ctx, time.Hour)
			context.AfterFunc(child, cancel)
			return child
		}},
		{"a grandchild behind a value", func(ctx context.Context) context.Context {
			child, cancel := context.WithCancel(context.WithValue(ctx, contextKey{}, "child"))
			context.AfterFunc(child, cancel)
			return child
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				deadline := time.Now().Add(24 * time.Hour)
				base, cancel := context.WithDeadline(context.WithValue(t.Context(), contextKey{}, "base"), deadline)
				defer cancel()
				causes := make(chan error, 1)
				app := socket{Connect: func(_ *none, ctx context.Context, conn *consumers.Conn) error {
					if d, ok := ctx.Deadline(); !ok || !d.Equal(deadline) || ctx.Value(contextKey{}) != "base" {
						t.Errorf("ctx has deadline %v and value %v, want those of Serve's", d, ctx.Value(contextKey{}))
					}
					conn.Go(func(ctx context.Context) error {
						ctx = c.use(ctx)
						if ctx.Err() != nil || context.Cause(ctx) != nil {
							t.Errorf("ctx has ended with %v before the connection", context.Cause(ctx))
						}
						<-ctx.Done()
						causes <- context.Cause(ctx)
						return ctx.Err()
					})
					return nil
				}}.App()
				w := &wire{make(chan asgi.Event, 100), make(chan asgi.Event, 100), make(chan error, 1)}
				w.in <- asgi.WebSocketConnect{}
				go func() { w.end <- app.Serve(base, asgi.NewScope(asgi.Fields{Type: asgi.WebSocket}), w.receive, w.send) }()
				synctest.Wait()
				stacks := make([]byte, 1<<18)
				if strings.Contains(string(stacks[:runtime.Stack(stacks, true)]), "propagateCancel") {
					t.Error("a child of ctx costs a goroutine")
				}
				w.in <- lost
				if err := <-w.end; err != nil {
					t.Errorf("Serve returned %v", err)
				}
				var why asgi.DisconnectError
				if cause := told(t, causes); !errors.As(cause, &why) || why.By != asgi.ByNetwork {
					t.Errorf("ctx ended with cause %v", cause)
				}
			})
		})
	}
}
