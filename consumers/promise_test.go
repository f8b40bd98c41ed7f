package consumers_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/tideway-go/tideway/asgi"
)

// A promise of the package comment: how it is checked, and how it looks when it is broken.
type promise struct {
	number, text string
	// check demands the promise of consumers that wrap may have broken.
	check func(t testing.TB, wrap asgi.Middleware)
	// broken stands between server and consumer and breaks just this promise.
	broken asgi.Middleware
}

var promises = []promise{
	{"C1", "Handlers of one connection never overlap; state needs no lock. All methods of Conn are safe from any goroutine.", checkC1, twins},
	{"C2", "Each lane in order; neither starves the other.", checkC2, swapped},
	{"C3", "Only listed handlers are reachable. A message of an unlisted type is dropped and counted.", checkC3, impersonated},
	{"C4", "Client events read before a close are still handled, in order; then, or 1 s after the close, ctx ends with a cause that tells code, reason and who.", checkC4, forgetful},
	{"C5", "Disconnect runs exactly once if and only if Connect returned nil or called Accept; groups are left after it.", checkC5, twice},
	{"C6", "Nil from Connect accepts. asgi.Deny refuses with that HTTP response.", checkC6, plainRefusal},
	{"C7", "A handler's error closes with 1011, or with the code it carries; a panic closes with 1011; no other connection notices.", checkC7, closesNormally},
	{"C8", "Nothing from a group is written before the accept.", checkC8, lateAccept},
	{"C9", "The memory that a client which never reads holds is bounded, and nobody else waits for it.", checkC9, bottomless},
	{"C10", "Every goroutine that a connection started has ended when Serve returns.", checkC10, hasty},
}

func TestPromises(t *testing.T) {
	for _, p := range promises {
		t.Run(p.number, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { p.check(&promised{t, p}, whole) })
		})
	}
}

// TestBrokenPromises shows that each check can fail: on a consumer that breaks the promise, it names it.
func TestBrokenPromises(t *testing.T) {
	for _, p := range promises {
		t.Run(p.number, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &recorder{TB: t}
				r.run(func() { p.check(&promised{r, p}, p.broken) })
				if !strings.HasPrefix(r.first(), p.number+" broken: ") {
					t.Errorf("the check of %s did not notice a consumer that breaks it; it said %q", p.number, r.failures)
				}
			})
		})
	}
}

// whole breaks nothing.
func whole(app asgi.App) asgi.App { return app }

// promised puts the promise in front of every failure.
type promised struct {
	testing.TB
	p promise
}

func (t *promised) Errorf(format string, args ...any) {
	t.Helper()
	t.TB.Errorf("%s broken: %s: %s", t.p.number, t.p.text, fmt.Sprintf(format, args...))
}

func (t *promised) Fatalf(format string, args ...any) {
	t.Helper()
	t.TB.Fatalf("%s broken: %s: %s", t.p.number, t.p.text, fmt.Sprintf(format, args...))
}

func (t *promised) Error(args ...any) { t.Helper(); t.Errorf("%s", fmt.Sprint(args...)) }
func (t *promised) Fatal(args ...any) { t.Helper(); t.Fatalf("%s", fmt.Sprint(args...)) }

// A recorder is a testing.TB whose failures are kept instead of failing the test.
type recorder struct {
	testing.TB
	mu       sync.Mutex
	failures []string
	cleanups []func()
}

// run calls check as a test of its own, cleanups included.
func (r *recorder) run(check func()) {
	r.apart(check)
	for i := len(r.cleanups) - 1; i >= 0; i-- {
		r.apart(r.cleanups[i])
	}
}

// apart calls f on a goroutine that Fatalf may end.
func (r *recorder) apart(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	<-done
}

func (r *recorder) first() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.failures) == 0 {
		return ""
	}
	return r.failures[0]
}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Error(args ...any) { r.Errorf("%s", fmt.Sprint(args...)) }
func (r *recorder) Fatal(args ...any) { r.Fatalf("%s", fmt.Sprint(args...)) }
func (r *recorder) FailNow()          { r.Fatalf("failed") }
func (r *recorder) Fail()             { r.Errorf("failed") }
func (r *recorder) Cleanup(f func())  { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Failed() bool      { return r.first() != "" }
func (r *recorder) Logf(string, ...any) {
}

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
