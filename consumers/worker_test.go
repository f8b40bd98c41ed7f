package consumers_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/memlayer"
	"github.com/tideway-go/tideway/testing/asgitest"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// job is a consumer of the channel "jobs": h is called for each message.
func job(h func(ctx context.Context, c *consumers.Conn, v note) error) asgi.App {
	return consumers.AsyncConsumer[none]{
		Messages: []consumers.Handler[none]{consumers.On(noted, func(_ *none, ctx context.Context, c *consumers.Conn, v note) error {
			return h(ctx, c, v)
		})},
	}.App()
}

// enqueue sends n messages, numbered from 0, to the channel "jobs".
func enqueue(t *testing.T, layer *layers.Layer, n int) {
	t.Helper()
	for i := range n {
		if err := layer.Send(t.Context(), "jobs", noted.With(note{N: i})); err != nil {
			t.Fatal(err)
		}
	}
}

// TestWorkerHarm: Case 209. What is wrong with one message harms that one alone.
func TestWorkerHarm(t *testing.T) {
	for _, c := range []struct {
		name string
		bad  layers.Message
		h    func() error // what the handler does with it
		log  string       // a part of the one line; "": silence
	}{
		{"case 209: handler error", noted.With(note{N: 1}), func() error { return errors.New("boom") }, "boom"},
		{"case 209: panic", noted.With(note{N: 1}), func() error { panic("boom") }, "boom"},
		{"case 209: unlisted type", ticked.With(note{N: 1}), nil, "no handler is listed"},
		{"bad payload", layers.Type[map[string]any](noted).With(map[string]any{"n": "one"}), nil, "message dropped"},
		{"ErrStop", noted.With(note{N: 1}), func() error { return consumers.ErrStop }, ""},
		{"a send to a client that has left", noted.With(note{N: 1}), func() error { return asgi.ErrClosed }, "a handler returned an error of another connection"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				core, logs := observer.New(zapcore.WarnLevel)
				handled := make(chan int, 10)
				site := asgitest.New(t, job(func(ctx context.Context, _ *consumers.Conn, v note) error {
					if v.N == 1 {
						return c.h()
					}
					handled <- v.N
					return nil
				}))
				stop := site.Work(consumers.Worker{Channels: []string{"jobs"}, Logger: zap.New(core)})
				for i, m := range []layers.Message{noted.With(note{N: 0}), c.bad, noted.With(note{N: 2})} {
					if err := site.Layer().Send(t.Context(), "jobs", m); err != nil {
						t.Fatalf("send %d: %v", i, err)
					}
				}
				if a, b := told(t, handled), told(t, handled); a != 0 || b != 2 {
					t.Errorf("case 209: handled %d and %d, want 0 and 2", a, b)
				}
				if err := stop(); err != nil {
					t.Errorf("case 209: the worker ended with %v", err)
				}
				var text strings.Builder
				for _, line := range logs.All() {
					fmt.Fprintln(&text, line.Message, line.ContextMap())
				}
				if c.log == "" && logs.Len() != 0 || c.log != "" && (logs.Len() != 1 || !strings.Contains(text.String(), c.log)) {
					t.Errorf("case 209: the log has %d lines, want one with %q: %s", logs.Len(), c.log, text.String())
				}
				if c.name == "case 209: panic" && !strings.Contains(text.String(), "worker_test.go") {
					t.Errorf("case 209: the line of a panic has no stack: %s", text.String())
				}
			})
		})
	}
}

// TestWorkerConcurrency: Case 209. N at a time, each in an instance of its own; the default is one, in order.
func TestWorkerConcurrency(t *testing.T) {
	for _, n := range []int{0, 1, 4} {
		synctest.Test(t, func(t *testing.T) {
			var inside, most atomic.Int32
			var mu sync.Mutex
			var order []int
			site := asgitest.New(t, job(func(ctx context.Context, c *consumers.Conn, v note) error {
				now := inside.Add(1)
				defer inside.Add(-1)
				for m := most.Load(); now > m && !most.CompareAndSwap(m, now); m = most.Load() {
				}
				rest(ctx, time.Second)
				mu.Lock()
				order = append(order, v.N)
				mu.Unlock()
				return nil
			}))
			site.Work(consumers.Worker{Channels: []string{"jobs"}, Concurrency: n})
			begun := time.Now()
			enqueue(t, site.Layer(), 8)
			for {
				mu.Lock()
				done := len(order)
				mu.Unlock()
				if done == 8 {
					break
				}
				rest(t.Context(), 100*time.Millisecond)
			}
			want := max(1, n)
			if int(most.Load()) != want {
				t.Errorf("case 209: Concurrency %d: %d at a time", n, most.Load())
			}
			if d := time.Since(begun).Round(time.Second); d != time.Duration(8/want)*time.Second {
				t.Errorf("case 209: Concurrency %d: eight handlers of 1 s took %v", n, d)
			}
			for i, v := range order {
				if want == 1 && v != i {
					t.Fatalf("one at a time means in order, got %v", order)
				}
			}
		})
	}
}

// TestWorkerStop: Case 209. The handlers that run finish; what was not begun stays in the queue.
func TestWorkerStop(t *testing.T) {
	for _, c := range []struct {
		name     string
		takes    time.Duration // a handler that heeds its ctx
		after    time.Duration // when Run returns
		finished int
	}{
		{"within StopTime", 3 * time.Second, 3 * time.Second, 2},
		{"longer than StopTime", time.Hour, 5 * time.Second, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				layer := memlayer.New(nil)
				var finished atomic.Int32
				w := consumers.Worker{
					Layer: layer, Channels: []string{"jobs"}, Concurrency: 2, StopTime: 5 * time.Second,
					App: job(func(ctx context.Context, _ *consumers.Conn, v note) error {
						rest(ctx, c.takes)
						if ctx.Err() == nil {
							finished.Add(1)
						}
						return ctx.Err()
					}),
				}
				enqueue(t, layer, 5)
				ctx, cancel := context.WithCancel(t.Context())
				result := make(chan error, 1)
				go func() { result <- w.Run(ctx) }()
				synctest.Wait()
				begun := time.Now()
				cancel()
				if err := <-result; err != nil {
					t.Errorf("Run returned %v", err)
				}
				if d := time.Since(begun); d != c.after {
					t.Errorf("Run returned after %v, want %v", d, c.after)
				}
				if int(finished.Load()) != c.finished {
					t.Errorf("%d handlers have finished, want %d", finished.Load(), c.finished)
				}
				for i := 2; i < 5; i++ {
					m, err := layer.Receive(t.Context(), "jobs")
					if err != nil {
						t.Fatal(err)
					}
					if v, err := noted.Decode(m); err != nil || v.N != i {
						t.Errorf("message %v %v is left, want %d", v, err, i)
					}
				}
			})
		})
	}
}

// TestWorkerDefaultStopTime: 10 s.
func TestWorkerDefaultStopTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		layer := memlayer.New(nil)
		enqueue(t, layer, 1)
		ctx, cancel := context.WithCancel(t.Context())
		var cause error
		w := consumers.Worker{Layer: layer, Channels: []string{"jobs"}, App: job(func(ctx context.Context, c *consumers.Conn, v note) error {
			<-ctx.Done()
			cause = context.Cause(ctx)
			return ctx.Err()
		})}
		time.AfterFunc(time.Second, cancel)
		begun := time.Now()
		if err := w.Run(ctx); err != nil {
			t.Error(err)
		}
		if d := time.Since(begun); d != 11*time.Second {
			t.Errorf("Run returned after %v, want 11 s", d)
		}
		if want := (asgi.DisconnectError{By: asgi.ByServer, Reason: "worker stops"}); cause != want {
			t.Errorf("the handler's ctx ended with %v", cause)
		}
	})
}

// TestWorkerProgress: a handler answers the channel that asked.
func TestWorkerProgress(t *testing.T) {
	type order struct {
		ReplyTo string `json:"reply_to"`
	}
	const ordered layers.Type[order] = "test.order"
	synctest.Test(t, func(t *testing.T) {
		worker := consumers.AsyncConsumer[none]{
			Messages: []consumers.Handler[none]{consumers.On(ordered, func(_ *none, ctx context.Context, c *consumers.Conn, v order) error {
				if got := c.Scope().Type() + " " + c.Scope().Channel(); got != "channel jobs" {
					t.Errorf("the scope is %q", got)
				}
				for i := range 3 {
					if err := c.SendTo(ctx, v.ReplyTo, noted.With(note{Text: "progress", N: i})); err != nil {
						return err
					}
				}
				return nil
			})},
		}.App()
		client := socket{
			Text: func(_ *none, ctx context.Context, c *consumers.Conn, text string) error {
				return c.SendTo(ctx, "jobs", ordered.With(order{ReplyTo: c.ChannelName()}))
			},
			Forward: consumers.Types(noted),
		}.App()
		site := asgitest.New(t, client)
		site.Work(consumers.Worker{App: worker, Channels: []string{"jobs"}})
		ws := site.Dial("/")
		ws.SendText("begin")
		for i := range 3 {
			ws.ExpectJSON(note{Text: "progress", N: i})
		}
		ws.Disconnect()
	})
}

// TestWorkerCannotGoOn: what ends Run with an error.
func TestWorkerCannotGoOn(t *testing.T) {
	good := job(func(context.Context, *consumers.Conn, note) error { return nil })
	failing := asgi.AppFunc(func(context.Context, *asgi.Scope, asgi.Receive, asgi.Send) error { return errors.New("no route") })
	idle := asgi.AppFunc(func(context.Context, *asgi.Scope, asgi.Receive, asgi.Send) error { return nil })
	layer := memlayer.New(nil)
	closed := memlayer.New(nil)
	if err := closed.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		worker consumers.Worker
		text   string
		is     error
	}{
		{"no layer", consumers.Worker{App: good, Channels: []string{"jobs"}}, "register one at start", layers.ErrNoLayer},
		{"no app", consumers.Worker{Layer: layer, Channels: []string{"jobs"}}, "App is nil: set it to routing.Channels", nil},
		{"no channels", consumers.Worker{Layer: layer, App: good}, "Channels is empty: name the channels", nil},
		{"a channel twice", consumers.Worker{Layer: layer, App: good, Channels: []string{"jobs", "chores", "jobs"}}, `Channels names "jobs" twice: name it once`, nil},
		{"negative concurrency", consumers.Worker{Layer: layer, App: good, Channels: []string{"jobs"}, Concurrency: -1}, "Concurrency is -1: give the number", nil},
		{"a name with a space", consumers.Worker{Layer: layer, App: good, Channels: []string{"the jobs"}}, "the jobs", layers.ErrInvalidName},
		{"a process-local name", consumers.Worker{Layer: layer, App: good, Channels: []string{"specific.x!7"}}, "specific.x!7", nil},
		{"a closed layer", consumers.Worker{Layer: closed, App: good, Channels: []string{"jobs"}}, `channel "jobs"`, layers.ErrClosed},
		{"an app that fails at once", consumers.Worker{Layer: layer, App: failing, Channels: []string{"jobs"}}, `channel "jobs": no route`, nil},
		{"an app that returns at once", consumers.Worker{Layer: layer, App: idle, Channels: []string{"jobs"}}, "returned without asking for a message", nil},
		{"one of two channels", consumers.Worker{Layer: layer, App: good, Channels: []string{"jobs", "other jobs"}}, "other jobs", layers.ErrInvalidName},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				err := c.worker.Run(ctx)
				if err == nil || !strings.HasPrefix(err.Error(), "consumers: worker: ") || !strings.Contains(err.Error(), c.text) || c.is != nil && !errors.Is(err, c.is) {
					t.Errorf("Run returned %v, want %q", err, c.text)
				}
			})
		})
	}
}

// TestWorkerOfAClosingLayer: Run ends with an error when its layer is closed under it.
func TestWorkerOfAClosingLayer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		layer := memlayer.New(nil)
		w := consumers.Worker{Layer: layer, Channels: []string{"jobs"}, Concurrency: 3, App: job(func(context.Context, *consumers.Conn, note) error { return nil })}
		time.AfterFunc(time.Second, func() { _ = layer.Close(context.Background()) })
		if err := w.Run(t.Context()); !errors.Is(err, layers.ErrClosed) {
			t.Errorf("Run returned %v, want ErrClosed", err)
		}
	})
}

// TestWorkerBackoff: a layer that does not answer is asked again after a pause that grows to 5 s.
func TestWorkerBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zapcore.ErrorLevel)
		bus := memlayer.NewBus(nil)
		layer, sender := bus.Layer(), bus.Layer()
		handled := make(chan int, 1)
		w := consumers.Worker{Layer: layer, Channels: []string{"jobs"}, Logger: zap.New(core), App: job(func(_ context.Context, _ *consumers.Conn, v note) error {
			handled <- v.N
			return nil
		})}
		bus.Cut(layer, errors.New("unplugged"))
		ctx, cancel := context.WithCancel(t.Context())
		result := make(chan error, 1)
		go func() { result <- w.Run(ctx) }()
		rest(t.Context(), time.Minute)
		if n := logs.Len(); n < 60/5 || n > 40 {
			t.Errorf("a layer that was away for a minute was asked %d times", n)
		}
		bus.Mend(layer)
		if err := sender.Send(t.Context(), "jobs", noted.With(note{N: 7})); err != nil {
			t.Fatal(err)
		}
		if n := told(t, handled); n != 7 {
			t.Errorf("handled %d", n)
		}
		cancel()
		if err := <-result; err != nil {
			t.Error(err)
		}
	})
}

// TestWorkerHasNoClient: what a worker's handler sends to the client that is not there is an error that says so.
func TestWorkerHasNoClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		errs := make(chan error, 1)
		site := asgitest.New(t, job(func(ctx context.Context, c *consumers.Conn, v note) error {
			errs <- c.SendText(ctx, "hello?")
			return nil
		}))
		site.Work(consumers.Worker{Channels: []string{"jobs"}})
		enqueue(t, site.Layer(), 1)
		if err := told(t, errs); err == nil || !strings.Contains(err.Error(), "answer by a message to the channel that asked") {
			t.Errorf("a send from a worker gave %v", err)
		}
	})
}
