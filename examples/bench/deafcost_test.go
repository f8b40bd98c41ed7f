package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// deafCost is what one member that never reads makes the server hold, in bytes of live heap, when its room has been told
// payload until the member's queue and mailbox were full. Each deaf member has a room of its own, in which one other
// member speaks and reads, so that none shares what it holds.
func deafCost(t testing.TB, payload string) int {
	t.Helper()
	rooms := scaled(4, 1)
	p := start(t, limits{WriteTimeout: time.Hour})
	deaf, speakers := make([]*client, rooms), make([]*client, rooms)
	for i := range rooms {
		room := fmt.Sprintf("room%d", i)
		deaf[i], speakers[i] = join(t, p.addr, room, 1)[0], join(t, p.addr, room, 1)[0]
		deaf[i].tcp.SetReadBuffer(4096)
	}
	before := p.state("nobody").Heap
	limit := 9 << 20 / len(payload) // more than the kernel, the queue and the mailbox take
	for _, c := range speakers {
		for range limit {
			if err := c.say(payload); err != nil {
				t.Fatal(err)
			}
			if _, _, err := c.receive(); err != nil {
				t.Fatal(err)
			}
		}
	}
	after := p.state("nobody").Heap
	for _, c := range deaf {
		c.reset()
	}
	for _, c := range speakers {
		c.reset()
	}
	var s state
	await(t, func() bool { s = p.state("nobody"); return s.Heap < before+1<<20 }, func() string {
		return fmt.Sprintf("%d bytes are held for members that have gone", s.Heap-before)
	})
	return (after - before) / rooms
}

// deafEchoCost is the same for clients that send messages of one payload until the server reads no more, and never read
// what comes back.
func deafEchoCost(t testing.TB, payload string) int {
	t.Helper()
	const clients = 4
	p := start(t, limits{WriteTimeout: time.Hour})
	before := p.state("nobody").Heap
	out := frame(opBinary, payload)
	for range clients {
		c, err := open(p.addr, "/ws/echo/")
		if err != nil {
			t.Fatal(err)
		}
		defer c.reset()
		c.tcp.SetReadBuffer(4096)
		c.SetWriteDeadline(time.Now().Add(time.Second)) // the server reads no more: then it holds all that it will
		for {
			if _, err := c.Write(out); err != nil {
				break
			}
		}
	}
	return (p.state("nobody").Heap - before) / clients
}

// TestMemberThatNeverReadsIsBounded: until it is cut off, a member that never reads costs at most 5 MiB.
func TestMemberThatNeverReadsIsBounded(t *testing.T) {
	for _, size := range []int{20_000, 1_000_000} {
		if cost := deafCost(t, strings.Repeat("x", size)); cost > 5<<20 || cost < 1<<20 {
			t.Errorf("C9 broken: a member that never reads holds %d bytes in a room of messages of %d bytes, want at most 5 MiB (and the queue's 1 MiB, or the test fills nothing)", cost, size)
		}
	}
}

// deafPayloads are what a room may talk about while somebody does not read.
var deafPayloads = []struct{ name, text string }{
	{"20kB", strings.Repeat("x", 20_000)},
	{"200kB", strings.Repeat("x", 200_000)},
	{"1MB", strings.Repeat("x", 1_000_000)},
	{"20kB that JSON makes six times as long", strings.Repeat("<", 20_000)},
	{"1MB that JSON makes six times as long", strings.Repeat("<", 1_000_000)},
}

// BenchmarkDeafCost is the live heap that a client costs which never reads: a member of a room, and one that is sent back
// what it says.
func BenchmarkDeafCost(b *testing.B) {
	for _, who := range []struct {
		name string
		cost func(testing.TB, string) int
	}{{"room", deafCost}, {"echo", deafEchoCost}} {
		for _, p := range deafPayloads {
			b.Run(who.name+" "+p.name, func(b *testing.B) {
				total := 0
				for b.Loop() {
					total += who.cost(b, p.text)
				}
				b.ReportMetric(float64(total)/float64(b.N), "heap-B/deaf")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}
