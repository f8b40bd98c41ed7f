package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"go.uber.org/zap"
)

// Run listens on Options.Addr and serves until ctx ends or [Server.Shutdown] is called. Then it shuts down: it stops
// listening, HTTP requests and WebSockets end as Shutdown says, and last the application's lifespan, which has
// Options.AppCloseTimeout. It returns nil after a clean shutdown, also when ctx had ended before it began to serve.
//
// An application with a lifespan is asked to start before the server listens; if it cannot, Run returns its message.
//
// A Server may also run several times at once, such as by Serve for each of your listeners. The application starts once, with
// the first of them, and when one ends, for whatever reason, all end. A Server that has ended, even one that could not start,
// is not used again: Run returns an error.
func (s *Server) Run(ctx context.Context) error {
	return s.serve(ctx, s.openAll)
}

// Serve is [Server.Run] on a listener of yours, which it closes. Options that Run obeys hold here too, but for Addr and
// Listeners: with Options.CertFile or TLS it ends TLS, so the listener must not.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	defer ln.Close()
	return s.serve(ctx, func() ([]endpoint, error) {
		return []endpoint{s.endpoint(ln, Listener{ProxyProtocol: s.opts.ProxyProtocol})}, nil
	})
}

// serve is the life of a server: startup, requests, shutdown.
func (s *Server) serve(ctx context.Context, listen func() ([]endpoint, error)) error {
	begin, first, err := s.begin()
	if err != nil {
		return err
	}
	if first {
		begin.life, begin.err = s.startLifespan(ctx)
		close(begin.done)
		err = begin.err
	} else {
		err = s.awaitStartup(ctx, begin)
	}
	switch {
	case err == nil:
		err = s.serveRequests(ctx, listen)
	case err == errNotStarted:
		err = s.end()
	default:
		err = errors.Join(err, s.end())
	}
	if first && begin.life != nil {
		s.running.Wait()
		err = errors.Join(err, s.stopLifespan(context.WithoutCancel(ctx), begin.life))
	}
	return err
}

// A startup is the one of the application, for all calls of Run and Serve. Its other fields are read after done.
type startup struct {
	done chan struct{}
	life *lifespan // nil: the application has none
	err  error
}

// errNotStarted says that the server had to end before it served.
var errNotStarted = errors.New("asgi/server: serve: ended before the startup was complete")

// begin returns the startup, and whether the caller is the first, who sees to it.
func (s *Server) begin() (begin *startup, first bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return nil, false, errors.New("asgi/server: serve: the server was shut down: make a new one with server.New")
	}
	if first = s.startup == nil; first {
		s.startup = &startup{done: make(chan struct{})}
	}
	return s.startup, first, nil
}

// awaitStartup waits for the startup that another call of Run or Serve sees to.
func (s *Server) awaitStartup(ctx context.Context, begin *startup) error {
	select {
	case <-begin.done:
		return begin.err
	case <-ctx.Done():
	case <-s.closing:
	}
	return errNotStarted
}

// runs counts an HTTP side, for which Shutdown will wait, or returns false during a shutdown.
func (s *Server) runs() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.down {
		s.running.Add(1)
	}
	return !s.down
}

// serveRequests serves until ctx ends, Shutdown is called or a listener fails.
func (s *Server) serveRequests(ctx context.Context, listen func() ([]endpoint, error)) error {
	if !s.runs() {
		return s.end()
	}
	defer s.running.Done()
	config, err := s.tlsConfig()
	if err != nil {
		return errors.Join(err, s.end())
	}
	endpoints, err := listen()
	if err != nil {
		return errors.Join(err, s.end())
	}
	requests, tell := context.WithCancelCause(context.Background())
	defer tell(nil)
	hs := s.httpServer(requests)
	hs.TLSConfig = config
	failed := make(chan error, len(endpoints))
	s.listening.Store(true) // before the first client can ask
	for _, e := range endpoints {
		go func() { failed <- e.serve(hs) }() // ends with the listener or hs; received below
		s.log.Info("serving", zap.Stringer("address", e.Addr()), zap.Bool("tls", e.tls))
	}
	ended := len(endpoints)
	select {
	case err = <-failed:
		err = fmt.Errorf("asgi/server: serve: %w", err)
		ended--
	case <-ctx.Done():
		s.drain()
	case <-s.closing:
	}
	err = errors.Join(err, s.shutdownAll(hs, tell))
	for range ended {
		<-failed // Shutdown has ended it
	}
	return err
}

// serve serves requests that come to one listener.
func (e endpoint) serve(hs *http.Server) error {
	if e.tls {
		return hs.ServeTLS(e.Listener, "", "")
	}
	return hs.Serve(e.Listener)
}

// httpServer is net/http's part; requests is what their contexts are made of.
func (s *Server) httpServer(requests context.Context) *http.Server {
	hs := &http.Server{
		ReadHeaderTimeout: s.opts.HeaderTimeout,
		WriteTimeout:      s.opts.WriteTimeout, // of what net/http answers by itself; asgi.Handler begins anew
		IdleTimeout:       s.opts.IdleTimeout,
		MaxHeaderBytes:    s.opts.MaxHeaderBytes,
		ErrorLog:          s.errorLog(),
		BaseContext:       func(net.Listener) context.Context { return requests },
		ConnContext: func(ctx context.Context, nc net.Conn) context.Context {
			limitUnsentOf(nc)
			return ctx
		},
	}
	hs.Handler = s.direct(hs)
	return hs
}

// shutdownAll stops accepting, then ends requests and sockets side by side.
func (s *Server) shutdownAll(hs *http.Server, tell context.CancelCauseFunc) error {
	web := make(chan error, 1)
	go func() { web <- s.shutdownHTTP(hs, tell) }() // bounded; received below
	err := s.end()
	return errors.Join(err, <-web)
}

// shutdownHTTP gives requests as long as sockets have: then their ctx ends, and after AppCloseTimeout they are cut.
func (s *Server) shutdownHTTP(hs *http.Server, tell context.CancelCauseFunc) error {
	grace := s.opts.ShutdownWindow + lingerTime
	told := time.AfterFunc(grace, func() { tell(s.goodbye) })
	defer told.Stop()
	ctx, cancel := context.WithCancel(s.ending.hurry)
	defer cancel()
	if limit := s.opts.AppCloseTimeout; limit > 0 {
		ctx, cancel = context.WithTimeout(ctx, grace+limit)
		defer cancel()
	}
	err := hs.Shutdown(ctx)
	if err != nil && s.ending.hurry.Err() != nil {
		tell(s.goodbye)
		brief, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		err = hs.Shutdown(brief)
	}
	if err == nil {
		return nil
	}
	open := s.counts.httpOpen.Load() // the others are connections on which no request has come, or half of one
	hs.Close()
	if open == 0 {
		return nil
	}
	return fmt.Errorf("asgi/server: shutdown: %d HTTP requests did not end: %w", open, err)
}
