package server_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
)

// controlled makes an App whose sends are up to the test: it hands out Send and ends when the test closes done.
func controlled(sends chan<- asgi.Send, done <-chan struct{}) asgi.App {
	return socket(func(_ context.Context, _ *asgi.Scope, _ asgi.Receive, send asgi.Send) error {
		sends <- send
		<-done
		return nil
	})
}

// message makes a send event.
func message(s string, more bool) asgi.WebSocketSend {
	return asgi.WebSocketSend{Frame: asgi.TextFrame(s), More: more}
}

// More holds messages back until a flush, an event without More, a Receive that waits, or a full queue; they leave in one write.
func TestMoreAndFlush(t *testing.T) {
	ctx := context.Background()
	for name, release := range map[string]func(asgi.Send, asgi.Receive) string{
		"flush":        func(send asgi.Send, _ asgi.Receive) string { send(ctx, asgi.WebSocketFlush{}); return "" },
		"without more": func(send asgi.Send, _ asgi.Receive) string { send(ctx, message("c", false)); return "\x81\x01c" },
		"receive":      func(_ asgi.Send, receive asgi.Receive) string { receive(ctx); return "" },
		"full": func(send asgi.Send, _ asgi.Receive) string {
			send(ctx, message("0123456789", true))
			return ""
		},
		"close": func(send asgi.Send, _ asgi.Receive) string {
			send(ctx, asgi.WebSocketClose{})
			return "\x88\x02\x03\xe8"
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				released := make(chan struct{})
				s := variant{}.mountPipes(t, socket(func(ctx context.Context, _ *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
					send(ctx, message("a", true))
					send(ctx, message("b", true))
					<-released
					release(send, receive)
					<-ctx.Done()
					return nil
				}), server.Options{QueueSize: 16, PingInterval: -1, AppCloseTimeout: time.Second})
				p := s.open()
				got := make(chan string, 10)
				go func() {
					defer close(got)
					b := make([]byte, 1000)
					for {
						n, err := p.br.Read(b) // one write on a pipe is one read
						if err != nil {
							return
						}
						got <- string(b[:n])
					}
				}()
				synctest.Wait()
				select {
				case early := <-got:
					t.Errorf("%q was written early", early)
				default:
				}
				close(released)
				want := "\x81\x01a\x81\x01b"
				if name == "without more" {
					want += "\x81\x01c"
				}
				if name == "close" {
					want += "\x88\x02\x03\xe8"
				}
				if b := <-got; b != want {
					t.Errorf("got %q, want %q", b, want)
				}
				p.Close()
				for range got {
				}
				s.stop()
			})
		})
	}
}

// A full queue makes Send wait for room as long as its ctx lasts; an ended ctx gets ErrFull at once; an empty queue takes any
// one message.
func TestFullQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sends, done := make(chan asgi.Send, 1), make(chan struct{})
		s := variant{}.mountPipes(t, controlled(sends, done), server.Options{QueueSize: 10})
		p := s.open()
		send := <-sends
		large := "larger than the whole queue"
		if err := send(endedContext(), message(large, false)); err != nil {
			t.Errorf("an empty queue took no large message: %v", err)
		}
		if err := send(endedContext(), message("x", false)); !errors.Is(err, asgi.ErrFull) {
			t.Errorf("send with an ended ctx returned %v, want ErrFull", err)
		}
		cause := errors.New("no patience")
		short, cancel := context.WithTimeoutCause(context.Background(), time.Second, cause)
		defer cancel()
		start := time.Now()
		if err := send(short, message("x", false)); !errors.Is(err, cause) {
			t.Errorf("send returned %v, want the cause of its ctx", err)
		}
		if err := takes(start, time.Second); err != nil {
			t.Error(err)
		}
		result := make(chan error, 1)
		go func() { result <- send(context.Background(), message("y", false)) }()
		synctest.Wait()
		if err := p.expect(fin|text, large); err != nil {
			t.Error(err)
		}
		if err := p.expect(fin|text, "y"); err != nil {
			t.Error(err)
		}
		if err := <-result; err != nil {
			t.Error(err)
		}
		close(done)
		p.end()
		p.Close()
	})
}

// Many goroutines send on one connection: nothing is lost, torn, or out of its sender's order, on sockets and on pipes.
func TestConcurrentSends(t *testing.T) {
	const senders, each = 8, 200
	run := func(t *testing.T, mount func(testing.TB, asgi.App, server.Options) *site) {
		s := mount(t, socket(func(ctx context.Context, _ *asgi.Scope, _ asgi.Receive, send asgi.Send) error {
			var wg sync.WaitGroup
			for i := range senders {
				wg.Go(func() {
					for n := range each {
						e := asgi.WebSocketSend{Frame: asgi.TextFrame(fmt.Sprintf("%d %d %s", i, n, bytes.Repeat([]byte("x"), n*i))), More: n%3 == 0}
						if n%2 == 0 {
							e.Prepared = asgi.Prepare(e.Frame)
						}
						if err := send(ctx, e); err != nil {
							t.Error(err)
						}
						if n%7 == 0 {
							send(ctx, asgi.WebSocketFlush{})
						}
					}
				})
			}
			wg.Wait()
			return nil
		}), server.Options{QueueSize: 4096})
		p := s.open()
		var next [senders]int
		for range senders * each {
			_, payload, err := p.receive()
			if err != nil {
				t.Fatal(err)
			}
			var i, n int
			var rest string
			fmt.Sscanf(payload, "%d %d %s", &i, &n, &rest)
			if n != next[i] || len(rest) != n*i {
				t.Fatalf("sender %d: got message %d with %d bytes, want %d", i, n, len(rest), next[i])
			}
			next[i]++
		}
		if err := p.expectEnd(1000); err != nil {
			t.Error(err)
		}
		p.Close()
	}
	t.Run("sockets", func(t *testing.T) { run(t, variant{}.mount) })
	t.Run("pipes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { run(t, variant{}.mountPipes) })
	})
}
