package server_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
)

// When both close frames are through, the server closes the socket, however long the application takes to clean up.
func TestSocketClosesBeforeTheApplicationEnds(t *testing.T) {
	for _, mount := range []func(testing.TB, asgi.App, server.Options) *site{variant{}.mount, variant{}.mountPipes} {
		released := make(chan struct{})
		s := mount(t, socket(func(ctx context.Context, _ *asgi.Scope, receive asgi.Receive, _ asgi.Send) error {
			receive(ctx)
			<-released
			return nil
		}), server.Options{})
		p := s.open()
		p.send(fin|closing, closePayload(1000, ""))
		if err := p.expectEnd(1000); err != nil {
			t.Error(err)
		}
		if _, err := p.br.ReadByte(); err != io.EOF {
			t.Errorf("after the close frame comes %v, want the end", err)
		}
		close(released)
	}
}

// A peer that goes on sending after its mistake can still read why it was closed: the server reads on, so that the socket
// is not reset with the close frame in it.
func TestCloseFrameReachesATalkativePeer(t *testing.T) {
	s := variant{}.mount(t, echoing(nil), server.Options{})
	for range 5 {
		p := s.open()
		if _, err := p.Write(join(frame(fin|0x3, ""), bytes.Repeat([]byte("tideway "), 1<<19))); err != nil {
			t.Error("while talking: ", err)
		}
		if err := p.expectEnd(1002); err != nil {
			t.Error(err)
		}
	}
}

// What is sent from outside, one message at a time, is written though nobody reads or flushes.
func TestFlushersWake(t *testing.T) {
	sends, done := make(chan asgi.Send, 1), make(chan struct{})
	defer close(done)
	p := variant{}.mount(t, controlled(sends, done), server.Options{}).open()
	send := <-sends
	for i := range 100 {
		send(endedContext(), message(fmt.Sprint(i), false))
		if err := p.expect(fin|text, fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
}

// smallBuffers is a listener whose connections take little that is not read.
type smallBuffers struct{ net.Listener }

func (l smallBuffers) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		err = c.(*net.TCPConn).SetWriteBuffer(64 << 10)
	}
	return c, err
}

// A peer that was slow once, but in time, gets all that waited, unharmed by what others were sent meanwhile with the same
// buffers, and goes on.
func TestSlowPeerRecovers(t *testing.T) {
	sends, done := make(chan asgi.Send, 1), make(chan struct{})
	defer close(done)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dial := func() (net.Conn, error) {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err == nil {
			err = c.(*net.TCPConn).SetReadBuffer(64 << 10)
		}
		return c, err
	}
	s := variant{}.mountOn(t, smallBuffers{ln}, dial, controlled(sends, done), server.Options{WriteTimeout: time.Minute, QueueSize: 32 << 20})
	p := s.open()
	send := <-sends
	const count = 1 << 15 // short ones, so that each write joins many
	for i := range count {
		if err := send(endedContext(), message(fmt.Sprintf("message %d", i), i < count-1)); err != nil {
			t.Fatal(err)
		}
	}
	other := s.open()
	sendOther := <-sends
	half := strings.Repeat("0123456789", 3000) // of what one write joins
	for range 20 {
		sendOther(endedContext(), message(half, true))
		sendOther(endedContext(), message(half, false))
		other.receive()
		other.receive()
	}
	for i := range count {
		if _, payload, err := p.receive(); err != nil || payload != fmt.Sprintf("message %d", i) {
			t.Fatalf("message %d: got %q, %v", i, payload, err)
		}
	}
	if err := send(endedContext(), message("again", false)); err != nil {
		t.Error(err)
	}
	if err := p.expect(fin|text, "again"); err != nil {
		t.Error(err)
	}
}

// A peer that does not answer a close frame is waited for once, 5 s, whoever closed.
func TestSilentPeerIsWaitedForOnce(t *testing.T) {
	for name, closeIt := range map[string]func(*site, *peer){
		"application": func(_ *site, p *peer) { p.send(fin|text, "quit") },
		"shutdown":    func(s *site, _ *peer) { go s.stop() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := variant{}.mountPipes(t, echoing(nil), server.Options{})
				p := s.open()
				start := time.Now()
				closeIt(s, p)
				p.end()
				if _, err := p.br.ReadByte(); err != io.EOF {
					t.Errorf("after the close frame comes %v, want the end", err)
				}
				if err := takes(start, 5*time.Second); err != nil {
					t.Error(err)
				}
				s.stop()
				if err := takes(start, 5*time.Second); err != nil {
					t.Error("shutdown: ", err)
				}
			})
		})
	}
}

// When the application has returned and the socket is closed, nothing keeps the connection, and what its ctx holds, in memory.
func TestEndedConnectionIsForgotten(t *testing.T) {
	type key struct{}
	freed := make(chan struct{})
	tag := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			value := new([100]byte)
			runtime.AddCleanup(value, func(int) { close(freed) }, 0)
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), key{}, value)))
		})
	}
	s := variant{handler: tag}.mount(t, socket(func(context.Context, *asgi.Scope, asgi.Receive, asgi.Send) error { return nil }), server.Options{})
	p := s.open()
	p.end()
	p.send(fin|closing, closePayload(1000, ""))
	p.Close()
	for start := time.Now(); ; runtime.GC() {
		select {
		case <-freed:
			return
		default:
		}
		if time.Since(start) > 10*time.Second {
			t.Fatal("still in memory")
		}
	}
}
