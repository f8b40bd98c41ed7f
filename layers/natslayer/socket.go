package natslayer

import (
	"errors"
	"net"
	"sync"
	"time"
)

// Settings of the sockets that Open makes.
const (
	socketBytes = 16 << 20         // that wait for the server: more, and it is taken for gone. Any one write fits
	writeTime   = 10 * time.Second // for the server to take a piece
	writePiece  = 64 << 10
	leaveTime   = time.Second // for what waits when the client closes the connection
)

var errServerStuck = errors.New("the server has not taken what was sent")

// A socket is a connection whose Write never waits. The client writes while it holds its lock, and everything asks for that
// lock: with a server that stands still every call of every caller would stop, whatever its ctx says. Here the bytes are kept,
// up to a bound, and a goroutine waits for the server.
type socket struct {
	net.Conn

	mu     sync.Mutex
	bytes  []byte // that wait
	err    error  // of the goroutine's last write, or of the bound
	closed bool
	wake   chan struct{} // holds a token when bytes, err or closed have changed
}

// newSocket starts the goroutine that writes. It ends after Close, or when the server takes no more; ended is called then.
func newSocket(conn net.Conn, ended func()) *socket {
	s := &socket{Conn: conn, wake: make(chan struct{}, 1)}
	go func() { // ended by Close or an error; the dialer's end waits for it
		defer ended()
		s.write()
	}()
	return s
}

// Write keeps a copy of p for the goroutine.
func (s *socket) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.err != nil:
		return 0, s.err
	case s.closed:
		return 0, net.ErrClosed
	case len(s.bytes) > 0 && len(s.bytes)+len(p) > socketBytes:
		s.err = errServerStuck
		s.tell()
		_ = s.Conn.Close() // also ends the write that is stuck
		return 0, s.err
	}
	s.bytes = append(s.bytes, p...)
	s.tell()
	return len(p), nil
}

// tell wakes the goroutine. The lock is held.
func (s *socket) tell() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Close lets what waits go out, for a moment, without waiting for that.
func (s *socket) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed = true
		_ = s.Conn.SetReadDeadline(time.Now()) // who reads hears of it at once
		_ = s.Conn.SetWriteDeadline(time.Now().Add(leaveTime))
		s.tell()
	}
	return nil
}

// SetDeadline is about reading: writing has limits of its own.
func (s *socket) SetDeadline(t time.Time) error { return s.SetReadDeadline(t) }

// SetReadDeadline implements net.Conn. After Close reads fail.
func (s *socket) SetReadDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return net.ErrClosed
	}
	return s.Conn.SetReadDeadline(t)
}

// SetWriteDeadline does nothing: Write does not wait.
func (s *socket) SetWriteDeadline(time.Time) error { return nil }

// write hands the server what waits, until the connection is closed or fails.
func (s *socket) write() {
	var spare []byte
	for {
		s.mu.Lock()
		bytes, closed, err := s.bytes, s.closed, s.err
		s.bytes = spare[:0]
		s.mu.Unlock()
		if err == nil {
			err = s.writeAll(bytes)
		}
		if err != nil || closed {
			s.fail(err)
			return
		}
		if spare = bytes; cap(spare) > 4*writePiece {
			spare = nil // of a rush that is over
		}
		if len(bytes) == 0 {
			<-s.wake
		}
	}
}

func (s *socket) writeAll(bytes []byte) error {
	for len(bytes) > 0 {
		s.mu.Lock()
		if !s.closed {
			_ = s.Conn.SetWriteDeadline(time.Now().Add(writeTime))
		}
		s.mu.Unlock()
		n, err := s.Conn.Write(bytes[:min(len(bytes), writePiece)])
		if err != nil {
			return err
		}
		bytes = bytes[n:]
	}
	return nil
}

// fail ends the connection: the client, which reads it, notices.
func (s *socket) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
	}
	s.bytes = nil
	_ = s.Conn.Close()
}
