package embedded

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
)

// Close drains the server's own connection, so that what was published is on its way to the other nodes, and ends the
// server. In a cluster it hands over what it leads. If ctx ends before, the error says so, and the server ends in the
// background: its store directory stays locked until then. Closing again waits for the same end.
func (s *Server) Close(ctx context.Context) error {
	if err := s.stop(ctx); err != nil {
		return fmt.Errorf("embedded: close: %w", err)
	}
	return nil
}

func (s *Server) stop(ctx context.Context) error {
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	s.mu.Unlock()
	if first {
		go s.end(ctx) // ends with the server; ended tells
	}
	select {
	case <-s.ended:
		return s.endErr
	case <-ctx.Done():
		return fmt.Errorf("the server ends in the background: %w", context.Cause(ctx))
	}
}

// end ends the connection, the server, and the claim to the directory, in this order.
func (s *Server) end(ctx context.Context) {
	defer close(s.ended)
	s.endWatch()
	drained := s.drain(ctx)
	<-s.started
	s.watching.Wait()
	s.log.ending.Store(true)
	s.endErr = errors.Join(drained, s.shutdown(), s.giveBack())
}

// shutdown ends the server. It panics after some kinds of failed starts.
func (s *Server) shutdown() (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("shutdown: %v", v)
		}
	}()
	s.nats.Shutdown()
	s.nats.WaitForShutdown()
	return nil
}

// drain delivers what the connection holds and closes it.
func (s *Server) drain(ctx context.Context) error {
	if s.conn == nil || s.conn.IsClosed() {
		return nil
	}
	defer s.conn.Close()
	closed := s.conn.StatusChanged(nats.CLOSED)
	if err := s.conn.Drain(); err != nil {
		return fmt.Errorf("drain: %w", err)
	}
	select {
	case <-closed:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("drain: %w", context.Cause(ctx))
	}
}

func (s *Server) giveBack() error {
	if s.store == nil {
		return nil
	}
	return s.store.close()
}
