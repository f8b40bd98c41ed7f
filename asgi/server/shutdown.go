package server

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// reasonShutdown is what the end of the server gives as its reason.
const reasonShutdown = "server is shutting down"

// An ending is the shutdown of a Server. It happens once, whoever asks for it.
type ending struct {
	called bool            // Shutdown was; under Server.mu
	hurry  context.Context // ends when all has to end at once
	cut    context.CancelFunc
	begun  context.Context // ends when sockets and streams are to end
	begin  context.CancelFunc
	over   chan struct{} // closed when the sockets have ended
	err    error         // of that; read after over
}

func newEnding() ending {
	e := ending{over: make(chan struct{})}
	e.hurry, e.cut = context.WithCancel(context.Background())
	e.begun, e.begin = context.WithCancel(context.Background())
	return e
}

// Shutdown ends all WebSockets and waits for their applications (S5): new handshakes get 503; each open connection is
// closed with Options.ShutdownCode, spread over Options.ShutdownWindow, and its application receives the disconnect; after the window and
// the time for the closing handshake, 5 s, ctx ends; after Options.AppCloseTimeout the sockets that remain are cut.
// At worst that is 1 s + 5 s + 10 s with the defaults, and one second more for those who notice the cut.
//
// A [Server.Run] or [Server.Serve] of this Server stops listening and gives its HTTP requests the same time: streams of
// server-sent events are completed at once, within a second ([asgi.Fields.Closing]), the ctx of others ends
// after the window and 5 s, and after AppCloseTimeout they are cut. Shutdown waits for them too. Then Run and Serve end the
// lifespan and return by themselves: wait for that before the process exits. Where another http.Server serves this one, that
// belongs to whoever runs it: call its Shutdown at the same time (see the example of [Server.ServeHTTP]). If
// it comes first it waits for streams that only this Shutdown ends; then ctx has ended, and the sockets are cut.
//
// When ctx ends, or Shutdown is called a second time, all of that happens at once. The close frames have a quarter of a second
// then, all together, for sockets that do not take them without waiting; clients that they do not reach see 1006.
//
// The error counts the applications that did not end; a line names each. A Server that was shut down stays so.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	again := s.ending.called
	s.ending.called = true
	s.mu.Unlock()
	if again {
		s.ending.cut()
	}
	defer context.AfterFunc(ctx, s.ending.cut)()
	s.drain()
	err := s.end()
	s.running.Wait()
	return err
}

// drain lets probes see the end before clients do (Options.DrainDelay).
func (s *Server) drain() {
	s.draining.Store(true)
	if s.opts.DrainDelay == 0 || !s.listening.Load() {
		return
	}
	t := time.NewTimer(s.opts.DrainDelay)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.ending.hurry.Done():
	case <-s.closing: // a listener failed, or the delay is over for another Run
	}
}

// end shuts down the sockets, and tells each Run and Serve. The first call does it, the others wait for that.
func (s *Server) end() error {
	s.mu.Lock()
	first := !s.down
	if first {
		s.down = true
		s.draining.Store(true)
		close(s.closing)
		s.ending.begin()
	}
	s.mu.Unlock()
	if first {
		s.ending.err = s.endSockets(s.ending.hurry)
		close(s.ending.over)
	}
	<-s.ending.over
	return s.ending.err
}

// endSockets is the way of each socket from the close frame to the cut. The end of hurry is a reason to wait for nothing.
func (s *Server) endSockets(hurry context.Context) error {
	s.closeAll(hurry)
	if !s.await(hurry, lingerTime) {
		for _, c := range s.list() {
			c.finish(s.goodbye)
			c.cancel(s.goodbye)
		}
		s.await(hurry, s.opts.AppCloseTimeout)
	}
	if hurry.Err() != nil {
		s.lastWords()
	}
	for _, c := range s.list() {
		c.lose(s.goodbye, true)
	}
	if n := s.stuck(); n > 0 {
		return fmt.Errorf("asgi/server: shutdown: %d applications did not end", n)
	}
	s.helpers.Wait()
	s.flushers.wg.Wait()
	return nil
}

// cutTime is what the close frames of a hurried shutdown have to leave, all together.
const cutTime = 250 * time.Millisecond

// lastWords waits until the close frames that a hurried shutdown has just queued are written. Others may be writing them: a flusher, or
// where there is TLS a goroutine of the connection.
func (s *Server) lastWords() {
	due := time.Now().Add(cutTime)
	conns := s.list()
	for _, c := range conns {
		c.flush()
	}
	for _, c := range conns {
		c.awaitWritten(time.Until(due))
	}
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

// closeAll closes what is open, spread over the window: each connection at some moment of its own part of it, so that several
// processes that end together do not send their clients away in step.
func (s *Server) closeAll(ctx context.Context) {
	conns := s.list()
	if len(conns) == 0 {
		return
	}
	start, step := time.Now(), s.opts.ShutdownWindow/time.Duration(len(conns))
	for i, c := range conns {
		if wait := time.Until(start.Add(time.Duration(i)*step + rand.N(max(step, 1)))); wait > time.Millisecond && s.await(ctx, wait) {
			return
		}
		c.close(c.srv.goodbye)
	}
}

func (s *Server) list() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []*conn
	for c := s.newest; c != nil; c = c.older {
		list = append(list, c)
	}
	return list
}

// await waits until no connection is left, and reports whether that happened before ctx or limit (0: none) ended.
func (s *Server) await(ctx context.Context, limit time.Duration) bool {
	s.mu.Lock()
	if s.newest == nil {
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
