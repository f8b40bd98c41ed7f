package auth_test

import (
	"context"
	"net/http"
	"runtime"
	"sync"
	"testing"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/middleware/auth"
	"github.com/tideway-go/tideway/asgi/middleware/sessions"
	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/memlayer"
)

// waits accepts, and waits for the end of ctx.
var waits = asgi.AppFunc(func(ctx context.Context, _ *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
	if err := send(ctx, asgi.WebSocketAccept{}); err != nil {
		return err
	}
	_, err := receive(ctx)
	return err
})

// BenchmarkIdle measures what a socket that does nothing keeps, heap and stack: of these goroutines alone, with a session, and
// with a user besides.
func BenchmarkIdle(b *testing.B) {
	m, layer := newManager(), memlayer.New(nil)
	o := options(m, newAccounts(), layer)
	o.Layer = func(*asgi.Scope) *layers.Layer { return layer }
	o.Session.Hash = nil
	users := auth.New(o)
	ctx, err := m.Load(b.Context(), "")
	if err != nil {
		b.Fatal(err)
	}
	m.Put(ctx, "auth.user", "ann")
	token, _, err := m.Commit(ctx)
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name string
		app  asgi.App
	}{
		{"alone", waits},
		{"session", sessions.New(m)(waits)},
		{"user", asgi.Wrap(waits, sessions.New(m), users.Require)},
	} {
		b.Run(c.name, func(b *testing.B) {
			var total float64
			for b.Loop() {
				total += idle(b, c.app, m.Cookie.Name+"="+token)
			}
			b.ReportMetric(total/float64(b.N), "B/socket")
		})
	}
}

// idle opens sockets and returns what each keeps.
func idle(b *testing.B, app asgi.App, cookie string) float64 {
	const sockets = 2000
	ctx, stop := context.WithCancel(b.Context())
	var running, waiting sync.WaitGroup
	before := heap()
	for range sockets {
		waiting.Add(1)
		scope := asgi.NewScope(asgi.Fields{Type: asgi.WebSocket, Header: http.Header{"Cookie": {cookie}}})
		receive := func(ctx context.Context) (asgi.Event, error) {
			waiting.Done()
			<-ctx.Done()
			return nil, asgi.ErrClosed
		}
		running.Go(func() {
			_ = app.Serve(ctx, scope, receive, func(context.Context, asgi.Event) error { return nil })
		})
	}
	waiting.Wait()
	kept := float64(heap()-before) / sockets
	stop()
	running.Wait()
	return kept
}

func heap() uint64 {
	for range 4 { // each halves the stacks of which a quarter is in use
		runtime.GC()
	}
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc + s.StackInuse
}
