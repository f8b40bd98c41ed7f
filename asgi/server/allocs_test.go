//go:build !race

package server_test

// The race detector makes sync.Pool forget on purpose, so allocations are counted without it.

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
)

// A broadcast costs no allocation for each member.
func TestBroadcastAllocations(t *testing.T) {
	sends, done := make(chan asgi.Send, 1), make(chan struct{})
	s := variant{}.mount(t, controlled(sends, done), server.Options{})
	p := s.open()
	go drain(p)
	send := <-sends
	f := asgi.TextFrame("to everybody")
	var event asgi.Event = asgi.WebSocketSend{Frame: f, Prepared: asgi.Prepare(f)}
	ctx := endedContext()
	if n := testing.AllocsPerRun(1000, func() {
		if err := send(ctx, event); err != nil && !errors.Is(err, asgi.ErrFull) {
			t.Error(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations for each member", n)
	}
	close(done)
}

// A message there and back costs its bytes and the two events, which travel as interfaces.
func TestEchoAllocations(t *testing.T) {
	p := variant{}.mount(t, answering, server.Options{}).open()
	out := frame(fin|text, strings.Repeat("x", 128))
	in := make([]byte, len(out)-4) // the server does not mask
	if n := testing.AllocsPerRun(1000, func() {
		if _, err := p.Write(out); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(p.br, in); err != nil {
			t.Fatal(err)
		}
	}); n > 3 {
		t.Errorf("%v allocations for a message, want 3", n)
	}
}

// drain reads until the end.
func drain(c net.Conn) {
	b := make([]byte, 1<<16)
	for {
		if _, err := c.Read(b); err != nil {
			return
		}
	}
}
