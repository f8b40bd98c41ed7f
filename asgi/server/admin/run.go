package admin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

const (
	headerTime = 5 * time.Second  // for a request to arrive
	idleTime   = time.Minute      // between two requests
	endTime    = 5 * time.Second  // for requests to end when Run ends
	writeTime  = 10 * time.Second // for an answer, but for profiles
)

// Run listens on Addr and answers until ctx ends. Then requests that run have 5 s, and Run returns nil. A listener that cannot be
// had, or fails, is an error, and a line for Logger as well: who waits for the public server first reads the error late.
func (s *Server) Run(ctx context.Context) error {
	addr := s.Addr
	if addr == "" {
		addr = DefaultAddr
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		if ctx.Err() == nil {
			s.logger().Error("admin: cannot listen", zap.String("address", addr), zap.Error(err))
		}
		return fmt.Errorf("admin: listen: %w", err)
	}
	return s.Serve(ctx, ln)
}

// Serve is [Server.Run] on a listener, which it closes.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	log := s.logger()
	requests, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	hs := &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: headerTime,
		ReadTimeout:       headerTime,
		WriteTimeout:      writeTime,
		IdleTimeout:       idleTime,
		ErrorLog:          zap.NewStdLog(log.WithOptions(zap.IncreaseLevel(zap.WarnLevel))),
		BaseContext:       func(net.Listener) context.Context { return requests },
	}
	if s.Profiles && !isLoopback(ln.Addr()) {
		log.Warn("admin: profiles are open to every network that reaches this address", zap.Stringer("address", ln.Addr()))
	}
	failed := make(chan error, 1)
	go func() { failed <- hs.Serve(ln) }() // ends with hs; received below
	select {
	case err := <-failed:
		log.Error("admin: the listener failed", zap.Stringer("address", ln.Addr()), zap.Error(err))
		return fmt.Errorf("admin: serve: %w", err)
	case <-ctx.Done():
	}
	cancel() // profiles are made as long as nobody needs the process
	limited, stop := context.WithTimeout(context.WithoutCancel(ctx), endTime)
	defer stop()
	err := hs.Shutdown(limited)
	if err != nil {
		err = errors.Join(fmt.Errorf("admin: shutdown: some requests did not end: %w", err), hs.Close())
	}
	<-failed
	return err
}

func isLoopback(addr net.Addr) bool {
	tcp, ok := addr.(*net.TCPAddr)
	return !ok || tcp.IP.IsLoopback() // a Unix socket has the rights of a file
}

func (s *Server) logger() *zap.Logger {
	if s.Logger == nil {
		return toStderr()
	}
	return s.Logger
}

// toStderr is the logger of a server that was given none.
func toStderr() *zap.Logger {
	encoder := zapcore.NewConsoleEncoder(zap.NewDevelopmentEncoderConfig())
	return zap.New(zapcore.NewCore(encoder, zapcore.Lock(os.Stderr), zap.WarnLevel))
}
