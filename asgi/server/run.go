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

const (
	maxHeaderBytes = 64 << 10        // of a request; net/http answers 431
	idleTimeout    = 2 * time.Minute // of a kept-alive HTTP connection
)

// Run listens on Options.Addr and serves until ctx ends, then shuts down. It returns nil after a clean shutdown. An
// application with a lifespan is asked to start before the server listens; if it cannot, Run returns its message.
func (s *Server) Run(ctx context.Context) error {
	return s.serve(ctx, func() (net.Listener, error) {
		ln, err := net.Listen("tcp", s.opts.Addr)
		if err != nil {
			return nil, fmt.Errorf("asgi/server: run: %w", err)
		}
		return ln, nil
	})
}

// Serve is [Server.Run] on a listener of yours, such as one of crypto/tls or of a Unix socket, which it closes.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	defer ln.Close()
	return s.serve(ctx, func() (net.Listener, error) { return ln, nil })
}

// serve is the life of a server: startup, requests, shutdown.
func (s *Server) serve(ctx context.Context, listen func() (net.Listener, error)) error {
	if s.isDown() {
		return errors.New("asgi/server: serve: the server was shut down: make a new one with server.New")
	}
	life, err := s.startLifespan(ctx)
	if err != nil {
		return err
	}
	err = s.serveRequests(ctx, listen)
	if life != nil {
		err = errors.Join(err, life.stop(context.WithoutCancel(ctx), s.opts.AppCloseTimeout))
	}
	return err
}

// serveRequests serves until ctx ends or the listener fails.
func (s *Server) serveRequests(ctx context.Context, listen func() (net.Listener, error)) error {
	ln, err := listen()
	if err != nil {
		return err
	}
	requests, tell := context.WithCancelCause(context.Background())
	defer tell(nil)
	hs := &http.Server{
		ReadHeaderTimeout: s.opts.HeaderTimeout,
		WriteTimeout:      s.opts.WriteTimeout, // of what net/http answers by itself; asgi.Handler begins anew
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          s.errorLog(),
		BaseContext:       func(net.Listener) context.Context { return requests },
	}
	hs.Handler = s.direct(hs)
	failed := make(chan error, 1)
	go func() { failed <- hs.Serve(ln) }() // ends with the listener or hs; received below
	s.log.Info("serving", zap.Stringer("address", ln.Addr()))
	select {
	case err = <-failed:
		return errors.Join(fmt.Errorf("asgi/server: serve: %w", err), s.shutdownAll(hs, tell))
	case <-ctx.Done():
		err = s.shutdownAll(hs, tell)
		<-failed // Shutdown has ended it
		return err
	}
}

// shutdownAll stops accepting, then ends requests and sockets side by side.
func (s *Server) shutdownAll(hs *http.Server, tell context.CancelCauseFunc) error {
	web := make(chan error, 1)
	go func() { web <- s.shutdownHTTP(hs, tell) }() // bounded; received below
	err := s.Shutdown(context.Background())
	return errors.Join(err, <-web)
}

// shutdownHTTP gives requests as long as sockets have: then their ctx ends, and after AppCloseTimeout they are cut.
func (s *Server) shutdownHTTP(hs *http.Server, tell context.CancelCauseFunc) error {
	grace := s.opts.ShutdownWindow + lingerTime
	told := time.AfterFunc(grace, func() { tell(shutdownEnd) })
	defer told.Stop()
	ctx := context.Background()
	if limit := s.opts.AppCloseTimeout; limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, grace+limit)
		defer cancel()
	}
	if err := hs.Shutdown(ctx); err != nil {
		hs.Close()
		return fmt.Errorf("asgi/server: shutdown: some HTTP requests did not end: %w", err)
	}
	return nil
}
