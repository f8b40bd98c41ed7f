package server_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
)

// deaf ignores all but the end of its ctx, whose cause it reports.
func deaf(causes chan<- error) asgi.App {
	return socket(func(ctx context.Context, _ *asgi.Scope, _ asgi.Receive, _ asgi.Send) error {
		<-ctx.Done()
		causes <- context.Cause(ctx)
		return nil
	})
}

// A second call of Shutdown, or the end of its ctx, cuts at once.
func TestShutdownAtOnce(t *testing.T) {
	for name, hurry := range map[string]func(*server.Server, context.CancelFunc){
		"second call": func(s *server.Server, _ context.CancelFunc) { s.Shutdown(context.Background()) },
		"ctx":         func(_ *server.Server, cancel context.CancelFunc) { cancel() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				causes := make(chan error, 3)
				s := variant{}.mountPipes(t, deaf(causes), server.Options{ShutdownWindow: time.Minute})
				p := s.open()
				s.open()
				s.open()
				synctest.Wait()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				stopped := make(chan error, 1)
				start := time.Now()
				go func() { stopped <- s.srv.Shutdown(ctx) }()
				synctest.Wait()
				hurry(s.srv, cancel)
				if err := <-stopped; err != nil {
					t.Error(err)
				}
				if err := takes(start, 0); err != nil {
					t.Error(err)
				}
				var cause asgi.DisconnectError
				if err := <-causes; !errors.As(err, &cause) || cause.By != asgi.ByServer {
					t.Errorf("ctx ended with %v", err)
				}
				p.Close()
			})
		})
	}
}

// A shutdown that has no time from its beginning still tells clients why. A close frame that is just being written may be lost.
func TestShutdownWithoutTime(t *testing.T) {
	const clients = 40
	causes := make(chan error, clients)
	s := variant{}.mount(t, deaf(causes), server.Options{ShutdownWindow: time.Minute})
	var peers []*peer
	for range clients {
		peers = append(peers, s.open())
	}
	await(t, func() bool { return s.srv.Stats().Open == clients })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.srv.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	told := 0
	for _, p := range peers {
		if code, _ := p.end(); code == 1001 {
			told++
		}
	}
	if told < clients/2 {
		t.Errorf("%d of %d clients were told 1001", told, clients)
	}
}

// A handshake that is not decided when the shutdown begins gets 503, and its application's ctx ends.
func TestShutdownDuringTheHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		causes := make(chan error, 1)
		s := variant{}.mountPipes(t, asgi.AppFunc(func(ctx context.Context, _ *asgi.Scope, _ asgi.Receive, _ asgi.Send) error {
			<-ctx.Done()
			causes <- context.Cause(ctx)
			return nil
		}), server.Options{})
		p := s.peer()
		status := make(chan int, 1)
		go func() {
			resp, err := p.request(handshake + "\r\n")
			if err != nil {
				t.Error(err)
			}
			status <- resp.StatusCode
		}()
		synctest.Wait()
		if err := s.srv.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if got := <-status; got != 503 {
			t.Errorf("got %d, want 503", got)
		}
		var cause asgi.DisconnectError
		if err := <-causes; !errors.As(err, &cause) || cause.Code != 1001 {
			t.Errorf("ctx ended with %v", err)
		}
	})
}

// An application that ignores everything is named once, counted, and does not hold the others.
func TestShutdownCountsTheDeaf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		released := make(chan struct{})
		s := variant{}.mountPipes(t, socket(func(_ context.Context, _ *asgi.Scope, _ asgi.Receive, _ asgi.Send) error {
			<-released
			return nil
		}), server.Options{})
		for range 2 {
			go closeLikeABrowser(s.open())
		}
		if err := s.stop(); err == nil || !strings.Contains(err.Error(), "2 applications did not end") {
			t.Errorf("Shutdown returned %v", err)
		}
		if got := s.logs.FilterMessageSnippet("ignores the end").All(); len(got) != 2 || got[0].ContextMap()["path"] != "/ws/room/" {
			t.Errorf("lines in the log: %v", got)
		}
		close(released)
	})
}

// Serve tells a request that goes on for ever why it must end, and cuts one that does not listen.
func TestServeEndsRequests(t *testing.T) {
	for _, listens := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			released, causes := make(chan struct{}), make(chan error, 1)
			s := variant{}.serve(t, asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, _ asgi.Receive, send asgi.Send) error {
				if scope.Type() != asgi.HTTP {
					return errors.ErrUnsupported
				}
				<-ctx.Done()
				causes <- context.Cause(ctx)
				if !listens {
					<-released
				}
				return context.Cause(ctx)
			}), server.Options{})
			p := s.peer()
			p.Write([]byte("GET / HTTP/1.1\r\nHost: example.org\r\n\r\n"))
			synctest.Wait()
			start := time.Now()
			err := s.stop()
			if listens != (err == nil) || err != nil && !strings.Contains(err.Error(), "HTTP requests did not end") {
				t.Errorf("Serve returned %v", err)
			}
			if took := time.Since(start); listens && took > 6*time.Second || !listens && took != 15*time.Second {
				t.Errorf("it took %v", took)
			}
			var cause asgi.DisconnectError
			if err := <-causes; !errors.As(err, &cause) {
				t.Errorf("ctx ended with %v", err)
			}
			close(released)
		})
	}
}
