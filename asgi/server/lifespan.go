package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/tideway-go/tideway/asgi"
)

// A lifespan is the conversation with the application about the life of the process (S8).
type lifespan struct {
	events   chan asgi.Event // to the application
	started  chan error      // its answer to the startup; nil is complete
	stopped  chan error      // its answer to the shutdown
	finished chan struct{}   // closed when Serve has returned
	cancel   context.CancelCauseFunc

	mu    sync.Mutex
	phase int
	asked bool // the application has received the startup
}

// The phases of a lifespan.
const (
	starting = iota
	serving
	stopping
	stoppedPhase
)

// startLifespan asks the application to get ready and waits for its answer. It returns nil, without an error, for an
// application that has no lifespan, and errNotStarted when the server has to end first.
func (s *Server) startLifespan(ctx context.Context) (*lifespan, error) {
	if ctx.Err() != nil {
		return nil, errNotStarted
	}
	l := &lifespan{
		events:   make(chan asgi.Event, 2),
		started:  make(chan error, 1),
		stopped:  make(chan error, 1),
		finished: make(chan struct{}),
	}
	own, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	l.cancel = cancel
	scope := asgi.LoggerKey.With(asgi.NewScope(asgi.Fields{Type: asgi.Lifespan, State: map[string]any{}}), s.log)
	l.events <- asgi.LifespanStartup{}
	go l.run(own, s.app, scope) // ends with own; awaitEnd and stop wait for it
	var err error
	select {
	case err = <-l.started:
	case <-ctx.Done():
		err = errNotStarted
	case <-s.closing:
		err = errNotStarted
	}
	if err == nil {
		s.state = scope.State()
		return l, nil
	}
	cause := err
	if err == errNotStarted {
		cause = asgi.DisconnectError{Reason: reasonShutdown, By: asgi.ByServer}
	}
	cancel(cause)
	late := s.awaitEnd(l)
	switch {
	case errors.Is(err, errNoLifespan):
		return nil, nil
	case late == nil:
		return nil, err
	case err == errNotStarted:
		return nil, late
	}
	return nil, errors.Join(err, late)
}

// awaitEnd gives an application that could not start AppCloseTimeout to return.
func (s *Server) awaitEnd(l *lifespan) error {
	var late <-chan time.Time
	if limit := s.opts.AppCloseTimeout; limit > 0 {
		t := time.NewTimer(limit)
		defer t.Stop()
		late = t.C
	}
	select {
	case <-l.finished:
		return nil
	case <-late:
		return fmt.Errorf("asgi/server: lifespan: the application did not return: %w", errLate)
	}
}

var errNoLifespan = errors.New("asgi/server: lifespan: the application has none")

// run serves the lifespan scope on a goroutine of its own; stop and startLifespan wait for it.
func (l *lifespan) run(ctx context.Context, app asgi.App, scope *asgi.Scope) {
	defer close(l.finished)
	err := func() (err error) {
		defer func() {
			if v := recover(); v != nil {
				err = &asgi.PanicError{Value: v, Stack: debug.Stack()}
			}
		}()
		return app.Serve(ctx, scope, l.receive, l.send)
	}()
	l.mu.Lock()
	phase, asked := l.phase, l.asked
	l.mu.Unlock()
	switch {
	case phase == starting && !asked && hasNoLifespan(err):
		l.started <- errNoLifespan
	case phase == starting && err == nil:
		l.started <- errors.New("asgi/server: lifespan: the application returned before the startup was complete: send lifespan.startup.complete, or return errors.ErrUnsupported, before the first Receive, if it has no lifespan")
	case phase == starting:
		l.started <- fmt.Errorf("asgi/server: lifespan: startup: %w", err)
	case phase != stoppedPhase && err != nil:
		l.stopped <- fmt.Errorf("asgi/server: lifespan: %w", err)
	case phase != stoppedPhase:
		l.stopped <- nil
	}
}

// hasNoLifespan reports whether an application that was not asked to start says so. Any other error means that it tried
// and failed; and so do these, once it has received the startup: a system call that failed may match ErrUnsupported too.
func hasNoLifespan(err error) bool {
	var deny asgi.Deny
	return errors.Is(err, errors.ErrUnsupported) || errors.As(err, &deny) && deny.StatusCode() == http.StatusNotFound
}

func (l *lifespan) receive(ctx context.Context) (asgi.Event, error) {
	select {
	case ev := <-l.events:
		if _, ok := ev.(asgi.LifespanStartup); ok {
			l.mu.Lock()
			l.asked = true
			l.mu.Unlock()
		}
		return ev, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (l *lifespan) send(_ context.Context, event asgi.Event) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch e := event.(type) {
	case asgi.LifespanStartupComplete:
		return l.answer(starting, serving, l.started, nil, event)
	case asgi.LifespanStartupFailed:
		return l.answer(starting, stoppedPhase, l.started, fmt.Errorf("asgi/server: the application could not start: %s", e.Message), event)
	case asgi.LifespanShutdownComplete:
		return l.answer(stopping, stoppedPhase, l.stopped, nil, event)
	case asgi.LifespanShutdownFailed:
		return l.answer(stopping, stoppedPhase, l.stopped, fmt.Errorf("asgi/server: the application could not shut down: %s", e.Message), event)
	}
	return fmt.Errorf("asgi/server: send %s: this is the lifespan: send lifespan.startup.complete or lifespan.shutdown.complete", eventName(event))
}

// answer goes from one phase to the next.
func (l *lifespan) answer(from, to int, answer chan error, err error, event asgi.Event) error {
	if l.phase != from {
		return fmt.Errorf("asgi/server: send %s: it was not asked for now: answer each lifespan event once", event.EventType())
	}
	l.phase = to
	answer <- err // buffered; each is answered once
	return nil
}

// hurryTime is what is left of a limit when all has to end at once.
const hurryTime = time.Second

// stopLifespan gives the application AppCloseTimeout to clean up, or hurryTime when all has to end at once.
func (s *Server) stopLifespan(ctx context.Context, l *lifespan) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(s.ending.hurry, func() {
		time.AfterFunc(hurryTime, func() { cancel(errLate) })
	})()
	return l.stop(ctx, s.opts.AppCloseTimeout)
}

// stop tells the application to clean up, and waits for its answer and its end, at most limit (0: for ever).
func (l *lifespan) stop(ctx context.Context, limit time.Duration) error {
	l.mu.Lock()
	if l.phase == serving {
		l.phase = stopping
	}
	l.mu.Unlock()
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, limit, errLate)
		defer cancel()
	}
	l.events <- asgi.LifespanShutdown{} // buffered
	var err error
	select {
	case err = <-l.stopped:
	case <-ctx.Done():
		err = fmt.Errorf("asgi/server: lifespan: shutdown: %w", context.Cause(ctx))
	}
	l.cancel(asgi.DisconnectError{Reason: reasonShutdown, By: asgi.ByServer})
	select {
	case <-l.finished:
	case <-ctx.Done():
		if err == nil {
			err = fmt.Errorf("asgi/server: lifespan: the application did not return: %w", context.Cause(ctx))
		}
	}
	return err
}

var errLate = errors.New("the application took too long")
