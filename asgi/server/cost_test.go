package server_test

import (
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
)

// An idle connection is one goroutine, once net/http has given back its own.
func TestIdleConnectionIsOneGoroutine(t *testing.T) {
	const connections, others = 100, 10 // the listener's, the flushers, the test's
	s := variant{}.mount(t, echoing(nil), server.Options{})
	before := runtime.NumGoroutine()
	for range connections {
		p := s.open()
		p.send(fin|text, "hello")
		if err := p.expect(fin|text, "hello"); err != nil {
			t.Fatal(err)
		}
	}
	for start := time.Now(); runtime.NumGoroutine() > before+connections+others; runtime.Gosched() {
		if time.Since(start) > 20*time.Second {
			t.Fatalf("%d goroutines for %d idle connections", runtime.NumGoroutine()-before, connections)
		}
	}
}

// A member that never reads costs its queue and little more, and a deliverer hears ErrFull instead of waiting.
func TestMemberThatNeverReadsIsBounded(t *testing.T) {
	sends, done := make(chan asgi.Send, 1), make(chan struct{})
	defer close(done)
	s := variant{}.mount(t, controlled(sends, done), server.Options{})
	s.open()
	send := <-sends
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	var err error
	for n := 0; err == nil; n++ {
		err = send(endedContext(), asgi.WebSocketSend{Frame: asgi.Frame{Binary: true, Data: make([]byte, 1000+n%1000)}})
	}
	if !errors.Is(err, asgi.ErrFull) {
		t.Errorf("send returned %v, want ErrFull", err)
	}
	if grown := heap() - before; int64(grown) > 5<<20 {
		t.Errorf("a member that never reads holds %d bytes", grown)
	}
}
