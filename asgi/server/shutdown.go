package server

import (
	"context"
	"fmt"
	"time"

	"github.com/tideway-go/tideway/asgi"
)

// reasonShutdown is what the end of the server gives as its reason.
const reasonShutdown = "server is shutting down"

var shutdownEnd = asgi.DisconnectError{Code: codeGoingAway, Reason: reasonShutdown, By: asgi.ByServer}

// Shutdown ends all WebSockets and waits for their applications (S5): new handshakes get 503; each open connection is
// closed with 1001, spread over Options.ShutdownWindow, and its application receives the disconnect; after the window and
// the time for the closing handshake ctx ends; after Options.AppCloseTimeout the sockets that remain are cut.
// When ctx ends, or Shutdown is called a second time, all of that happens at once.
//
// The error counts the applications that did not end; a line names each. A Server that was shut down stays so.
// The HTTP side belongs to whoever runs it: Run and Serve do that by themselves.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	again := s.down
	if !again {
		s.down = true
		close(s.closing)
	}
	s.mu.Unlock()
	if !again {
		s.closeAll(ctx)
	}
	if again || !s.await(ctx, lingerTime) {
		for _, c := range s.list() {
			c.finish(shutdownEnd)
			c.cancel(shutdownEnd)
		}
		if !again {
			s.await(ctx, s.opts.AppCloseTimeout)
		}
	}
	for _, c := range s.list() {
		c.lose(shutdownEnd, true)
	}
	if n := s.stuck(); n > 0 {
		return fmt.Errorf("asgi/server: shutdown: %d applications did not end", n)
	}
	s.helpers.Wait()
	s.flushers.wg.Wait()
	return nil
}

// stuck gives applications whose sockets have just been cut a moment, then names and counts those that still run.
func (s *Server) stuck() int {
	s.await(context.Background(), time.Second)
	left := s.list()
	for _, c := range left {
		c.logOverdue()
	}
	return len(left)
}

// closeAll closes what is open, spread over the window.
func (s *Server) closeAll(ctx context.Context) {
	conns := s.list()
	if len(conns) == 0 {
		return
	}
	start, step := time.Now(), s.opts.ShutdownWindow/time.Duration(len(conns))
	for i, c := range conns {
		if wait := time.Until(start.Add(time.Duration(i) * step)); wait > time.Millisecond && s.await(ctx, wait) {
			return
		}
		c.close(shutdownEnd)
	}
}

func (s *Server) list() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		list = append(list, c)
	}
	return list
}

// await waits until no connection is left, and reports whether that happened before ctx or limit (0: none) ended.
func (s *Server) await(ctx context.Context, limit time.Duration) bool {
	s.mu.Lock()
	if len(s.conns) == 0 {
		s.mu.Unlock()
		return true
	}
	if s.idle == nil {
		s.idle = make(chan struct{})
	}
	idle := s.idle
	s.mu.Unlock()
	var late <-chan time.Time
	if limit > 0 {
		timer := time.NewTimer(limit)
		defer timer.Stop()
		late = timer.C
	}
	select {
	case <-idle:
		return true
	case <-late:
	case <-ctx.Done():
	}
	return false
}
