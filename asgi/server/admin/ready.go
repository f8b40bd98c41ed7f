package admin

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/layers"
)

// The values of [Report.Status], and of a check that passes.
const (
	StatusOK          = "ok"
	StatusUnavailable = "unavailable"
)

// A Report is the body of /live and /ready.
type Report struct {
	Status string            `json:"status"`           // StatusOK or StatusUnavailable
	Checks map[string]string `json:"checks,omitempty"` // by name: StatusOK, or what is wrong
}

// checkTime is what the checks of one request have.
const checkTime = 2 * time.Second

// A check returns what is wrong.
type check func(ctx context.Context) error

// checks lists everything that has to be well, by name. It panics on what is nil.
func (s *Server) checks() map[string]check {
	all := make(map[string]check)
	for name, srv := range s.Servers {
		mustNotBeNil(srv == nil, "Servers", name)
		all["server "+name] = func(context.Context) error { return serverProblem(srv) }
	}
	for name, layer := range s.Layers {
		mustNotBeNil(layer == nil, "Layers", name)
		all["layer "+name] = func(context.Context) error { return layerProblem(layer) }
	}
	for name, worker := range s.Workers {
		mustNotBeNil(worker == nil, "Workers", name)
		all["worker "+name] = func(context.Context) error { return workerProblem(worker) }
	}
	for name, f := range s.Checks {
		mustNotBeNil(f == nil, "Checks", name)
		all["check "+name] = f
	}
	return all
}

func mustNotBeNil(isNil bool, field, name string) {
	if isNil {
		panic(fmt.Sprintf("admin: Server.%s[%q] is nil: set it before Run or Handler, or leave the name out", field, name))
	}
}

func serverProblem(s *server.Server) error {
	switch {
	case s.Draining():
		return errors.New("it shuts down")
	case !s.Ready():
		return errors.New("it has not started")
	}
	return nil
}

func layerProblem(l *layers.Layer) error {
	if out, ok := l.Outage(); ok {
		return lasting(out.Cause, out.Since)
	}
	return nil
}

func workerProblem(w *consumers.Worker) error {
	switch h := w.Health(); {
	case !h.Running:
		return errors.New("it does not run")
	case h.Err != nil:
		return lasting(h.Err.Error(), h.Since)
	}
	return nil
}

func lasting(what string, since time.Time) error {
	return fmt.Errorf("%s, since %v", what, time.Since(since).Round(time.Second))
}

// run runs all checks at once.
func run(ctx context.Context, checks map[string]check) Report {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	var (
		mu     sync.Mutex
		wg     sync.WaitGroup
		report = Report{Status: StatusOK, Checks: make(map[string]string, len(checks))}
	)
	for name, f := range checks {
		wg.Go(func() { // waited for below
			err := errGoexit
			defer func() {
				if v := recover(); v != nil {
					err = &asgi.PanicError{Value: v, Stack: debug.Stack()}
				}
				mu.Lock()
				defer mu.Unlock()
				report.Checks[name] = StatusOK
				if err != nil {
					report.Status, report.Checks[name] = StatusUnavailable, err.Error()
				}
			}()
			err = f(ctx)
		})
	}
	wg.Wait()
	return report
}

// errGoexit is what [runtime.Goexit] in a check becomes.
var errGoexit = errors.New("the check ended its goroutine (runtime.Goexit): return an error instead")
