package server_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
)

// Receive obeys its ctx, and the event comes with the next call.
func TestReceiveObeysItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		patience := errors.New("no patience")
		s := variant{}.mountPipes(t, socket(func(ctx context.Context, _ *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
			for range 3 {
				short, cancel := context.WithTimeoutCause(ctx, time.Second, patience)
				if _, err := receive(short); !errors.Is(err, patience) {
					t.Errorf("receive returned %v, want the cause of its ctx", err)
				}
				cancel()
			}
			if _, err := receive(endedContext()); err == nil {
				t.Error("receive with an ended ctx waited")
			}
			for {
				event, err := receive(ctx)
				if err != nil {
					return err
				}
				if e, ok := event.(asgi.WebSocketReceive); ok {
					if err := send(ctx, asgi.WebSocketSend{Frame: e.Frame}); err != nil {
						return err
					}
				}
			}
		}), server.Options{})
		p := s.open()
		<-time.After(5 * time.Second)
		for _, m := range []string{"one", "two"} {
			p.send(fin|text, m)
			if err := p.expect(fin|text, m); err != nil {
				t.Error(err)
			}
		}
		p.send(fin|closing, "")
		if err := p.expectEnd(1005); err != nil {
			t.Error(err)
		}
	})
}

// Messages that come whole and all that comes otherwise keep their order and their bytes, however the socket cuts them.
func TestMessagesInPieces(t *testing.T) {
	long, edge := strings.Repeat("long ", 1000), strings.Repeat("x", 280) // one frame of edge fills the read buffer
	sent := bytes.Join([][]byte{
		frame(fin|text, "a"), frame(text, "be"), frame(fin|cont, "gun"), frame(fin|bin, ""), frame(fin|text, "après"),
		frame(fin|pong, "late"), frame(fin|bin, edge), frame(fin|text, long), frame(bin, "1"), frame(fin|pong, ""), frame(fin|cont, edge), frame(fin|text, "z"),
	}, nil)
	want := []struct {
		first   byte
		payload string
	}{{text, "a"}, {text, "begun"}, {bin, ""}, {text, "après"}, {bin, edge}, {text, long}, {bin, "1" + edge}, {text, "z"}}
	for _, size := range []int{1, 2, 3, 5, 7, 100, 287, 288, 289, len(sent)} {
		synctest.Test(t, func(t *testing.T) {
			p := variant{}.mountPipes(t, echoing(nil), server.Options{}).open()
			go func() { // ends with what is to be sent, or with the pipe
				for piece := range slices.Chunk(sent, size) {
					if _, err := p.Write(piece); err != nil {
						return
					}
				}
			}()
			for _, w := range want {
				if err := p.expect(fin|w.first, w.payload); err != nil {
					t.Fatalf("pieces of %d bytes: %v", size, err)
				}
			}
		})
	}
}

// A message says whether Receive had to wait for it, which is when everything that was held back is written. What the
// goroutine reads that has the reader's role says so never: it does not wait where the application does.
func TestWaited(t *testing.T) {
	for _, c := range []struct {
		name string
		ctx  func(context.Context) (context.Context, context.CancelFunc)
		want []bool
	}{
		{"the connection's ctx", func(ctx context.Context) (context.Context, context.CancelFunc) { return ctx, func() {} }, []bool{true, false, true}},
		{"a ctx of its own", context.WithCancel, []bool{false, false, false}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := make(chan []bool, 1)
			p := variant{}.mount(t, socket(func(ctx context.Context, _ *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
				ctx, cancel := c.ctx(ctx)
				defer cancel()
				var waited []bool
				for range c.want {
					event, err := receive(ctx)
					if err != nil {
						return err
					}
					e := event.(asgi.WebSocketReceive)
					waited = append(waited, e.Waited)
					if err := send(ctx, asgi.WebSocketSend{Frame: e.Frame}); err != nil {
						return err
					}
				}
				got <- waited
				return nil
			}), server.Options{}).open()
			if _, err := p.Write(append(frame(fin|text, "a"), frame(fin|text, "b")...)); err != nil {
				t.Fatal(err)
			}
			for _, answer := range []string{"a", "b"} {
				if err := p.expect(fin|text, answer); err != nil {
					t.Fatal(err)
				}
			}
			if err := p.send(fin|text, "c"); err != nil {
				t.Fatal(err)
			}
			if waited := <-got; !slices.Equal(waited, c.want) {
				t.Errorf("waited: %v, want %v", waited, c.want)
			}
		})
	}
}

// A full application stops the reader: what it has not received stays with the client.
func TestReceiveIsBackpressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		work := make(chan struct{})
		s := variant{}.mountPipes(t, socket(func(ctx context.Context, _ *asgi.Scope, receive asgi.Receive, _ asgi.Send) error {
			other, cancel := context.WithCancel(ctx)
			defer cancel()
			for range work {
				if _, err := receive(other); err != nil {
					return err
				}
			}
			return nil
		}), server.Options{})
		p, sent := s.open(), 0
		done := make(chan struct{})
		go func() {
			defer close(done)
			for p.send(fin|text, strings.Repeat("x", 1000)) == nil {
				sent++
			}
		}()
		work <- struct{}{}
		synctest.Wait()
		if sent > 4 {
			t.Errorf("the server took %d messages that nobody asked for", sent)
		}
		close(work)
		p.Close()
		<-done
	})
}

// After the application's close a Receive that comes later returns at once, one that waits returns when the peer has
// answered or 5 s have passed, and messages in between are dropped.
func TestReceiveAfterClose(t *testing.T) {
	for _, answers := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			events := make(chan asgi.Event, 10)
			s := variant{}.mountPipes(t, socket(func(ctx context.Context, _ *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
				defer close(events)
				waiting := make(chan struct{})
				go func() {
					defer close(waiting)
					event, err := receive(ctx)
					if err != nil {
						t.Error(err)
					}
					events <- event
				}()
				synctest.Wait()
				if err := send(ctx, asgi.WebSocketClose{Code: 4000, Reason: "enough"}); err != nil {
					t.Error(err)
				}
				<-waiting
				if _, err := receive(ctx); !errors.Is(err, asgi.ErrClosed) {
					t.Errorf("receive after the disconnect returned %v, want ErrClosed", err)
				}
				return nil
			}), server.Options{})
			p, start := s.open(), time.Now()
			if err := p.expectEnd(4000); err != nil {
				t.Error(err)
			}
			p.send(fin|text, "too late")
			want := 5 * time.Second
			if answers {
				p.send(fin|closing, closePayload(4000, ""))
				want = 0
			}
			event := <-events
			if e := (asgi.WebSocketDisconnect{Code: 4000, Reason: "enough", By: asgi.ByApp}); event != e {
				t.Errorf("got %+v, want %+v", event, e)
			}
			if err := takes(start, want); err != nil {
				t.Error(err)
			}
			p.Close()
		})
	}
	synctest.Test(t, func(t *testing.T) {
		done := make(chan struct{})
		s := variant{}.mountPipes(t, socket(func(ctx context.Context, _ *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
			defer close(done)
			send(ctx, asgi.WebSocketClose{Code: 4000})
			start := time.Now()
			if event, err := receive(ctx); err != nil || event.(asgi.WebSocketDisconnect).Code != 4000 {
				t.Errorf("receive returned %v, %v", event, err)
			}
			if err := takes(start, 0); err != nil {
				t.Error(err)
			}
			return nil
		}), server.Options{})
		p := s.open()
		<-done
		p.end()
		p.Close()
	})
}

// Before the decision Receive waits; a refusal is a disconnect.
func TestReceiveAroundTheDecision(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := variant{}.mountPipes(t, asgi.AppFunc(func(ctx context.Context, _ *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
			if event, err := receive(ctx); event != (asgi.WebSocketConnect{}) || err != nil {
				t.Errorf("the first event is %v, %v", event, err)
			}
			short, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			if _, err := receive(short); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("receive before the decision returned %v", err)
			}
			send(ctx, asgi.WebSocketClose{})
			if event, err := receive(ctx); err != nil || event.(asgi.WebSocketDisconnect).Code != 1006 {
				t.Errorf("after the refusal: %v, %v", event, err)
			}
			if err := send(ctx, asgi.WebSocketAccept{}); !errors.Is(err, asgi.ErrClosed) {
				t.Errorf("accept after the refusal returned %v", err)
			}
			return nil
		}), server.Options{})
		resp, err := s.peer().request(handshake + "\r\n")
		if err != nil || resp.StatusCode != 403 {
			t.Errorf("got %v, %v", resp, err)
		}
	})
}

// A client that leaves during the handshake ends ctx.
func TestClientLeavesDuringTheHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		causes := make(chan error, 1)
		s := variant{}.mountPipes(t, asgi.AppFunc(func(ctx context.Context, _ *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
			<-ctx.Done()
			causes <- context.Cause(ctx)
			if err := send(ctx, asgi.WebSocketAccept{}); !errors.Is(err, asgi.ErrClosed) {
				t.Errorf("accept returned %v, want ErrClosed", err)
			}
			return nil
		}), server.Options{})
		p := s.peer()
		p.Write([]byte(handshake + "\r\n"))
		p.Close()
		var cause asgi.DisconnectError
		if err := <-causes; !errors.As(err, &cause) || cause.By != asgi.ByNetwork {
			t.Errorf("ctx ended with %v", err)
		}
	})
}

// A lost connection ends ctx at once, if somebody reads; a close by the client leaves it to the application.
func TestLostConnectionEndsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		causes := make(chan error, 1)
		s := variant{}.mountPipes(t, socket(func(ctx context.Context, _ *asgi.Scope, receive asgi.Receive, _ asgi.Send) error {
			receive(ctx)
			select {
			case <-ctx.Done():
			default:
			}
			causes <- context.Cause(ctx)
			return nil
		}), server.Options{})
		p := s.open()
		p.Close()
		var cause asgi.DisconnectError
		if err := <-causes; !errors.As(err, &cause) || cause.Code != 1006 || cause.By != asgi.ByNetwork {
			t.Errorf("lost: ctx ended with %v", err)
		}
		p = s.open()
		p.send(fin|closing, "")
		if err := <-causes; err != nil {
			t.Errorf("closed: ctx ended with %v", err)
		}
		p.end()
	})
}

// Frames that came with the handshake are served first.
func TestEarlyFrames(t *testing.T) {
	s := variant{}.mount(t, echoing(nil), server.Options{})
	p := s.peer()
	resp, err := p.request(handshake + "\r\n" + string(frame(fin|text, "early")) + string(frame(fin|text, "bird")))
	if err != nil || resp.StatusCode != 101 {
		t.Fatal(resp, err)
	}
	for _, want := range []string{"early", "bird"} {
		if err := p.expect(fin|text, want); err != nil {
			t.Error(err)
		}
	}
}
