package consumers_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/consumers"
)

// TestWorkerStopLog: C10, L18. What the log says of handlers that run when a worker stops.
func TestWorkerStopLog(t *testing.T) {
	const (
		ignores   = "a handler ignores that its ctx has ended: return when ctx.Done() is closed"
		givenBack = "a job was cut short by the end of StopTime, and is given back"
		lost      = "a message was cut short by the end of StopTime, and is lost"
	)
	heeding := func(ctx context.Context) error {
		rest(ctx, time.Hour)
		return ctx.Err()
	}
	deaf := func(d time.Duration) func(context.Context) error {
		return func(context.Context) error {
			rest(context.Background(), d)
			return nil
		}
	}
	plain := func(h func(context.Context) error) asgi.App {
		return asgi.AppFunc(func(ctx context.Context, _ *asgi.Scope, receive asgi.Receive, _ asgi.Send) error {
			if _, err := receive(ctx); err != nil {
				return err
			}
			return h(ctx)
		})
	}
	for _, c := range []struct {
		name    string
		channel string
		table   bool
		h       func(context.Context) error
		log     []string
	}{
		{"it ends in time", "jobs", true, deaf(3 * time.Second), nil},
		{"it heeds its ctx", "jobs", true, heeding, []string{givenBack}},
		{"it heeds its ctx, on a plain queue", "chores", true, heeding, []string{lost}},
		{"it heeds its ctx, no table", "jobs", false, heeding, []string{givenBack}},
		{"a little late", "jobs", true, deaf(14 * time.Second), nil},
		{"it ignores its ctx", "jobs", true, deaf(time.Minute), []string{ignores}},
		{"it ignores its ctx, on a plain queue", "chores", true, deaf(time.Minute), []string{ignores}},
		{"it ignores its ctx, no table", "chores", false, deaf(time.Minute), []string{ignores}},
	} {
		t.Run(c.name, func(t *testing.T) {
			app := plain(c.h)
			if c.table {
				app = job(func(ctx context.Context, _ *consumers.Conn, _ note) error { return c.h(ctx) })
			}
			inYard(t, app, func(w *consumers.Worker) { w.StopTime, w.Channels = 5*time.Second, []string{c.channel} }, func(t *testing.T, y *yard) {
				if err := y.layer.Send(t.Context(), c.channel, noted.With(note{N: 1})); err != nil {
					t.Fatal(err)
				}
				y.start()
				synctest.Wait()
				begun := time.Now()
				y.quit()
				lines := y.logs.All()
				if len(lines) != len(c.log) {
					t.Fatalf("C10: 10 s after the end one line names a handler that ignores its ctx; want %d lines:\n%s", len(c.log), y.log())
				}
				for i, part := range c.log {
					fields := lines[i].ContextMap()
					if lines[i].Message != "consumers: worker: "+part {
						t.Errorf("C10: the log says %q, want %q", lines[i].Message, part)
					}
					if fields["channel"] != c.channel || fields["type"] != noted.String() || fmt.Sprint(fields["attempt"]) != "1" {
						t.Errorf("C10: the line does not say which message: %v", fields)
					}
					if after := lines[i].Time.Sub(begun).Round(time.Second); part == ignores && after != 15*time.Second {
						t.Errorf("C10: the handler was named %v after the end of taking, want 10 s after StopTime", after)
					}
				}
			})
		})
	}
}

// TestJobComesWithTheStop: a job that arrives in the moment in which the worker stops is given back at once.
func TestJobComesWithTheStop(t *testing.T) {
	for range 50 {
		var ran atomic.Int32
		app := job(func(context.Context, *consumers.Conn, note) error { ran.Add(1); return nil })
		inYard(t, app, nil, func(t *testing.T, y *yard) {
			y.start()
			synctest.Wait()
			y.send(noted.With(note{N: 1}))
			y.quit()
			begun := time.Now()
			jobs := y.left("jobs") // which waits for two leases after the last
			if int(ran.Load())+len(jobs) != 1 {
				t.Errorf("L18 broken: it ran %d times, and %d are left", ran.Load(), len(jobs))
			}
			if late := time.Since(begun) - 2*lease; late != 0 {
				t.Errorf("L18 broken: what was not begun was taken after %v, want at once", late)
			}
		})
	}
}
