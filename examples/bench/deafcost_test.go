package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tideway-go/tideway/asgi/server"
)

// deafCost is what one member that never reads makes the server hold, in bytes of live heap, when its room has been told
// payload until the member's queue and mailbox were full. Each deaf member has a room of its own, in which one other
// member speaks and reads, so that none shares what it holds.
func deafCost(t testing.TB, payload string) int {
	t.Helper()
	rooms := scaled(4, 1)
	p := start(t, server.Options{WriteTimeout: time.Hour})
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
	return (after - before) / rooms
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
	{"1kB", strings.Repeat("x", 1000)},
	{"20kB", strings.Repeat("x", 20_000)},
	{"200kB", strings.Repeat("x", 200_000)},
	{"1MB", strings.Repeat("x", 1_000_000)},
	{"20kB escaped", strings.Repeat("<", 20_000)},
	{"1MB escaped", strings.Repeat("<", 1_000_000)},
}

// BenchmarkDeafCost is the live heap that a member costs which never reads.
func BenchmarkDeafCost(b *testing.B) {
	for _, p := range deafPayloads {
		b.Run(p.name, func(b *testing.B) {
			total := 0
			for b.Loop() {
				total += deafCost(b, p.text)
			}
			b.ReportMetric(float64(total)/float64(b.N), "heap-B/deaf")
			b.ReportMetric(0, "ns/op")
		})
	}
}
