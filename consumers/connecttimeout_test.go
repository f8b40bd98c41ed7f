package consumers_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/testing/asgitest"
)

// TestSSEConnectTimeout: a Connect that waits too long is answered with 503, its ctx ends and says why, and what the connection
// has joined is left. No stream has begun, so Disconnect does not run.
func TestSSEConnectTimeout(t *testing.T) {
	for limit, want := range map[time.Duration]time.Duration{0: 5 * time.Second, time.Minute: time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			causes := make(chan error, 1)
			begin := time.Now()
			site, layer := site(t, stream{
				Groups: []string{"room"}, ConnectTimeout: limit, Forward: consumers.Types(noted),
				Connect: func(_ *none, ctx context.Context, _ *consumers.Conn) error {
					<-ctx.Done()
					causes <- context.Cause(ctx)
					return ctx.Err()
				},
				Disconnect: func(*none, context.Context, *consumers.Conn, asgi.DisconnectError) error {
					t.Error("C5: Disconnect ran though no stream has begun")
					return nil
				},
			}.App())
			x := site.Stream("GET", "/")
			rest(t.Context(), want-time.Second)
			r := x.Response()
			if r.Status != 503 || time.Since(begin) != want || r.Header.Get("Content-Type") == "text/event-stream" {
				t.Errorf("got %d %v after %v, want 503 after %v", r.Status, r.Header, time.Since(begin), want)
			}
			var why asgi.DisconnectError
			if err := told(t, causes); !errors.As(err, &why) || why.By != asgi.ByServer || why.Reason != "the stream did not begin in time" {
				t.Errorf("the cause is %v", err)
			}
			if err := x.Wait(); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "connect: no stream has begun within "+want.String()) {
				t.Errorf("the server sees %v", err)
			}
			before := layer.Stats().Delivered
			toRoom(t, layer, noted.With(note{}))
			if layer.Stats().Delivered != before {
				t.Error("the group still has the connection")
			}
		})
	}
}

// TestSSEConnectIgnoresItsCtx: the client has its answer all the same, and a new HTTP/1 connection for the next request; what
// Connect sends later goes nowhere, and the log names it.
func TestSSEConnectIgnoresItsCtx(t *testing.T) {
	for version, want := range map[string]string{"1.1": "close", "2": ""} {
		synctest.Test(t, func(t *testing.T) {
			core, logs := observer.New(zap.WarnLevel)
			late, release := make(chan error, 1), make(chan bool)
			site, _ := site(t, consumers.SyncSSEConsumer[none]{
				Logger: zap.New(core),
				Connect: func(_ *none, c *consumers.SyncConn) error {
					<-release
					late <- c.SendSSE(consumers.SSE{Data: "too late"})
					return nil
				},
			}.App())
			x := site.With(&asgitest.Options{Scope: func(s *asgi.Scope) *asgi.Scope {
				return s.Derive(func(f *asgi.Fields) { f.HTTPVersion = version })
			}}).Stream("GET", "/")
			rest(t.Context(), 4*time.Second)
			r := x.Response()
			if r.Status != 503 || r.Header.Get("Connection") != want || string(r.Body) != "Service Unavailable\n" {
				t.Errorf("HTTP/%s: got %d, %v, %q", version, r.Status, r.Header, r.Body)
			}
			rest(t.Context(), 11*time.Second)
			if logs.FilterMessageSnippet("a handler ignores that its ctx has ended").Len() != 1 {
				t.Errorf("C10: the log has %v", logs.All())
			}
			close(release)
			if err := told(t, late); !errors.Is(err, asgi.ErrClosed) {
				t.Errorf("a late event: %v", err)
			}
			if err := x.Wait(); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the server sees %v", err)
			}
		})
	}
}

// TestSSEConnectInTime: once a response has begun, or Connect has returned, there is no limit any more.
func TestSSEConnectInTime(t *testing.T) {
	for name, c := range map[string]struct {
		limit   time.Duration
		connect func(ctx context.Context, c *consumers.Conn) error
		status  int
		text    string
	}{
		"an event, then a pause": {0, func(ctx context.Context, c *consumers.Conn) error {
			err := c.SendSSE(ctx, consumers.SSE{Data: "1"})
			rest(ctx, time.Hour)
			return errors.Join(err, c.SendSSE(ctx, consumers.SSE{Data: "2"}), consumers.ErrStop)
		}, 200, "data: 1\n\ndata: 2\n\n"},
		"the last moment": {0, func(ctx context.Context, c *consumers.Conn) error {
			rest(ctx, 5*time.Second-1)
			c.Go(func(ctx context.Context) error {
				rest(ctx, time.Hour)
				return errors.Join(ctx.Err(), c.SendSSE(ctx, consumers.SSE{Data: "later"}), consumers.ErrStop)
			})
			return nil
		}, 200, "data: later\n\n"},
		"no limit": {-1, func(ctx context.Context, c *consumers.Conn) error {
			rest(ctx, time.Hour)
			return errors.Join(ctx.Err(), c.SendSSE(ctx, consumers.SSE{Data: "x"}), consumers.ErrStop)
		}, 200, "data: x\n\n"},
		"a response of its own": {0, func(ctx context.Context, c *consumers.Conn) error {
			err := c.Respond(ctx, http.StatusGone, nil, []byte("gone"))
			rest(ctx, time.Hour)
			return err
		}, 410, "gone"},
		"half a response of its own": {0, func(ctx context.Context, c *consumers.Conn) error {
			err := c.StartResponse(ctx, http.StatusOK, nil)
			rest(ctx, time.Hour)
			return errors.Join(ctx.Err(), err, c.SendBody(ctx, []byte("slow"), false))
		}, 200, "slow"},
	} {
		synctest.Test(t, func(t *testing.T) {
			site, _ := site(t, neverSends503(t, stream{
				ConnectTimeout: c.limit, Heartbeat: -1,
				Connect: func(_ *none, ctx context.Context, conn *consumers.Conn) error { return c.connect(ctx, conn) },
			}.App()))
			x := site.Stream("GET", "/")
			rest(t.Context(), 2*time.Hour)
			r := x.Response()
			if err := x.Wait(); r.Status != c.status || string(r.Body) != c.text || err != nil {
				t.Errorf("%s: got %d %q, and the server %v; want %d %q", name, r.Status, r.Body, err, c.status, c.text)
			}
		})
	}
}

// neverSends503 fails for a 503 that a server would refuse, since a response has begun: what stands in between need not know.
func neverSends503(t *testing.T, app asgi.App) asgi.App {
	return asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		return app.Serve(ctx, scope, receive, func(ctx context.Context, ev asgi.Event) error {
			if start, ok := ev.(asgi.HTTPResponseStart); ok && start.Status == 503 {
				t.Error("the consumer sends 503")
			}
			return send(ctx, ev)
		})
	})
}

// TestSSEConnectTimeoutAndGone: a client that has left gets nothing, and nobody is told of a timeout.
func TestSSEConnectTimeoutAndGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site, _ := site(t, neverSends503(t, stream{Connect: func(*none, context.Context, *consumers.Conn) error {
			rest(context.Background(), 7*time.Second)
			return nil
		}}.App()))
		x := site.Stream("GET", "/")
		synctest.Wait()
		x.Abandon()
		rest(t.Context(), 6*time.Second)
		if err := x.Wait(); err != nil {
			t.Errorf("the server sees %v", err)
		}
	})
}

// TestSSEConnectTimeoutPanics: what stands between consumer and server may panic on the timer's goroutine, and ends this
// connection alone.
func TestSSEConnectTimeoutPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := stream{Connect: func(_ *none, ctx context.Context, _ *consumers.Conn) error {
			<-ctx.Done()
			return ctx.Err()
		}}.App()
		site, _ := site(t, asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, _ asgi.Send) error {
			return inner.Serve(ctx, scope, receive, func(context.Context, asgi.Event) error { panic("broken middleware") })
		}))
		var panicked *asgi.PanicError
		x := site.Stream("GET", "/")
		rest(t.Context(), 6*time.Second)
		if err := x.Wait(); !errors.As(err, &panicked) || panicked.Value != "broken middleware" {
			t.Errorf("the server sees %v", err)
		}
	})
}
