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
	hs := &http.Server{
		ReadHeaderTimeout: s.opts.HeaderTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          zap.NewStdLog(s.log),
	}
	hs.Handler = s.direct(hs)
	failed := make(chan error, 1)
	go func() { failed <- hs.Serve(ln) }()
	s.log.Info("serving", zap.Stringer("address", ln.Addr()))
	select {
	case err = <-failed:
		return errors.Join(fmt.Errorf("asgi/server: serve: %w", err), s.shutdownAll(context.WithoutCancel(ctx), hs))
	case <-ctx.Done():
		err = s.shutdownAll(context.WithoutCancel(ctx), hs)
		<-failed // Shutdown has ended it
		return err
	}
}

// shutdownAll stops accepting, then ends requests and sockets side by side.
func (s *Server) shutdownAll(ctx context.Context, hs *http.Server) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	web := make(chan error, 1)
	go func() {
		limit, stop := ctx, context.CancelFunc(func() {})
		if d := s.opts.AppCloseTimeout; d > 0 {
			limit, stop = context.WithTimeout(ctx, d+s.opts.ShutdownWindow)
		}
		defer stop()
		err := hs.Shutdown(limit)
		if err != nil {
			hs.Close()
			err = fmt.Errorf("asgi/server: shutdown: some HTTP requests did not end: %w", err)
		}
		web <- err
	}()
	err := s.Shutdown(ctx)
	return errors.Join(err, <-web)
}
