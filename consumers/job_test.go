package consumers_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
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

// A yard is a bus whose queue "jobs" is durable, and a worker that serves it, in a bubble.
type yard struct {
	*testing.T
	bus    *memlayer.Bus
	layer  *layers.Layer // of the worker
	worker *consumers.Worker
	logs   *observer.ObservedLogs
	stop   context.CancelFunc
	ended  chan error
}

const (
	lease  = 30 * time.Second
	expiry = 5 * time.Second
)

// inYard runs f in a bubble. change, if there is one, has the last word on the worker, which f starts.
func inYard(t *testing.T, app asgi.App, change func(*consumers.Worker), f func(t *testing.T, y *yard)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		bus := memlayer.NewBus(&layers.Options{Expiry: expiry, Durables: []layers.Durable{{Queues: "jobs", Lease: lease}}})
		y := &yard{T: t, bus: bus}
		y.hire(app, change)
		f(t, y)
	})
}

// hire makes another process with a worker, which replaces the one that the yard had.
func (y *yard) hire(app asgi.App, change func(*consumers.Worker)) {
	core, logs := observer.New(zapcore.WarnLevel)
	y.layer, y.logs = y.bus.Layer(), logs
	y.worker = &consumers.Worker{
		Layer: y.layer, App: app, Channels: []string{"jobs"}, Logger: zap.New(core),
		Attempts: 3, Backoff: func(attempt int) time.Duration { return time.Duration(attempt) * 10 * time.Second },
	}
	if change != nil {
		change(y.worker)
	}
}

// start runs the worker until quit.
func (y *yard) start() {
	var ctx context.Context
	ctx, y.stop = context.WithCancel(context.Background())
	y.ended = make(chan error, 1)
	w, ended := y.worker, y.ended
	go func() { ended <- w.Run(ctx) }()
	y.Cleanup(y.stop)
}

func (y *yard) quit() {
	y.Helper()
	y.stop()
	if err := <-y.ended; err != nil {
		y.Errorf("Run returned %v", err)
	}
}

func (y *yard) send(m layers.Message) {
	y.Helper()
	if err := y.layer.Send(y.Context(), "jobs", m); err != nil {
		y.Fatal(err)
	}
}

// settled waits until so many jobs have come to an end, and for the log.
func (y *yard) settled(n uint64) consumers.WorkerHealth {
	y.Helper()
	for range 200_000 { // more than 5 hours
		if h := y.worker.Health(); h.Done+h.Buried >= n && h.Busy == 0 {
			return h
		}
		rest(y.Context(), 100*time.Millisecond)
	}
	y.Fatalf("L18 broken: %d jobs have not come to an end: %+v", n, y.worker.Health())
	return consumers.WorkerHealth{}
}

// left counts what waits in a queue, and ends it.
func (y *yard) left(queue string) (all []*layers.Job) {
	y.Helper()
	l := y.bus.Layer()
	for {
		ctx, cancel := context.WithTimeout(context.Background(), 2*lease)
		job, err := l.Take(ctx, queue)
		cancel()
		if err != nil {
			return all
		}
		if err := job.Done(y.Context()); err != nil {
			y.Fatal(err)
		}
		all = append(all, job)
	}
}

func (y *yard) log() string {
	var text strings.Builder
	for _, line := range y.logs.All() {
		fmt.Fprintln(&text, line.Message, line.ContextMap())
	}
	return text.String()
}

// TestJobOutcomes: what becomes of a job by what its handler does.
func TestJobOutcomes(t *testing.T) {
	once := func(f func() error) func(int32) error {
		return func(attempt int32) error {
			if attempt == 1 {
				return f()
			}
			return nil
		}
	}
	boom := errors.New("boom")
	for _, c := range []struct {
		name   string
		m      layers.Message
		h      func(attempt int32) error
		runs   int32
		after  time.Duration // when it was over
		log    []string      // a part of each line
		health consumers.WorkerHealth
		reason string // why it was buried; "": it was not
	}{
		{name: "nil", runs: 1, health: consumers.WorkerHealth{Done: 1}},
		{name: "ErrStop", h: once(func() error { return consumers.ErrStop }), runs: 1, health: consumers.WorkerHealth{Done: 1}},
		{name: "CloseError", h: once(func() error { return asgi.CloseError{Code: 4000} }), runs: 1, health: consumers.WorkerHealth{Done: 1}},
		{name: "a wrapped CloseError", h: once(func() error { return fmt.Errorf("boom: %w", asgi.CloseError{Code: 4000}) }), runs: 2,
			after: 10 * time.Second, log: []string{"boom"}, health: consumers.WorkerHealth{Done: 1, Failed: 1}},
		{name: "an error, once", h: once(func() error { return boom }), runs: 2,
			after: 10 * time.Second, log: []string{"boom"}, health: consumers.WorkerHealth{Done: 1, Failed: 1}},
		{name: "a panic, once", h: once(func() error { panic("boom") }), runs: 2,
			after: 10 * time.Second, log: []string{"job_test.go"}, health: consumers.WorkerHealth{Done: 1, Failed: 1}},
		{name: "Goexit, once", h: once(func() error { runtime.Goexit(); return nil }), runs: 2,
			after: 10 * time.Second, log: []string{"runtime.Goexit"}, health: consumers.WorkerHealth{Done: 1, Failed: 1}},
		{name: "an error of another connection", h: once(func() error { return asgi.ErrClosed }), runs: 2,
			after: 10 * time.Second, log: []string{"another connection"}, health: consumers.WorkerHealth{Done: 1, Failed: 1}},
		{name: "errors, longer than Expiry", h: func(int32) error { return boom }, runs: 3,
			after: 30 * time.Second, log: []string{"attempt:1", "attempt:2", "is buried"}, health: consumers.WorkerHealth{Buried: 1, Failed: 3}, reason: "boom"},
		{name: "a type that is not listed", m: ticked.With(note{}), log: []string{"is buried"},
			health: consumers.WorkerHealth{Buried: 1}, reason: `no handler is listed for message type "test.tick"`},
		{name: "a bad payload", m: layers.Type[map[string]any](noted).With(map[string]any{"n": "one"}), log: []string{"is buried"},
			health: consumers.WorkerHealth{Buried: 1}, reason: "decode message"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var runs atomic.Int32
			app := job(func(context.Context, *consumers.Conn, note) error {
				if n := runs.Add(1); c.h != nil {
					return c.h(n)
				}
				return nil
			})
			inYard(t, app, nil, func(t *testing.T, y *yard) {
				if c.m.Type() == "" {
					c.m = noted.With(note{N: 1})
				}
				begun := time.Now()
				y.start()
				y.send(c.m)
				h := y.settled(1)
				if d := time.Since(begun).Round(time.Second); d != c.after {
					t.Errorf("L18 broken: it was over after %v, want %v", d, c.after)
				}
				c.health.Running = true
				if h != c.health {
					t.Errorf("health %+v, want %+v", h, c.health)
				}
				if runs.Load() != c.runs {
					t.Errorf("L18 broken: the handler ran %d times, want %d", runs.Load(), c.runs)
				}
				y.quit()
				lines := y.logs.All()
				if len(lines) != len(c.log) {
					t.Fatalf("the log has %d lines, want %d:\n%s", len(lines), len(c.log), y.log())
				}
				for i, part := range c.log {
					if text := fmt.Sprint(lines[i].Message, lines[i].ContextMap()); !strings.Contains(text, part) {
						t.Errorf("line %d of the log is %q, want %q", i+1, text, part)
					}
				}
				dead := y.left(layers.DeadLetters("jobs"))
				switch {
				case c.reason == "" && len(dead) > 0, c.reason != "" && len(dead) != 1:
					t.Errorf("L18 broken: %d dead letters", len(dead))
				case c.reason != "" && !strings.Contains(dead[0].Reason(), c.reason):
					t.Errorf("the reason of the dead letter is %q, want %q", dead[0].Reason(), c.reason)
				}
				if n := len(y.left("jobs")); n > 0 {
					t.Errorf("L18 broken: %d jobs are left", n)
				}
			})
		})
	}
}

// TestJobHeld: a handler may take longer than the lease, for the worker extends it; one instance works beside others.
func TestJobHeld(t *testing.T) {
	var runs, most, inside atomic.Int32
	app := job(func(ctx context.Context, _ *consumers.Conn, _ note) error {
		runs.Add(1)
		most.Store(max(most.Load(), inside.Add(1)))
		defer inside.Add(-1)
		rest(ctx, 10*lease)
		return nil
	})
	inYard(t, app, func(w *consumers.Worker) { w.Concurrency = 3 }, func(t *testing.T, y *yard) {
		y.start()
		for i := range 6 {
			y.send(noted.With(note{N: i}))
		}
		begun := time.Now()
		rest(t.Context(), lease)
		if h := y.worker.Health(); h.Busy != 3 || !h.Running {
			t.Errorf("health %+v while three work", h)
		}
		y.settled(6)
		if d := time.Since(begun).Round(time.Second); d != 20*lease {
			t.Errorf("six jobs, three at a time, took %v", d)
		}
		if runs.Load() != 6 || most.Load() != 3 {
			t.Errorf("L18 broken: six jobs ran %d times, %d at once", runs.Load(), most.Load())
		}
		y.quit()
	})
}

// TestJobOfADeadWorker: another worker takes over when the lease has passed, and goes on counting attempts; what kills
// every worker is buried.
func TestJobOfADeadWorker(t *testing.T) {
	var ran []int
	app := job(func(ctx context.Context, _ *consumers.Conn, v note) error { ran = append(ran, v.N); return nil })
	inYard(t, app, nil, func(t *testing.T, y *yard) {
		y.send(noted.With(note{N: 1}))
		y.send(noted.With(note{N: 2}))
		dying := y.bus.Layer()
		for range 6 { // twice as often as Attempts allow
			if _, err := dying.Take(t.Context(), "jobs"); err != nil {
				t.Fatal(err)
			}
			if _, err := dying.Take(t.Context(), "jobs"); err != nil && len(ran) == 0 {
				t.Fatal(err)
			}
			if err := dying.Close(t.Context()); err != nil { // memory gives back at once
				t.Fatal(err)
			}
			dying = y.bus.Layer()
		}
		begun := time.Now()
		silent, err := y.bus.Layer().Take(t.Context(), "jobs") // a worker that stands still: its seventh taking
		if err != nil || silent.Attempt() != 7 {
			t.Fatalf("L18 broken: attempt %d, %v", silent.Attempt(), err)
		}
		y.start()
		h := y.settled(2)
		if h.Buried != 2 || len(ran) != 0 {
			t.Errorf("jobs that were taken seven times and never ended: %+v, and %v ran", h, ran)
		}
		if d := time.Since(begun).Round(time.Second); d != lease {
			t.Errorf("L18 broken: the silent worker's job was taken after %v", d)
		}
		y.quit()
		for _, letter := range y.left(layers.DeadLetters("jobs")) {
			if !strings.Contains(letter.Reason(), "never ended") {
				t.Errorf("the reason is %q", letter.Reason())
			}
		}
	})
}

// TestJobTakenOver: the job of a worker that was cut off from the broker while it worked is done by another.
func TestJobTakenOver(t *testing.T) {
	var ran chan string
	worker := func(name string, takes time.Duration) asgi.App {
		return job(func(ctx context.Context, _ *consumers.Conn, _ note) error {
			ran <- name
			rest(ctx, takes)
			return nil
		})
	}
	inYard(t, worker("first", 3*lease), nil, func(t *testing.T, y *yard) {
		ran = make(chan string, 10)
		y.start()
		y.send(noted.With(note{N: 1}))
		if told(t, ran) != "first" {
			t.Fatal("the first worker does not work")
		}
		y.bus.Cut(y.layer, errors.New("unplugged"))
		begun, first := time.Now(), *y
		y.hire(worker("second", time.Second), nil)
		y.start()
		if name := told(t, ran); name != "second" || time.Since(begun).Round(time.Second) != lease {
			t.Errorf("L18 broken: the %s worker took the job after %v", name, time.Since(begun))
		}
		y.settled(1)
		rest(t.Context(), lease)
		if h := first.worker.Health(); h.Err == nil || !strings.Contains(h.Err.Error(), "unplugged") || h.Since != begun {
			t.Errorf("the health of a worker that is cut off is %+v", h)
		}
		if strings.Count(first.log(), "could not be extended") != 1 {
			t.Errorf("the log of a worker that lost its hold, want one line:\n%s", first.log())
		}
		y.bus.Mend(first.layer)
		first.settled(1) // it says Done of what is done: no harm
		rest(t.Context(), 10*time.Second)
		if h := first.worker.Health(); h.Err != nil || !h.Since.IsZero() {
			t.Errorf("the health of a worker that is back is %+v", h)
		}
		first.quit()
		y.quit()
		if n := len(y.left("jobs")); n > 0 || len(ran) > 0 {
			t.Errorf("L18 broken: %d jobs are left, %d have run again", n, len(ran))
		}
	})
}

// TestJobLost: the ctx of a handler ends when another worker has its job, and the worker goes on with the next.
func TestJobLost(t *testing.T) {
	var causes []error
	app := job(func(ctx context.Context, _ *consumers.Conn, v note) error {
		if v.N == 1 {
			rest(ctx, time.Hour)
			causes = append(causes, context.Cause(ctx))
			return ctx.Err()
		}
		return nil
	})
	inYard(t, app, nil, func(t *testing.T, y *yard) {
		y.start()
		y.send(noted.With(note{N: 1}))
		synctest.Wait()
		y.bus.Cut(y.layer, errors.New("unplugged"))
		other := y.bus.Layer()
		j, err := other.Take(t.Context(), "jobs")
		if err != nil || j.Attempt() != 2 {
			t.Fatalf("L18 broken: the other took attempt %d, %v", j.Attempt(), err)
		}
		if len(causes) > 0 {
			t.Error("the handler's ctx ended before the worker could know")
		}
		y.bus.Mend(y.layer)
		begun := time.Now()
		y.send(noted.With(note{N: 2}))
		if h := y.settled(1); h.Done != 1 || h.Failed != 1 || time.Since(begun) > lease/3+time.Second {
			t.Errorf("health %+v after %v", h, time.Since(begun))
		}
		if len(causes) != 1 || causes[0] == nil || !strings.Contains(causes[0].Error(), "another worker has it") {
			t.Errorf("the handler's ctx ended with %v", causes)
		}
		if text := y.log(); !strings.Contains(text, "was lost to another worker") || strings.Contains(text, "tried again") || strings.Contains(text, "did not hear") {
			t.Errorf("L18 broken: of a lost job one line tells, and nothing is said to the layer:\n%s", text)
		}
		if err := j.Done(t.Context()); err != nil {
			t.Error(err)
		}
		y.quit()
	})
}

// TestBackoffPanics: what is wrong with Backoff harms nobody.
func TestBackoffPanics(t *testing.T) {
	var tries atomic.Int32
	app := job(func(context.Context, *consumers.Conn, note) error {
		if tries.Add(1) == 1 {
			return errors.New("boom")
		}
		return nil
	})
	inYard(t, app, func(w *consumers.Worker) { w.Backoff = func(int) time.Duration { panic("no idea") } }, func(t *testing.T, y *yard) {
		y.start()
		y.send(noted.With(note{N: 1}))
		if h := y.settled(1); h.Done != 1 || h.Failed != 1 {
			t.Errorf("health %+v", h)
		}
		y.quit()
		if !strings.Contains(y.log(), "no idea") {
			t.Errorf("the log:\n%s", y.log())
		}
	})
}

// TestGoexitAtOnce: an app that ends its goroutine before it asks for a message neither spins nor keeps Run.
func TestGoexitAtOnce(t *testing.T) {
	var tries atomic.Int32
	app := asgi.AppFunc(func(context.Context, *asgi.Scope, asgi.Receive, asgi.Send) error {
		tries.Add(1)
		runtime.Goexit()
		return nil
	})
	inYard(t, app, nil, func(t *testing.T, y *yard) {
		y.start()
		rest(t.Context(), time.Minute)
		y.quit()
		if n := tries.Load(); n < 10 || n > 1000 {
			t.Errorf("%d tries in a minute", n)
		}
	})
}

// TestJobStop: what was begun is finished, or given back when StopTime has passed; what was not begun stays.
func TestJobStop(t *testing.T) {
	for _, c := range []struct {
		name  string
		takes time.Duration
		heeds bool // its ctx
		fails bool
		after time.Duration // when Run returns
		again time.Duration // when the job comes again after that; negative: never
	}{
		{"within StopTime", 3 * time.Second, true, false, 3 * time.Second, -1},
		{"an error within StopTime", 3 * time.Second, true, true, 3 * time.Second, 10 * time.Second},
		{"longer than StopTime", time.Hour, true, false, 5 * time.Second, 0},
		{"longer than StopTime, not heeding its ctx", 8 * time.Second, false, false, 8 * time.Second, -1},
		{"an error longer than StopTime", 8 * time.Second, false, true, 8 * time.Second, 10 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			app := job(func(ctx context.Context, _ *consumers.Conn, _ note) error {
				if c.heeds {
					rest(ctx, c.takes)
				} else {
					rest(context.Background(), c.takes)
				}
				switch {
				case c.fails:
					return errors.New("boom")
				case c.heeds:
					return ctx.Err()
				}
				return nil
			})
			inYard(t, app, func(w *consumers.Worker) { w.StopTime = 5 * time.Second }, func(t *testing.T, y *yard) {
				y.send(noted.With(note{N: 1}))
				y.send(noted.With(note{N: 2}))
				y.start()
				synctest.Wait()
				begun := time.Now()
				y.quit()
				if d := time.Since(begun); d != c.after {
					t.Errorf("Run returned after %v, want %v", d, c.after)
				}
				begun = time.Now()
				came := map[int]time.Duration{}
				l := y.bus.Layer()
				for {
					ctx, cancel := context.WithTimeout(t.Context(), lease/2)
					j, err := l.Take(ctx, "jobs")
					cancel()
					if err != nil {
						break
					}
					v, err := noted.Decode(j.Message())
					if err != nil {
						t.Fatal(err)
					}
					came[v.N] = time.Since(begun)
				}
				if d, ok := came[2]; !ok || d != 0 {
					t.Errorf("L18 broken: the job that was not begun came after %v, %v", d, ok)
				}
				if d, ok := came[1]; ok != (c.again >= 0) || ok && d != c.again {
					t.Errorf("L18 broken: the job that was begun came again after %v (%v), want %v", d, ok, c.again)
				}
			})
		})
	}
}

// TestJobsOfPlainApps: an app that is no table has a message until it asks for the next, or returns.
func TestJobsOfPlainApps(t *testing.T) {
	for _, c := range []struct {
		name  string
		serve func(ctx context.Context, attempt int, receive asgi.Receive) error // after the first message
		runs  int
	}{
		{"it asks for the next", func(ctx context.Context, _ int, receive asgi.Receive) error {
			_, err := receive(ctx)
			return err
		}, 1},
		{"it returns nil", func(context.Context, int, asgi.Receive) error { return nil }, 1},
		{"it closes", func(context.Context, int, asgi.Receive) error { return asgi.CloseError{Code: 1000} }, 1},
		{"it fails once", func(_ context.Context, attempt int, _ asgi.Receive) error {
			if attempt == 1 {
				return errors.New("boom")
			}
			return nil
		}, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			var attempts []int
			app := asgi.AppFunc(func(ctx context.Context, _ *asgi.Scope, receive asgi.Receive, _ asgi.Send) error {
				ev, err := receive(ctx)
				if err != nil {
					return err
				}
				m, ok := ev.(consumers.ChannelMessage)
				if v, err := noted.Decode(m.Message); !ok || m.EventType() != "channel.message" || err != nil || v.N != 1 {
					t.Errorf("the event is %v: %v, %v", ev, v, err)
				}
				attempts = append(attempts, m.Attempt)
				return c.serve(ctx, m.Attempt, receive)
			})
			inYard(t, app, nil, func(t *testing.T, y *yard) {
				y.start()
				y.send(noted.With(note{N: 1}))
				if h := y.settled(1); h.Done != 1 {
					t.Errorf("health %+v", h)
				}
				y.quit()
				if len(attempts) != c.runs || attempts[len(attempts)-1] != c.runs {
					t.Errorf("L18 broken: attempts %v, want %d", attempts, c.runs)
				}
				if n := len(y.left("jobs")); n > 0 {
					t.Errorf("L18 broken: %d jobs are left", n)
				}
			})
		})
	}
}

// TestJobNotBegun: a job that came while its instance ended was not begun, so it is not done.
func TestJobNotBegun(t *testing.T) {
	var ran []int
	var stop chan struct{}
	app := job(func(_ context.Context, c *consumers.Conn, v note) error {
		if ran = append(ran, v.N); v.N == 1 {
			c.Go(func(ctx context.Context) error {
				<-stop
				return consumers.ErrStop
			})
		}
		return nil
	})
	for range 20 {
		inYard(t, app, nil, func(t *testing.T, y *yard) {
			ran, stop = nil, make(chan struct{}, 1)
			y.start()
			y.send(noted.With(note{N: 1}))
			synctest.Wait()
			go func() { stop <- struct{}{} }()
			y.send(noted.With(note{N: 2}))
			y.settled(2)
			y.quit()
			if len(ran) != 2 {
				t.Errorf("L18 broken: %v ran, want 1 and 2", ran)
			}
		})
	}
}

// TestJobProgress: a handler answers the channel that asked, by its stored name, whichever attempt it is.
func TestJobProgress(t *testing.T) {
	type order struct {
		ReplyTo string `json:"reply_to"`
	}
	const ordered layers.Type[order] = "test.order"
	var attempt atomic.Int32
	worker := consumers.AsyncConsumer[none]{
		Messages: []consumers.Handler[none]{consumers.On(ordered, func(_ *none, ctx context.Context, c *consumers.Conn, v order) error {
			attempt.Add(1)
			for i := range 3 {
				if err := c.SendTo(ctx, v.ReplyTo, noted.With(note{Text: fmt.Sprint("attempt ", attempt.Load()), N: i})); err != nil {
					return err
				}
				if i == 1 && attempt.Load() == 1 {
					return errors.New("boom")
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
	inYard(t, worker, nil, func(t *testing.T, y *yard) {
		y.start()
		site := asgitest.New(t, client).With(&asgitest.Options{Layer: y.bus.Layer()}) // a server in another process
		ws := site.Dial("/")
		ws.SendText("begin")
		ws.ExpectJSON(note{Text: "attempt 1", N: 0})
		ws.ExpectJSON(note{Text: "attempt 1", N: 1})
		rest(t.Context(), 10*time.Second)
		for i := range 3 {
			ws.ExpectJSON(note{Text: "attempt 2", N: i})
		}
		ws.Disconnect()
		y.quit()
	})
}

// TestJobBehindOwnMessage: a job that has to wait for the handler of a message to the instance itself is not done before it
// was handled.
func TestJobBehindOwnMessage(t *testing.T) {
	var handled []int
	app := consumers.AsyncConsumer[none]{Messages: []consumers.Handler[none]{
		consumers.On(noted, func(_ *none, ctx context.Context, c *consumers.Conn, v note) error {
			if handled = append(handled, v.N); v.N == 1 {
				return c.SendTo(ctx, c.ChannelName(), ticked.With(note{}))
			}
			return nil
		}),
		consumers.On(ticked, func(_ *none, ctx context.Context, _ *consumers.Conn, _ note) error {
			rest(ctx, 10*time.Second)
			return nil
		}),
	}}.App()
	inYard(t, app, nil, func(t *testing.T, y *yard) {
		y.start()
		y.send(noted.With(note{N: 1}))
		rest(t.Context(), time.Second) // the message to itself is being handled
		y.send(noted.With(note{N: 2}))
		y.send(noted.With(note{N: 3}))
		rest(t.Context(), time.Second)
		if h := y.worker.Health(); h.Done != 1 || h.Busy != 1 || len(handled) != 1 {
			t.Errorf("L18 broken: %+v, and %v were handled", h, handled)
		}
		y.settled(3)
		y.quit()
		if fmt.Sprint(handled) != "[1 2 3]" {
			t.Errorf("%v were handled", handled)
		}
	})
}

// TestJobMiddleware: what middleware keeps from a table, and what it makes of a message.
func TestJobMiddleware(t *testing.T) {
	for _, c := range []struct {
		name   string
		wrap   func(asgi.Receive) asgi.Receive
		health consumers.WorkerHealth
		log    string
	}{
		{"it leaves a message out", func(receive asgi.Receive) asgi.Receive {
			return func(ctx context.Context) (asgi.Event, error) {
				for {
					ev, err := receive(ctx)
					if m, ok := ev.(consumers.ChannelMessage); !ok || m.Message.Type() != ticked.String() {
						return ev, err
					}
				}
			}
		}, consumers.WorkerHealth{Running: true, Done: 2}, ""},
		{"it panics", func(receive asgi.Receive) asgi.Receive {
			return func(ctx context.Context) (asgi.Event, error) {
				ev, err := receive(ctx)
				if m, ok := ev.(consumers.ChannelMessage); ok && m.Message.Type() == ticked.String() {
					panic("boom")
				}
				return ev, err
			}
		}, consumers.WorkerHealth{Running: true, Done: 1, Failed: 3, Buried: 1}, "boom"},
	} {
		t.Run(c.name, func(t *testing.T) {
			table := job(func(context.Context, *consumers.Conn, note) error { return nil })
			app := asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
				return table.Serve(ctx, scope, c.wrap(receive), send)
			})
			inYard(t, app, nil, func(t *testing.T, y *yard) {
				y.start()
				y.send(ticked.With(note{}))
				y.send(noted.With(note{N: 1}))
				if h := y.settled(2); h != c.health {
					t.Errorf("health %+v, want %+v", h, c.health)
				}
				y.quit()
				if n := y.logs.Len(); n != int(c.health.Failed) || !strings.Contains(y.log(), c.log) {
					t.Errorf("%d lines, want %d with %q:\n%s", n, c.health.Failed, c.log, y.log())
				}
			})
		})
	}
}

// TestDeadLetters: another worker serves them, with a repaired handler. What fails there too stays there.
func TestDeadLetters(t *testing.T) {
	app := job(func(context.Context, *consumers.Conn, note) error { return errors.New("boom") })
	inYard(t, app, func(w *consumers.Worker) { w.Attempts = 1 }, func(t *testing.T, y *yard) {
		y.start()
		y.send(noted.With(note{N: 1}))
		y.send(noted.With(note{N: 2}))
		if h := y.settled(2); h.Buried != 2 || h.Failed != 2 {
			t.Errorf("health %+v", h)
		}
		y.quit()

		var tries []time.Time
		repaired := job(func(_ context.Context, _ *consumers.Conn, v note) error {
			if v.N == 1 {
				return nil
			}
			if tries = append(tries, time.Now()); len(tries) < 4 {
				return errors.New("still broken")
			}
			return nil
		})
		y.hire(repaired, func(w *consumers.Worker) {
			w.Channels, w.Attempts = []string{layers.DeadLetters("jobs")}, 2
		})
		y.start()
		if h := y.settled(2); h.Done != 2 || h.Buried != 0 || h.Failed != 3 {
			t.Errorf("health %+v", h)
		}
		for i, want := range []time.Duration{10 * time.Second, time.Hour, time.Hour} {
			if d := tries[i+1].Sub(tries[i]); d != want {
				t.Errorf("try %d came %v after the last, want %v", i+2, d, want)
			}
		}
		y.quit()
	})
}

// TestDeadLettersFull: a job that finds no room there is tried again, and not lost.
func TestDeadLettersFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := memlayer.NewBus(&layers.Options{Durables: []layers.Durable{{Queues: "jobs", Capacity: 1}}})
		y := &yard{T: t, bus: bus}
		y.hire(job(func(context.Context, *consumers.Conn, note) error { return errors.New("boom") }), func(w *consumers.Worker) { w.Attempts = 1 })
		y.start()
		y.send(noted.With(note{N: 1}))
		y.settled(1)
		y.send(noted.With(note{N: 2}))
		rest(t.Context(), time.Minute)
		if h := y.worker.Health(); h.Buried != 1 {
			t.Errorf("health %+v", h)
		}
		if !strings.Contains(y.log(), "channel is full") {
			t.Errorf("the log does not tell that the dead letters are full:\n%s", y.log())
		}
		if j, err := y.layer.Take(t.Context(), layers.DeadLetters("jobs")); err != nil || j.Done(t.Context()) != nil {
			t.Fatal(err)
		}
		y.settled(2)
		y.quit()
	})
}

// TestJobLayerEnds: a worker whose layer is closed while a handler runs says that the job was not ended, and Run fails.
func TestJobLayerEnds(t *testing.T) {
	app := job(func(ctx context.Context, c *consumers.Conn, _ note) error {
		return c.ChannelLayer().Close(context.WithoutCancel(ctx))
	})
	inYard(t, app, nil, func(t *testing.T, y *yard) {
		y.send(noted.With(note{N: 1}))
		y.start()
		if err := <-y.ended; !errors.Is(err, layers.ErrClosed) {
			t.Errorf("Run returned %v, want ErrClosed", err)
		}
		if !strings.Contains(y.log(), "did not hear how a job ended") {
			t.Errorf("the log:\n%s", y.log())
		}
		if h := y.worker.Health(); h.Running || h.Busy != 0 {
			t.Errorf("health %+v", h)
		}
		if jobs := y.left("jobs"); len(jobs) != 1 || jobs[0].Attempt() != 2 {
			t.Errorf("L18 broken: %d jobs are left, want the one that was not ended", len(jobs))
		}
	})
}

// TestPlainBesideDurable: what is not declared durable is served at most once by the same worker, and expires.
func TestPlainBesideDurable(t *testing.T) {
	var mu sync.Mutex
	var ran []string
	app := job(func(_ context.Context, c *consumers.Conn, v note) error {
		mu.Lock()
		defer mu.Unlock()
		ran = append(ran, fmt.Sprint(c.Scope().Channel(), v.N))
		return errors.New("boom")
	})
	inYard(t, app, func(w *consumers.Worker) { w.Channels = []string{"jobs", "chores"} }, func(t *testing.T, y *yard) {
		for _, channel := range []string{"jobs", "chores"} {
			if err := y.layer.Send(t.Context(), channel, noted.With(note{N: 1})); err != nil {
				t.Fatal(err)
			}
		}
		rest(t.Context(), expiry)
		y.start()
		if err := y.layer.Send(t.Context(), "chores", noted.With(note{N: 2})); err != nil {
			t.Fatal(err)
		}
		h := y.settled(1)
		if h.Failed != 4 || h.Buried != 1 || h.Done != 0 {
			t.Errorf("health %+v", h)
		}
		y.quit()
		counts := map[string]int{}
		for _, r := range ran {
			counts[r]++
		}
		if len(counts) != 2 || counts["jobs1"] != 3 || counts["chores2"] != 1 {
			t.Errorf("L4, L6, L18 broken: ran %v", counts)
		}
	})
}

// TestWorkerHealth: before, while and after it runs.
func TestWorkerHealth(t *testing.T) {
	release := make(chan struct{})
	app := job(func(ctx context.Context, _ *consumers.Conn, _ note) error { <-release; return nil })
	synctest.Test(t, func(t *testing.T) {
		release = make(chan struct{})
		layer := memlayer.New(nil)
		w := &consumers.Worker{Layer: layer, App: app, Channels: []string{"jobs"}}
		if h := w.Health(); h != (consumers.WorkerHealth{}) {
			t.Errorf("before Run: %+v", h)
		}
		enqueue(t, layer, 1)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- w.Run(ctx) }()
		synctest.Wait()
		if h := w.Health(); h != (consumers.WorkerHealth{Running: true, Busy: 1}) {
			t.Errorf("while it works: %+v", h)
		}
		close(release)
		synctest.Wait()
		if h := w.Health(); h != (consumers.WorkerHealth{Running: true, Done: 1}) {
			t.Errorf("when it waits: %+v", h)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if h := w.Health(); h != (consumers.WorkerHealth{Done: 1}) {
			t.Errorf("after Run: %+v", h)
		}
	})
}

// TestWorkerHealthWithoutOutage: the last try counts where the layer knows of no outage; a try that goes on for a second is
// an answer.
func TestWorkerHealthWithoutOutage(t *testing.T) {
	app := job(func(context.Context, *consumers.Conn, note) error { return nil })
	for _, channel := range []string{"jobs", "chores"} {
		inYard(t, app, func(w *consumers.Worker) { w.Channels = []string{channel} }, func(t *testing.T, y *yard) {
			y.bus.Cut(y.layer, errors.New("unplugged"))
			begun := time.Now()
			y.start()
			rest(t.Context(), time.Minute)
			y.bus.Mend(y.layer) // the worker has not asked again
			if h := y.worker.Health(); h.Err == nil || !strings.Contains(h.Err.Error(), "unplugged") || !h.Since.Equal(begun) {
				t.Errorf("%s: the health of a worker whose tries have failed for a minute is %+v", channel, h)
			}
			rest(t.Context(), 7*time.Second) // 5 s between tries, and one that waits
			if h := y.worker.Health(); h.Err != nil || !h.Since.IsZero() {
				t.Errorf("%s: the health of a worker that waits at an empty queue is %+v", channel, h)
			}
			y.quit()
		})
	}
}

// TestDefaultBackoff: 1 s after the first attempt, up to half of it less, then twice as much; five attempts.
func TestDefaultBackoff(t *testing.T) {
	var tries []time.Time
	app := job(func(context.Context, *consumers.Conn, note) error {
		tries = append(tries, time.Now())
		return errors.New("boom")
	})
	inYard(t, app, func(w *consumers.Worker) { w.Attempts, w.Backoff = 0, nil }, func(t *testing.T, y *yard) {
		y.start()
		y.send(noted.With(note{N: 1}))
		y.settled(1)
		if len(tries) != 5 {
			t.Fatalf("%d attempts, want 5", len(tries))
		}
		for i := range 4 {
			want := time.Second << i
			if d := tries[i+1].Sub(tries[i]); d < want/2 || d > want {
				t.Errorf("after attempt %d the next came in %v, want at most %v and half of it at least", i+1, d, want)
			}
		}
		y.quit()
	})
}
