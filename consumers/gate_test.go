package consumers_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
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
func (m *mortal) serve(crash func(*yard), jobs uint64, change func(*consumers.Worker)) {
	m.Helper()
	m.done = map[int]int{}
	for ended := uint64(0); ended < jobs; {
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
		for alive := true; alive && ended < jobs; {
			select {
			case <-died:
				alive = false
			case <-time.After(100 * time.Millisecond):
			}
			h := m.worker.Health()
			if alive && ended+h.Done+h.Buried >= jobs {
				ended = jobs
			} else if !alive {
				m.mu.Lock()
				ended = uint64(len(m.done))
				m.mu.Unlock()
			}
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
