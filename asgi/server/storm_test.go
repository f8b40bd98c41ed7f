package server_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
)

// A room hands what one member says to all, by deliveries that never wait.
type room struct {
	mu      sync.Mutex
	members map[int]asgi.Send
	next    int
}

func (r *room) serve(ctx context.Context, _ *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
	r.mu.Lock()
	id := r.next
	r.next++
	r.members[id] = send
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		delete(r.members, id)
		r.mu.Unlock()
	}()
	for {
		event, err := receive(ctx)
		if err != nil {
			return err
		}
		e, ok := event.(asgi.WebSocketReceive)
		if !ok {
			return nil
		}
		if string(e.Frame.Data) == "fail" {
			return errors.New("told to")
		}
		var all asgi.Event = asgi.WebSocketSend{Frame: e.Frame, Prepared: asgi.Prepare(e.Frame)}
		r.mu.Lock()
		for _, to := range r.members {
			if err := to(endedContext(), all); err != nil && !errors.Is(err, asgi.ErrClosed) && !errors.Is(err, asgi.ErrFull) {
				r.mu.Unlock()
				return err
			}
		}
		r.mu.Unlock()
	}
}

// Many connections come, talk and go in every way at once, then the server shuts down in the middle of it. Nothing may
// race, hang or stay behind (TestMain looks), and each member must hear itself.
func TestStorm(t *testing.T) {
	r := &room{members: map[int]asgi.Send{}}
	s := variant{}.mount(t, socket(r.serve), server.Options{Compression: true, QueueSize: 16 << 10})
	const clients, rounds = 16, 12
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			for n := range rounds {
				if err := visit(s, i, n); err != nil {
					t.Errorf("client %d, round %d: %v", i, n, err)
				}
			}
		})
	}
	wg.Wait()
	for range clients {
		wg.Go(func() {
			for n := range rounds {
				visit(s, n, n) // may fail at any step now
			}
		})
	}
	runtime.Gosched()
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	wg.Wait()
}

// visit is one connection: it talks until it hears itself, and leaves.
func visit(s *site, i, n int) error {
	c, err := s.dial()
	if err != nil {
		return err
	}
	p := newPeer(c)
	defer p.Close()
	var lines []string
	if n%2 == 0 {
		lines = append(lines, "Sec-WebSocket-Extensions: permessage-deflate")
	}
	if err := p.open(lines...); err != nil {
		return err
	}
	mine := fmt.Sprintf("client %d, round %d", i, n)
	if err := p.send(fin|text, mine); err != nil {
		return err
	}
	for heard := ""; heard != mine; {
		if _, heard, err = p.receive(); err != nil {
			return err
		}
	}
	switch n % 4 {
	case 0:
		p.send(fin|closing, closePayload(1000, ""))
		p.end()
	case 1:
		p.send(fin|text, "fail")
		p.end()
	case 2:
		p.send(fin|0x7, "broken")
		p.end()
	}
	return nil
}
