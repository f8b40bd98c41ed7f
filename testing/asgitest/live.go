package asgitest

import (
	"context"
	"maps"
	"net/http"
	"net/http/httptest"
	"runtime/debug"
	"strings"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
)

// A Live server serves the app of a Site on a loopback port that the operating system has chosen, until the end of the
// test. Any client can use it: a browser, curl, a WebSocket library.
type Live struct {
	URL          string // such as "http://127.0.0.1:40123", without a slash at the end
	WebSocketURL string // the same with "ws"
}

// Live starts a real server, a [server.Server] with the limits of the Site's Options. It runs no lifespan; what
// [Site.Startup] left in the State is in its scopes. What goes wrong in the app is in the Logger, and a panic fails the
// test as well. It cannot be used in a bubble, where nothing real can be waited for.
func (s *Site) Live() *Live {
	s.t.Helper()
	if inBubble() {
		s.t.Fatalf("asgitest: Live: a bubble has no network: call it in a test without synctest.Test")
	}
	o := s.options
	srv := server.New(s.liveApp(), &server.Options{
		Logger: o.Logger, RootPath: o.RootPath, MaxMessage: o.MaxMessage, QueueSize: o.Queue,
		WriteTimeout: max(o.WriteTimeout, 0), AppCloseTimeout: o.Timeout / 2, ShutdownWindow: -1,
	})
	front := httptest.NewServer(srv)
	ctx, cancel := context.WithCancel(context.Background())
	s.begin(ctx, "live server", cancel, func(ctx context.Context) error {
		<-ctx.Done()
		limit, done := s.limit()
		defer done()
		front.CloseClientConnections()
		err := srv.Shutdown(limit)
		front.Close()
		return err
	}, func(r *run) { r.failed = r.err })
	return &Live{URL: front.URL, WebSocketURL: "ws" + strings.TrimPrefix(front.URL, "http")}
}

// liveApp is the app with what the Site adds to each scope, and to each panic.
func (s *Site) liveApp() asgi.App {
	return asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		defer func() {
			if v := recover(); v != nil {
				if v == http.ErrAbortHandler { // no failure, see net/http
					panic(v)
				}
				s.errorf("asgitest: live server: %s %s: the app panicked: %v\n%s", scope.Type(), scope.Path(), v, debug.Stack())
				panic(v)
			}
		}()
		if state := s.startState(); state != nil {
			scope = scope.Derive(func(f *asgi.Fields) { f.State = maps.Clone(state) })
		}
		if s.options.Scope != nil {
			scope = s.options.Scope(scope)
		}
		return s.app.Serve(ctx, s.equip(scope), receive, send)
	})
}
