package server_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
)

// webAndSockets echoes on WebSockets, and answers requests at once, but /slow when its ctx has ended.
func webAndSockets() asgi.App {
	return asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		if scope.Type() != asgi.HTTP {
			return echoing(nil).Serve(ctx, scope, receive, send)
		}
		if scope.Path() == "/slow" {
			<-ctx.Done()
			return context.Cause(ctx)
		}
		return asgi.Deny{Status: 204}
	})
}

// S5: Shutdown ends what Run and Serve serve, in the order of a clean end, and they return nil.
func TestShutdownEndsServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cleaned bool
		s := variant{}.serve(t, living(complete, func(*asgi.Scope) asgi.Event {
			cleaned = true
			return asgi.LifespanShutdownComplete{}
		}, webAndSockets()), server.Options{})
		p := s.open()
		ended := make(chan error, 1)
		go func() { ended <- closeLikeABrowser(p) }()
		if err := s.srv.Shutdown(t.Context()); err != nil {
			t.Error("S5: ", err)
		}
		if c, err := s.dial(); err == nil {
			c.Close()
			t.Error("S5: after Shutdown the listener still accepts")
		}
		if err := <-ended; err != nil {
			t.Error("S5: ", err)
		}
		if err := s.served(); err != nil || !cleaned {
			t.Errorf("S5: Serve returned %v, lifespan cleaned up: %v", err, cleaned)
		}
		if err := s.srv.Serve(t.Context(), newPipes()); err == nil || !strings.Contains(err.Error(), "was shut down: make a new one") {
			t.Errorf("Serve after Shutdown returned %v", err)
		}
	})
}

// Shutdown waits for the HTTP requests of Serve; their ctx ends after the window and the closing handshake's time, or with
// the ctx of Shutdown, or at its second call.
func TestShutdownWaitsForRequests(t *testing.T) {
	for name, tc := range map[string]struct {
		hurry func(*server.Server, context.CancelFunc)
		takes time.Duration
	}{
		"patient":     {func(*server.Server, context.CancelFunc) {}, 5 * time.Second},
		"ctx":         {func(_ *server.Server, cancel context.CancelFunc) { cancel() }, 0},
		"second call": {func(s *server.Server, _ context.CancelFunc) { s.Shutdown(context.Background()) }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := variant{}.serve(t, webAndSockets(), server.Options{})
				if _, err := s.peer().Write([]byte("GET /slow HTTP/1.1\r\nHost: example.org\r\n\r\n")); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				start, stopped := time.Now(), make(chan error, 1)
				go func() { stopped <- s.srv.Shutdown(ctx) }()
				synctest.Wait()
				tc.hurry(s.srv, cancel)
				if err := errors.Join(<-stopped, s.served()); err != nil {
					t.Error(err)
				}
				if took := time.Since(start); took < tc.takes || took > tc.takes+time.Second { // net/http looks now and then
					t.Errorf("Shutdown took %v, want %v", took, tc.takes)
				}
			})
		})
	}
}

// The first Shutdown is not the second reason to hurry when Serve ends already.
func TestShutdownJoinsTheEndOfServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := variant{}.serve(t, webAndSockets(), server.Options{ShutdownWindow: 4 * time.Second})
		first, second := s.open(), s.open()
		go closeLikeABrowser(first)
		go closeLikeABrowser(second)
		synctest.Wait()
		start, ended := time.Now(), make(chan error, 1)
		go func() { ended <- s.stop() }()
		synctest.Wait()
		if err := errors.Join(s.srv.Shutdown(t.Context()), <-ended); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took < 2*time.Second || took > 5*time.Second {
			t.Errorf("it took %v; the second socket is due in the second half of the window of 4 s", took)
		}
	})
}

// One Server on two listeners: the application starts once and is asked to clean up last; when one ends, all do.
func TestTwoListeners(t *testing.T) {
	for _, reason := range []string{"ctx", "listener"} {
		t.Run(reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				starts, requests := 0, 1
				var slow asgi.App = asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
					err := webAndSockets().Serve(ctx, scope, receive, send)
					if scope.Type() == asgi.HTTP {
						requests--
					}
					return err
				})
				s := variant{}.newSite(t, nil, living(func(*asgi.Scope) asgi.Event {
					starts++
					return asgi.LifespanStartupComplete{}
				}, func(*asgi.Scope) asgi.Event {
					if requests != 0 {
						t.Error("the application was asked to clean up before the request of the second listener had ended")
					}
					return asgi.LifespanShutdownComplete{}
				}, slow), server.Options{})
				listeners := []*pipes{newPipes(), newPipes()}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				ended := []chan error{make(chan error, 1), make(chan error, 1)}
				for i, ln := range listeners {
					own := context.Background()
					if i == 0 {
						own = ctx
					}
					go func() { ended[i] <- s.srv.Serve(own, ln) }()
					synctest.Wait()
					c, err := ln.dial()
					if err != nil {
						t.Fatal(err)
					}
					p := newPeer(c)
					if err := p.open(); err != nil {
						t.Error(err)
					}
					go closeLikeABrowser(p)
				}
				c, err := listeners[1].dial()
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				if _, err := c.Write([]byte("GET /slow HTTP/1.1\r\nHost: example.org\r\n\r\n")); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				if reason == "ctx" {
					cancel()
				} else {
					listeners[0].Close()
				}
				if err := <-ended[0]; (err != nil) != (reason == "listener") || err != nil && !errors.Is(err, net.ErrClosed) {
					t.Errorf("the first Serve returned %v", err)
				}
				if err := <-ended[1]; err != nil {
					t.Errorf("the second Serve returned %v", err)
				}
				if starts != 1 {
					t.Errorf("the application was started %d times", starts)
				}
			})
		})
	}
}
