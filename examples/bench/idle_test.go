package main

import (
	"fmt"
	"testing"
)

// idleMembers is a room in which nothing happens any more: everybody has heard five broadcasts.
func idleMembers(t testing.TB, p *process, n int) []*client {
	t.Helper()
	list := join(t, p.addr, "lobby", n)
	for i := range 5 {
		if err := list[i%n].say(text(i, 100)); err != nil {
			t.Fatal(err)
		}
		hearAll(t, list, text(i, 100))
	}
	return list
}

// TestIdleMembersAreOneGoroutineEach counts the goroutines of a server with 5,000 idle members of a group.
func TestIdleMembersAreOneGoroutineEach(t *testing.T) {
	n := scaled(5000, 500)
	needFiles(t, uint64(n)+100)
	p := start(t, limits{})
	idleMembers(t, p, n)
	var s state
	await(t, func() bool { s = p.state("nobody"); return s.Goroutines <= n+50 }, func() string {
		return fmt.Sprintf("%d goroutines serve %d idle members, want at most %d", s.Goroutines, n, n+50)
	})
	if s = p.state("lobby"); s.Members != n {
		t.Errorf("the room has %d members, want %d", s.Members, n)
	}
}

// BenchmarkIdle is the memory of 5,000 idle members of a group after traffic, without a garbage collection that traffic
// did not cause.
func BenchmarkIdle(b *testing.B) {
	const n = 5000
	needFiles(b, n+100)
	total := 0
	for b.Loop() {
		p := start(b, limits{})
		empty := p.rss()
		list := idleMembers(b, p, n)
		total += p.rss() - empty
		for _, c := range list {
			c.Close()
		}
		p.stop()
	}
	b.ReportMetric(float64(total)/float64(b.N*n), "RSS-B/conn")
	b.ReportMetric(0, "ns/op") // the clients' time
}
