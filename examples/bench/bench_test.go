package main

import (
	"io"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tideway-go/tideway/asgi/server"
)

// Server and clients share the processors here, and allocations are those of both sides; but the clients allocate nothing
// for a message.

// BenchmarkEcho is a message there and back.
func BenchmarkEcho(b *testing.B) {
	for _, size := range []int{128, 16 << 10} {
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			c, err := open(serve(b, server.Options{}).addr, "/ws/echo/")
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			out := frame(opBinary, text(0, size))
			in := make([]byte, len(out)-4) // the server does not mask
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Write(out); err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(c.br, in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkBroadcast is what one member says, until all have heard it.
func BenchmarkBroadcast(b *testing.B) {
	for _, members := range []int{10, 100, 1000} {
		b.Run(strconv.Itoa(members), func(b *testing.B) {
			needFiles(b, uint64(2*members)+100)
			s := serve(b, server.Options{})
			r := newRoom(join(b, s.addr, "lobby", members), false)
			defer r.close()
			b.ReportAllocs()
			for b.Loop() {
				r.round(b)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*members), "ns/delivery")
		})
	}
}

// BenchmarkJoin is a connect with a handshake and a join, and the leaving.
func BenchmarkJoin(b *testing.B) {
	s := serve(b, server.Options{})
	b.ReportAllocs()
	for b.Loop() {
		c, err := open(s.addr, "/ws/chat/lobby/")
		if err != nil {
			b.Fatal(err)
		}
		c.reset() // leaves no port behind that has to wait
	}
}

// BenchmarkDeaf is a room of 100, one message at a time, whose p99 is compared: calm; with 200 members that never read
// beside those who do; and with these in another room that is told as much. They are full, and are not cut.
func BenchmarkDeaf(b *testing.B) {
	const readers, deaf = 100, 200
	needFiles(b, 2000)
	var rooms []*room
	var others []func()
	for _, place := range []string{"", "lobby", "cellar"} {
		s := serve(b, server.Options{WriteTimeout: time.Hour})
		other := func() {}
		if place != "" {
			s.joinDeaf(b, place, deaf)
			for k := range deafFills {
				s.told(b, place, text(k, deafSize))
			}
		}
		if place == "cellar" {
			other = func() { s.told(b, place, roomText) }
		}
		rooms, others = append(rooms, newRoom(join(b, s.addr, "lobby", readers), true)), append(others, other)
	}
	for b.Loop() {
		for i, r := range rooms {
			others[i]()
			r.round(b)
		}
	}
	for i, name := range []string{"calm", "same", "other"} {
		b.ReportMetric(float64(rooms[i].p99().Microseconds()), "p99-µs-"+name)
		b.ReportMetric(float64(rooms[i].p99())/float64(rooms[0].p99()), "ratio-"+name)
		rooms[i].close()
	}
	b.ReportMetric(0, "ns/op")
}

var roomText = text(0, 128)

// A room is members that all hear what the first of them says, and when.
type room struct {
	list   []*client
	out    []byte
	begun  atomic.Int64 // when the message was sent
	heard  sync.WaitGroup
	ended  sync.WaitGroup
	timed  bool // delays are wanted
	mu     sync.Mutex
	delays []time.Duration
	zero   time.Time
}

func newRoom(list []*client, timed bool) *room {
	r := &room{list: list, out: frame(opText, `{"message":"`+roomText+`"}`), zero: time.Now(), timed: timed}
	for _, c := range list {
		r.ended.Go(func() { r.listen(c) })
	}
	return r
}

func (r *room) listen(c *client) {
	in := make([]byte, len(r.out)-4)
	for {
		if _, err := io.ReadFull(c.br, in); err != nil {
			return
		}
		if r.timed {
			delay := time.Since(r.zero) - time.Duration(r.begun.Load())
			r.mu.Lock()
			r.delays = append(r.delays, delay)
			r.mu.Unlock()
		}
		r.heard.Done()
	}
}

// round is one message, until all have heard it.
func (r *room) round(t testing.TB) {
	r.heard.Add(len(r.list))
	r.begun.Store(int64(time.Since(r.zero)))
	if _, err := r.list[0].Write(r.out); err != nil {
		t.Fatal(err)
	}
	r.heard.Wait()
}

func (r *room) p99() time.Duration {
	slices.Sort(r.delays)
	return r.delays[len(r.delays)*99/100]
}

// close ends the members, and waits for them.
func (r *room) close() {
	for _, c := range r.list {
		c.reset()
	}
	r.ended.Wait()
}
