package embedded

import (
	"context"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// A Server is a running NATS server and a connection to it. All methods are safe from any goroutine.
type Server struct {
	opts  Options
	nats  *server.Server
	log   *serverLog
	conn  *nats.Conn
	temp  string        // JetStream in memory still wants a directory
	ended chan struct{} // closed when the server has shut down
}

// Start starts a server and waits until it is ready, or ctx is over. What cannot work is an error that names the field, the
// port or the path; nothing is left behind then.
func Start(ctx context.Context, opts *Options) (*Server, error) {
	o, err := opts.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("embedded: %w", err)
	}
	s := &Server{opts: o, log: newServerLog(o.Logger), ended: make(chan struct{})}
	if err := s.start(ctx); err != nil {
		return nil, fmt.Errorf("embedded: start: %w", err)
	}
	return s, nil
}

func (s *Server) start(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var err error
	if s.temp, err = os.MkdirTemp("", "tideway-nats-"); err != nil {
		return err
	}
	if s.nats, err = server.NewServer(s.config()); err != nil {
		os.RemoveAll(s.temp)
		return err
	}
	s.nats.SetLogger(s.log, false, false)
	started := make(chan struct{})
	go func() { // ends when the server is up or has failed; shutdown waits for it
		defer close(started)
		s.nats.Start()
	}()
	select {
	case <-started:
		err = s.log.fatal()
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err == nil {
		s.conn, err = s.connect()
	}
	if err != nil {
		s.shutdown(started)
		return err
	}
	return nil
}

// config says to NATS what the options say.
func (s *Server) config() *server.Options {
	return &server.Options{
		ServerName:             s.opts.Name,
		NoSigs:                 true,
		DontListen:             true,
		MaxPayload:             int32(s.opts.MaxPayload),
		MaxPending:             maxPending,
		JetStream:              true,
		JetStreamMaxMemory:     s.opts.MaxMemory,
		JetStreamMaxStore:      s.opts.MaxDisk,
		DisableJetStreamBanner: true,
		StoreDir:               s.temp,
	}
}

func (s *Server) connect() (*nats.Conn, error) {
	return nats.Connect("", nats.InProcessServer(s), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond))
}

// Conn is a connection to the server inside this process. It belongs to the server: Close closes it.
func (s *Server) Conn() *nats.Conn { return s.conn }

// InProcessConn makes s a [nats.InProcessConnProvider], for further connections:
//
//	nats.Connect("", nats.InProcessServer(srv))
func (s *Server) InProcessConn() (net.Conn, error) { return s.nats.InProcessConn() }

// Close ends the connection and the server.
func (s *Server) Close(ctx context.Context) error {
	s.conn.Close()
	closed := make(chan struct{})
	close(closed)
	s.shutdown(closed)
	return nil
}

func (s *Server) shutdown(started chan struct{}) {
	<-started
	s.nats.Shutdown()
	s.nats.WaitForShutdown()
	os.RemoveAll(s.temp)
}
