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

	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/memlayer"
)

// A mortal is a yard whose worker dies when it handles the job with the number poison: nobody hears any more of what it
// did, and its successor starts at once.
type mortal struct {
	*yard
	poison int

	mu     sync.Mutex
	dead   bool
	deaths int
	done   map[int]int
}

// serve runs one worker after the other until so many jobs have come to an end.
func (m *mortal) serve(crash func(*yard), jobs int, change func(*consumers.Worker)) {
	m.Helper()
	m.done = map[int]int{}
	for ended := false; !ended; {
		died := make(chan struct{})
		m.dead = false
		m.hire(job(func(ctx context.Context, _ *consumers.Conn, v note) error {
			if v.N != m.poison {
				rest(ctx, time.Second)
			}
			m.mu.Lock()
			defer m.mu.Unlock()
			switch {
			case m.dead:
			case v.N != m.poison:
				m.done[v.N]++
			default:
				m.dead = true
				m.deaths++
				crash(m.yard)
				close(died)
			}
			return nil
		}), change)
		m.start()
		for alive := true; alive && !ended; {
			select {
			case <-died:
				alive = false
			case <-time.After(100 * time.Millisecond):
			}
			buried := m.worker.Health().Buried
			m.mu.Lock()
			ended = len(m.done)+int(buried) >= jobs
			m.mu.Unlock()
		}
		m.stop()
		<-m.ended
	}
}

// closing is a crash of whose jobs the broker hears at once; cutting one that it notices when their leases have passed.
func closing(y *yard) { _ = y.layer.Close(context.Background()) }
func cutting(y *yard) { y.bus.Cut(y.layer, errors.New("killed")) }

// TestPoisonBesideInnocents: a job that kills its worker is buried. Those that run beside it are done.
func TestPoisonBesideInnocents(t *testing.T) {
	const innocents = 7
	for _, c := range []struct {
		name  string
		crash func(*yard)
	}{{"noticed at once", closing}, {"noticed after the lease", cutting}} {
		for poison := range innocents + 1 {
			t.Run(fmt.Sprint(c.name, ", poison ", poison), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					bus := memlayer.NewBus(&layers.Options{Durables: []layers.Durable{{Queues: "jobs", Lease: lease}}})
					m := &mortal{yard: &yard{T: t, bus: bus}, poison: poison}
					m.layer = bus.Layer()
					for i := range innocents + 1 {
						m.send(noted.With(note{N: i}))
					}
					m.serve(c.crash, innocents+1, func(w *consumers.Worker) { w.Concurrency, w.Attempts = 8, 0 })
					if m.deaths != 10 {
						t.Errorf("L18 broken: the job killed %d workers, want 5 beside others and 5 alone", m.deaths)
					}
					for i := range innocents + 1 {
						if want := i != poison; (m.done[i] == 1) != want {
							t.Errorf("L18 broken: job %d was done %d times", i, m.done[i])
						}
					}
					if text := m.log(); !strings.Contains(text, "a job is buried") || !strings.Contains(text, "attempt:11") {
						t.Errorf("the log does not tell of the burial:\n%s", text)
					}
					dead := m.left(layers.DeadLetters("jobs"))
					if len(dead) != 1 || !strings.Contains(dead[0].Reason(), "never ended") {
						t.Fatalf("L18 broken: %d dead letters, want the poison", len(dead))
					}
					if v, err := noted.Decode(dead[0].Message()); err != nil || v.N != poison {
						t.Errorf("L18 broken: job %d is buried, want %d", v.N, poison)
					}
					if n := len(m.left("jobs")); n > 0 {
						t.Errorf("L18 broken: %d jobs are left", n)
					}
				})
			})
		}
	}
}

// tried sends a job that was taken so often already, and comes again after a while.
func (y *yard) tried(n, attempts int, after time.Duration) {
	y.Helper()
	y.send(noted.With(note{N: n}))
	other := y.bus.Layer()
	for i := range attempts {
		j, err := other.Take(y.Context(), "jobs")
		if err != nil {
			y.Fatal(err)
		}
		wait := time.Duration(0)
		if i == attempts-1 {
			wait = after
		}
		if err := j.Retry(y.Context(), wait); err != nil {
			y.Fatal(err)
		}
	}
}

// TestPoisonComesToAWaitingWorker: all that a dead worker held is handed in one moment to one that has nothing to do.
func TestPoisonComesToAWaitingWorker(t *testing.T) {
	const innocents = 7
	for poison := range innocents + 1 {
		synctest.Test(t, func(t *testing.T) {
			bus := memlayer.NewBus(&layers.Options{Durables: []layers.Durable{{Queues: "jobs", Lease: lease}}})
			m := &mortal{yard: &yard{T: t, bus: bus}, poison: poison}
			m.layer = bus.Layer()
			for i := range innocents + 1 {
				m.tried(i, 5, 3*lease)
			}
			m.serve(cutting, innocents+1, func(w *consumers.Worker) { w.Concurrency, w.Attempts = 8, 0 })
			if m.deaths != 5 || len(m.done) != innocents {
				t.Errorf("L18 broken: poison %d killed %d workers, want 5; of 7 other jobs %d were done", poison, m.deaths, len(m.done))
			}
		})
	}
}

// TestErrorsKeepCompany: what is tried again after an error runs beside others, to its last attempt.
func TestErrorsKeepCompany(t *testing.T) {
	var tries, inside, most atomic.Int32
	app := job(func(ctx context.Context, _ *consumers.Conn, _ note) error {
		tries.Add(1)
		most.Store(max(most.Load(), inside.Add(1)))
		defer inside.Add(-1)
		rest(ctx, time.Second)
		return errors.New("boom")
	})
	inYard(t, app, func(w *consumers.Worker) { w.Concurrency = 8 }, func(t *testing.T, y *yard) {
		for i := range 8 {
			y.send(noted.With(note{N: i}))
		}
		begun := time.Now()
		y.start()
		if h := y.settled(8); h.Buried != 8 || tries.Load() != 24 || most.Load() != 8 {
			t.Errorf("%+v, %d tries, %d at once", h, tries.Load(), most.Load())
		}
		if d := time.Since(begun).Round(time.Second); d != 33*time.Second {
			t.Errorf("three attempts of 1 s, with 10 s and 20 s between, took %v: jobs wait for each other", d)
		}
		y.quit()
		if strings.Contains(y.log(), "runs alone") {
			t.Errorf("the log:\n%s", y.log())
		}
	})
}

// TestSuspectRunsAlone: before a job that may kill the worker begins, all the others have ended, on all channels; until
// it has ended nothing else is begun, or taken from those who could do it.
func TestSuspectRunsAlone(t *testing.T) {
	var mu sync.Mutex
	var story []string
	var epoch time.Time
	tell := func(what string, n int) {
		mu.Lock()
		defer mu.Unlock()
		story = append(story, fmt.Sprintf("%s %d at %v", what, n, time.Since(epoch).Round(time.Second)))
	}
	takes := map[int]time.Duration{0: 100 * time.Second, 1: 20 * time.Second, 2: 10 * time.Second, 4: time.Second}
	app := job(func(ctx context.Context, _ *consumers.Conn, v note) error {
		tell("begin", v.N)
		rest(ctx, takes[v.N])
		tell("end", v.N)
		return nil
	})
	inYard(t, app, func(w *consumers.Worker) { w.Concurrency, w.Channels = 4, []string{"jobs", "chores"} }, func(t *testing.T, y *yard) {
		epoch, story = time.Now(), nil
		y.tried(0, 3, 5*time.Second)
		y.start()
		y.send(noted.With(note{N: 1}))
		if err := y.layer.Send(t.Context(), "chores", noted.With(note{N: 2})); err != nil {
			t.Fatal(err)
		}
		rest(t.Context(), 6*time.Second)
		y.send(noted.With(note{N: 3}))
		rest(t.Context(), time.Second)
		j, err := y.bus.Layer().Take(t.Context(), "jobs")
		if err != nil || j.Attempt() != 1 || time.Since(epoch) > 8*time.Second || j.Done(t.Context()) != nil {
			t.Fatalf("L18 broken: another could not take what this worker does not begin: %v", err)
		}
		rest(t.Context(), 110*time.Second)
		if err := y.layer.Send(t.Context(), "chores", noted.With(note{N: 4})); err != nil {
			t.Fatal(err)
		}
		y.settled(4)
		y.quit()
		want := "begin 1 at 0s, begin 2 at 0s, end 2 at 10s, end 1 at 20s, begin 0 at 20s, end 0 at 2m0s, begin 4 at 2m0s, end 4 at 2m1s"
		if got := strings.Join(story, ", "); got != want && got != strings.Replace(want, "begin 1 at 0s, begin 2 at 0s", "begin 2 at 0s, begin 1 at 0s", 1) {
			t.Errorf("L18 broken: the story is %s;\nwant %s", got, want)
		}
		if n := strings.Count(y.log(), "it runs alone"); n != 1 || !strings.Contains(y.log(), "attempt:4") {
			t.Errorf("%d lines tell of it:\n%s", n, y.log())
		}
	})
}

// TestSuspectsComeTogether: of jobs that one worker took in one moment, each that may kill it runs alone.
func TestSuspectsComeTogether(t *testing.T) {
	const suspects, others = 4, 4
	for range 10 {
		var mu sync.Mutex
		inside := map[int]bool{}
		app := job(func(ctx context.Context, _ *consumers.Conn, v note) error {
			mu.Lock()
			for n := range inside {
				if n < suspects || v.N < suspects {
					t.Errorf("L18 broken: job %d begins beside job %d; those below %d are to run alone", v.N, n, suspects)
				}
			}
			inside[v.N] = true
			mu.Unlock()
			rest(ctx, time.Second)
			mu.Lock()
			delete(inside, v.N)
			mu.Unlock()
			return nil
		})
		inYard(t, app, func(w *consumers.Worker) { w.Concurrency = suspects + others }, func(t *testing.T, y *yard) {
			for i := range suspects + others {
				attempts := 3
				if i >= suspects {
					attempts = 1
				}
				y.tried(i, attempts, 3*lease)
			}
			begun := time.Now()
			y.start()
			if h := y.settled(suspects + others); h.Done != suspects+others {
				t.Errorf("health %+v", h)
			}
			if d := time.Since(begun) - 3*lease; d < suspects*time.Second || d > (suspects+others+1)*time.Second {
				t.Errorf("jobs of 1 s took %v", d)
			}
			y.quit()
		})
	}
}

// TestSuspectWaits: what becomes of a job that waits to run alone when that will not be.
func TestSuspectWaits(t *testing.T) {
	app := job(func(ctx context.Context, _ *consumers.Conn, v note) error {
		if v.N == 0 {
			return errors.New("it ran")
		}
		rest(ctx, 4*lease)
		return ctx.Err()
	})
	begin := func(t *testing.T, y *yard) {
		y.tried(0, 3, 5*time.Second)
		y.start()
		y.send(noted.With(note{N: 1}))
		rest(t.Context(), 6*time.Second)
		if !strings.Contains(y.log(), "it runs alone") {
			t.Fatalf("the log:\n%s", y.log())
		}
	}
	two := func(w *consumers.Worker) { w.Concurrency = 2 }
	t.Run("the worker stops", func(t *testing.T) {
		inYard(t, app, two, func(t *testing.T, y *yard) {
			begin(t, y)
			y.stop()
			begun := time.Now()
			if j, err := y.bus.Layer().Take(t.Context(), "jobs"); err != nil || j.Attempt() != 5 || time.Since(begun) != 0 {
				t.Errorf("L18 broken: what was not begun came after %v, %v", time.Since(begun), err)
			}
			y.quit()
		})
	})
	t.Run("another has it", func(t *testing.T) {
		inYard(t, app, two, func(t *testing.T, y *yard) {
			begin(t, y)
			y.bus.Cut(y.layer, errors.New("unplugged"))
			other := y.bus.Layer()
			for range 2 {
				if _, err := other.Take(t.Context(), "jobs"); err != nil {
					t.Fatal(err)
				}
			}
			rest(t.Context(), 6*time.Second) // the next to be extended is the one that waits
			y.bus.Mend(y.layer)
			rest(t.Context(), lease/2)
			if h := y.worker.Health(); h.Busy != 0 || h.Failed != 1 {
				t.Errorf("L18 broken: %+v, want one that was lost while its handler ran, and none that waits", h)
			}
			y.send(noted.With(note{N: 2}))
			rest(t.Context(), time.Second)
			if h := y.worker.Health(); h.Busy != 1 {
				t.Errorf("L18 broken: %+v, want the next job to be begun", h)
			}
			y.quit()
			if text := y.log(); strings.Count(text, "was lost to another worker") != 2 || strings.Contains(text, "did not hear") || strings.Contains(text, "it ran") {
				t.Errorf("the log:\n%s", text)
			}
		})
	})
}
