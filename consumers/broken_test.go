package consumers_test

import (
	"context"
	"sync"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// The middlewares here break promises.

// twins runs two instances of the consumer on one connection, by turns.
func twins(app asgi.App) asgi.App {
	return asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		turn := make(chan int, 1) // a channel, because waiting for a mutex would hold up the bubble's clock
		turn <- 0
		shared := func(ctx context.Context) (asgi.Event, error) {
			calls := <-turn
			defer func() { turn <- calls + 1 }()
			if calls == 1 { // the first event makes two
				return asgi.WebSocketConnect{}, nil
			}
			return receive(ctx)
		}
		tolerant := func(ctx context.Context, ev asgi.Event) error {
			err := send(ctx, ev)
			if _, ok := ev.(asgi.WebSocketAccept); ok {
				return nil
			}
			return err
		}
		var group sync.WaitGroup
		for range 2 {
			group.Go(func() { _ = app.Serve(ctx, scope, shared, tolerant) })
		}
		group.Wait()
		return nil
	})
}

// swapped hands each second message before the first.
func swapped(app asgi.App) asgi.App {
	return asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		var kept asgi.Event
		return app.Serve(ctx, scope, func(ctx context.Context) (asgi.Event, error) {
			if kept != nil {
				ev := kept
				kept = nil
				return ev, nil
			}
			ev, err := receive(ctx)
			if _, message := ev.(asgi.WebSocketReceive); !message {
				return ev, err
			}
			kept = ev
			return receive(ctx)
		}, send)
	})
}

// impersonated lets what is sent to the client come back as if the client had said it.
func impersonated(app asgi.App) asgi.App {
	return asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		first := true
		return app.Serve(ctx, scope, func(ctx context.Context) (asgi.Event, error) {
			ev, err := receive(ctx)
			if _, message := ev.(asgi.WebSocketReceive); message && first {
				first = false
				return asgi.WebSocketReceive{Frame: asgi.TextFrame("of the layer")}, nil
			}
			return ev, err
		}, send)
	})
}

// forgetful drops the last message before a close.
func forgetful(app asgi.App) asgi.App {
	return asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		var last asgi.Event
		return app.Serve(ctx, scope, func(ctx context.Context) (asgi.Event, error) {
			for {
				ev, err := receive(ctx)
				if _, message := ev.(asgi.WebSocketReceive); !message {
					return ev, err
				}
				if before := last; before != nil {
					last = ev
					return before, nil
				}
				last = ev
			}
		}, send)
	})
}

// twice runs the consumer again when it has ended.
func twice(app asgi.App) asgi.App {
	return asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		err := app.Serve(ctx, scope, receive, send)
		events := []asgi.Event{asgi.WebSocketConnect{}, asgi.WebSocketDisconnect{Code: 1000}}
		_ = app.Serve(context.WithoutCancel(ctx), scope, func(context.Context) (asgi.Event, error) {
			if len(events) == 0 {
				return nil, asgi.ErrClosed
			}
			ev := events[0]
			events = events[1:]
			return ev, nil
		}, func(context.Context, asgi.Event) error { return nil })
		return err
	})
}

// plainRefusal refuses in its own words.
func plainRefusal(app asgi.App) asgi.App {
	return asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		if err := app.Serve(ctx, scope, receive, send); err != nil {
			return asgi.Deny{}
		}
		return nil
	})
}

// closesNormally turns every close into a normal one.
func closesNormally(app asgi.App) asgi.App {
	return asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		return app.Serve(ctx, scope, receive, func(ctx context.Context, ev asgi.Event) error {
			if _, ok := ev.(asgi.WebSocketClose); ok {
				ev = asgi.WebSocketClose{}
			}
			return send(ctx, ev)
		})
	})
}

// lateAccept tells the consumer that it has accepted before it has.
func lateAccept(app asgi.App) asgi.App {
	return asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		var mu sync.Mutex
		var accept asgi.Event
		return app.Serve(ctx, scope, receive, func(ctx context.Context, ev asgi.Event) error {
			mu.Lock()
			defer mu.Unlock()
			if _, ok := ev.(asgi.WebSocketAccept); ok {
				accept = ev
				return nil
			}
			if err := send(ctx, ev); err != nil {
				return err
			}
			if accept != nil {
				ev, accept = accept, nil
				return send(ctx, ev)
			}
			return nil
		})
	})
}

// bottomless takes whatever the client that does not read is sent, and keeps it.
func bottomless(app asgi.App) asgi.App {
	return asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		if scope.Path() != "/deaf/" {
			return app.Serve(ctx, scope, receive, send)
		}
		var mu sync.Mutex
		var kept []asgi.Event
		return app.Serve(ctx, scope, receive, func(ctx context.Context, ev asgi.Event) error {
			if _, ok := ev.(asgi.WebSocketSend); ok {
				mu.Lock()
				kept = append(kept, ev)
				mu.Unlock()
				return nil
			}
			return send(ctx, ev)
		})
	})
}

// hasty returns when the client has gone, while the consumer still works.
func hasty(app asgi.App) asgi.App {
	return asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		gone := make(chan struct{})
		go func() {
			_ = app.Serve(ctx, scope, func(ctx context.Context) (asgi.Event, error) {
				ev, err := receive(ctx)
				if _, end := ev.(asgi.WebSocketDisconnect); end {
					close(gone)
				}
				return ev, err
			}, send)
		}()
		<-gone
		return nil
	})
}

// misreported has the consumer hear of another end than the one that was.
func misreported(change func(*asgi.WebSocketDisconnect)) asgi.Middleware {
	return onEnd(func(_ context.CancelCauseFunc, end *asgi.WebSocketDisconnect) { change(end) })
}

// hurried ends the ctx of the handlers as soon as the end is read.
var hurried = onEnd(func(cancel context.CancelCauseFunc, end *asgi.WebSocketDisconnect) {
	cancel(asgi.DisconnectError{Code: end.Code, Reason: end.Reason, By: end.By})
})

// tardy keeps the end to itself for a second.
var tardy = onEnd(func(context.CancelCauseFunc, *asgi.WebSocketDisconnect) { <-time.After(time.Second) })

// onEnd calls f with the last event before the consumer gets it, and with what ends the ctx of Serve.
func onEnd(f func(cancel context.CancelCauseFunc, end *asgi.WebSocketDisconnect)) asgi.Middleware {
	return func(app asgi.App) asgi.App {
		return asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
			ctx, cancel := context.WithCancelCause(ctx)
			defer cancel(nil)
			return app.Serve(ctx, scope, func(ctx context.Context) (asgi.Event, error) {
				ev, err := receive(ctx)
				if end, last := ev.(asgi.WebSocketDisconnect); last {
					f(cancel, &end)
					return end, err
				}
				return ev, err
			}, send)
		})
	}
}

// patient waits for the client that does not read, whoever sends.
func patient(app asgi.App) asgi.App {
	return asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		return app.Serve(ctx, scope, receive, func(ctx context.Context, ev asgi.Event) error {
			return send(context.WithoutCancel(ctx), ev)
		})
	})
}

// unlogged takes the server's logger away.
func unlogged(app asgi.App) asgi.App {
	return asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		return app.Serve(ctx, asgi.LoggerKey.With(scope, zap.NewNop()), receive, send)
	})
}

// nameless logs that something has happened, but not to what.
func nameless(app asgi.App) asgi.App {
	return asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		v, _ := asgi.LoggerKey.Get(scope)
		bare := zap.WrapCore(func(c zapcore.Core) zapcore.Core { return bareCore{c} })
		return app.Serve(ctx, asgi.LoggerKey.With(scope, v.(*zap.Logger).WithOptions(bare)), receive, send)
	})
}

// A bareCore writes entries without their fields.
type bareCore struct{ zapcore.Core }

func (c bareCore) Check(e zapcore.Entry, to *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	return to.AddCore(e, c)
}

func (c bareCore) Write(e zapcore.Entry, _ []zapcore.Field) error { return c.Core.Write(e, nil) }
