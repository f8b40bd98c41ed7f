package server

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"go.uber.org/zap"
)

// RunUntilSignal is [Server.Run] that also ends with a signal: by default os.Interrupt, which is Ctrl-C, and SIGTERM, which
// supervisors send. The second signal cuts the shutdown short, as a second Shutdown does, and gives the lifespan one second; the
// third has its usual effect, which is to end the process. From the return on, signals do what they did before.
func (s *Server) RunUntilSignal(ctx context.Context, signals ...os.Signal) error {
	if len(signals) == 0 {
		signals = []os.Signal{os.Interrupt, syscall.SIGTERM}
	}
	got := make(chan os.Signal, 1)
	signal.Notify(got, signals...)
	defer signal.Stop(got)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done, finished := make(chan struct{}), make(chan struct{})
	go func() { // ends with done, and is waited for below
		defer close(finished)
		for _, react := range []struct {
			message string
			do      func()
		}{{"signal: shutting down", cancel}, {"signal: shutting down at once", func() { s.ending.cut(); signal.Stop(got) }}} {
			select {
			case sig := <-got:
				s.log.Info(react.message, zap.Stringer("signal", sig))
				react.do()
			case <-done:
				return
			}
		}
	}()
	err := s.Run(ctx)
	close(done)
	<-finished
	return err
}
