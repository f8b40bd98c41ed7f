//go:build unix

package natslayer

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/memlayer"
	"github.com/tideway-go/tideway/layers/natslayer/embedded"
)

// meter measures one operation at a time: its latency, and the CPU that the whole process used.
type meter struct {
	b     *testing.B
	took  []time.Duration
	began time.Duration
}

func newMeter(b *testing.B) *meter {
	b.ReportAllocs()
	m := &meter{b: b, took: make([]time.Duration, 0, 1<<20), began: cpu()}
	b.ResetTimer()
	return m
}

func (m *meter) run(f func()) {
	begun := time.Now()
	f()
	m.took = append(m.took, time.Since(begun))
}

// report tells the CPU for each delivery, of which an operation makes several.
func (m *meter) report(deliveries int) {
	used := cpu() - m.began
	m.b.StopTimer()
	slices.Sort(m.took)
	at := func(p int) float64 { return float64(m.took[len(m.took)*p/100]) / 1e3 }
	m.b.ReportMetric(float64(used)/float64(len(m.took)*deliveries), "cpu-ns/delivery")
	m.b.ReportMetric(at(50), "p50-µs")
	m.b.ReportMetric(at(99), "p99-µs")
}

// cpu is what the process has used.
func cpu() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		panic(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// tally counts deliveries, and says when all members have theirs.
type tally struct {
	want, got atomic.Int64
	all       chan struct{}
}

func newTally(members int) *tally {
	t := &tally{all: make(chan struct{}, 1)}
	t.want.Store(int64(members))
	return t
}

func (t *tally) one() {
	if t.got.Add(1) == t.want.Load() {
		t.got.Store(0)
		t.all <- struct{}{}
	}
}

// Deliver implements layers.Inbox.
func (t *tally) Deliver(layers.Message) error {
	t.one()
	return nil
}

// BenchmarkGroupSend sends to a group whose members are all in another process, and waits for the last delivery: beside
// memory, a raw subscription that calls each member's function, and a raw subscription for each member.
func BenchmarkGroupSend(b *testing.B) {
	msg := note.With(text{strings.Repeat("x", 100)})
	payload := append([]byte(nil), hello...)
	payload = append(payload, make([]byte, 95)...) // as long
	ctx := context.Background()
	for _, members := range []int{100, 1000} {
		ways := map[string]func(b *testing.B, t *tally) (send func()){
			"layer": func(b *testing.B, t *tally) func() {
				br := newBroker(b)
				from, to := br.process(nil), br.process(nil)
				joinAll(b, to.Layer, t, members)
				return func() { from.must(from.GroupSend(ctx, "room", msg)) }
			},
			"memlayer": func(b *testing.B, t *tally) func() {
				bus := memlayer.NewBus(nil)
				from, to := bus.Layer(), bus.Layer()
				joinAll(b, to, t, members)
				return func() { _ = from.GroupSend(ctx, "room", msg) }
			},
			"raw-one-subscription": func(b *testing.B, t *tally) func() {
				br := newBroker(b)
				all := make([]func(), members)
				for i := range all {
					all[i] = t.one
				}
				return raw(b, br, payload, 1, func(*nats.Msg) {
					for _, f := range all {
						f()
					}
				})
			},
			"raw-subscription-each": func(b *testing.B, t *tally) func() {
				return raw(b, newBroker(b), payload, members, func(*nats.Msg) { t.one() })
			},
		}
		for _, way := range []string{"layer", "memlayer", "raw-one-subscription", "raw-subscription-each"} {
			b.Run(fmt.Sprintf("members=%d/%s", members, way), func(b *testing.B) {
				t := newTally(members)
				send := ways[way](b, t)
				m := newMeter(b)
				for b.Loop() {
					m.run(func() { send(); <-t.all })
				}
				m.report(members)
			})
		}
	}
}

func joinAll(b *testing.B, l *layers.Layer, in layers.Inbox, members int) {
	b.Helper()
	for range members {
		channel, err := l.Listen(b.Context(), in)
		if err == nil {
			err = l.GroupAdd(b.Context(), "room", channel)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

// raw subscribes a subject n times with one connection, and sends with another.
func raw(b *testing.B, br *broker, payload []byte, n int, f nats.MsgHandler) func() {
	from, _ := br.connect()
	to, _ := br.connect()
	for range n {
		if _, err := to.Subscribe("room", f); err != nil {
			b.Fatal(err)
		}
	}
	if err := to.Flush(); err != nil {
		b.Fatal(err)
	}
	return func() {
		if err := from.Publish("room", payload); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSend sends to a channel of another process, with its acknowledgement, beside a raw request.
func BenchmarkSend(b *testing.B) {
	b.Run("layer", func(b *testing.B) {
		br := newBroker(b)
		from, to := br.process(nil), br.process(nil)
		channel, err := to.Listen(b.Context(), inbox(func(layers.Message) error { return nil }))
		if err != nil {
			b.Fatal(err)
		}
		msg := note.With(text{strings.Repeat("x", 100)})
		m := newMeter(b)
		for b.Loop() {
			m.run(func() { from.must(from.Send(context.Background(), channel, msg)) })
		}
		m.report(1)
	})
	b.Run("raw", func(b *testing.B) {
		br := newBroker(b)
		from, _ := br.connect()
		to, _ := br.connect()
		if _, err := to.Subscribe("direct", func(m *nats.Msg) { _ = m.Respond([]byte("ok")) }); err != nil {
			b.Fatal(err)
		}
		if err := to.Flush(); err != nil {
			b.Fatal(err)
		}
		payload := make([]byte, 120)
		m := newMeter(b)
		for b.Loop() {
			m.run(func() {
				ctx, cancel := context.WithTimeout(context.Background(), answerTime)
				defer cancel()
				if _, err := from.RequestWithContext(ctx, "direct", payload); err != nil {
					b.Fatal(err)
				}
			})
		}
		m.report(1)
	})
}

// BenchmarkGroupMemory tells what a group of one member costs in the process that has it, and in the server, which runs in
// a process of its own.
func BenchmarkGroupMemory(b *testing.B) {
	const groups = 100_000
	url := startChild(b, "TestServerProcess", "serving ", "TIDEWAY_TEST_SERVER=1")
	for b.Loop() {
		l, err := Open(b.Context(), url, &Options{Logger: zap.NewNop()})
		if err != nil {
			b.Fatal(err)
		}
		asker, err := nats.Connect(url)
		if err != nil {
			b.Fatal(err)
		}
		there := func() float64 {
			reply, err := asker.Request("heap", nil, patience)
			if err != nil {
				b.Fatal(err)
			}
			n, err := strconv.Atoi(string(reply.Data))
			if err != nil {
				b.Fatal(err)
			}
			return float64(n)
		}
		channel, err := l.Listen(b.Context(), inbox(func(layers.Message) error { return nil }))
		if err != nil {
			b.Fatal(err)
		}
		client, server := heap(), there()
		begun := time.Now()
		for i := range groups {
			if err := l.GroupAdd(b.Context(), fmt.Sprint("room.", i), channel); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(time.Since(begun).Microseconds())/groups, "µs/join")
		b.ReportMetric((heap()-client)/groups, "client-B/group")
		b.ReportMetric((there()-server)/groups, "server-B/group")
		asker.Close()
		if err := l.Close(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// startChild runs a function of this package that is no test in a process of its own, until the benchmark ends, and returns
// what follows a word that it prints.
func startChild(b *testing.B, test, word string, env ...string) string {
	b.Helper()
	child := exec.Command(os.Args[0], "-test.run=^"+test+"$", "-test.v")
	child.Env = append(os.Environ(), env...)
	in, err := child.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := child.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := child.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = in.Close(); _ = child.Wait() }) // it ends with its input
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if _, said, ok := strings.Cut(lines.Text(), word); ok {
			return said
		}
	}
	b.Fatalf("%s says nothing", test)
	return ""
}

// TestServerProcess is no test but a server for benchmarks.
func TestServerProcess(t *testing.T) {
	if os.Getenv("TIDEWAY_TEST_SERVER") == "" {
		t.Skip("run by benchmarks")
	}
	srv, err := embedded.Start(t.Context(), &embedded.Options{Listen: "127.0.0.1:0", Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	_, err = srv.Conn().Subscribe("heap", func(m *nats.Msg) { _ = m.Respond([]byte(strconv.Itoa(int(heap())))) })
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("serving " + srv.ClientURL())
	_, _ = os.Stdin.Read(make([]byte, 1)) // until the benchmark ends
	if err := srv.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func heap() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// BenchmarkJoin joins and leaves a group, alone and by many at once, as when sites reload.
func BenchmarkJoin(b *testing.B) {
	for _, parallel := range []int{1, 100} {
		b.Run(fmt.Sprintf("at-once=%d", parallel), func(b *testing.B) {
			p := newBroker(b).process(nil)
			in := inbox(func(layers.Message) error { return nil })
			m := newMeter(b)
			b.SetParallelism(parallel)
			work := func() {
				channel, err := p.Listen(b.Context(), in)
				if err == nil {
					err = p.GroupAdd(b.Context(), "room", channel)
				}
				if err == nil {
					err = p.EndChannel(b.Context(), channel)
				}
				if err != nil {
					b.Error(err)
				}
			}
			if parallel == 1 {
				for b.Loop() {
					work()
				}
			} else {
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						work()
					}
				})
			}
			b.ReportMetric(float64(cpu()-m.began)/float64(b.N), "cpu-ns/join")
		})
	}
}
