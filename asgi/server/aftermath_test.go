package server_test

import (
	"context"
	"errors"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/tideway-go/tideway/asgi"
)

// aftermath notes what the process has before an attack. What it returns demands, when the attackers are gone, that there are no more
// goroutines and no more descriptors than before, and that a fresh client is served. All servers of the test are named, so that each
// runs before anything is counted.
func aftermath(t *testing.T, sites ...*site) (unharmed func()) {
	t.Helper()
	visit := func() {
		t.Helper()
		for _, s := range sites {
			p := s.open()
			defer p.Close()
			p.send(fin|text, "unharmed")
			if err := p.expect(fin|text, "unharmed"); err != nil {
				t.Error("a fresh client: ", err)
			}
			p.send(fin|closing, "")
			p.end()
		}
	}
	visit()
	goroutines, descriptors := runtime.NumGoroutine(), openDescriptors()
	return func() {
		t.Helper()
		visit()
		if !eventually(func() bool { return runtime.NumGoroutine() <= goroutines && openDescriptors() <= descriptors }) {
			all := make([]byte, 1<<20)
			t.Errorf("%d goroutines, %d descriptors; before the attack %d and %d\n%s", runtime.NumGoroutine(), openDescriptors(),
				goroutines, descriptors, all[:runtime.Stack(all, true)])
		}
	}
}

// eventually asks again and again, for as long as only a test that is stuck takes.
func eventually(ok func() bool) bool {
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); <-time.After(time.Millisecond) {
		if ok() {
			return true
		}
	}
	return ok()
}

// openDescriptors counts the files and sockets of this process; 0 where the system does not tell.
func openDescriptors() int {
	entries, _ := os.ReadDir("/proc/self/fd")
	return len(entries)
}

// gated is an echo that accepts when it is let.
func gated(gate <-chan struct{}) asgi.App {
	return asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		if scope.Type() != asgi.WebSocket {
			return errors.ErrUnsupported
		}
		select {
		case <-gate:
		case <-ctx.Done():
			return ctx.Err()
		}
		return echoing(nil).Serve(ctx, scope, receive, send)
	})
}

// byQuery gives one kind of connections to an application of their own.
func byQuery(query string, app, others asgi.App) asgi.App {
	return asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		if scope.RawQuery() == query {
			return app.Serve(ctx, scope, receive, send)
		}
		return others.Serve(ctx, scope, receive, send)
	})
}
