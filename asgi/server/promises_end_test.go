package server_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
)

func endedContext() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

func checkS5(t *testing.T, v variant) error {
	return bubble(t, func(t *testing.T) error {
		const clients = 3
		ends := make(chan asgi.WebSocketDisconnect, clients)
		s := v.mountPipes(t, echoing(ends), server.Options{ShutdownWindow: 3 * time.Second})
		peers := []*peer{s.open(), s.open(), s.open()}
		late := s.peer()
		synctest.Wait() // for the server's side of the handshakes
		start := time.Now()
		stopped := make(chan error, 1)
		go func() { stopped <- s.stop() }()
		closed := make(chan error, clients)
		for _, p := range peers {
			go func() { closed <- closeLikeABrowser(p) }()
		}
		synctest.Wait()
		if resp, err := late.request(handshake + "\r\n"); err == nil && resp.StatusCode != http.StatusServiceUnavailable {
			return fmt.Errorf("a handshake during the shutdown got %s, want 503", resp.Status)
		}
		for i := range clients {
			if err := <-closed; err != nil {
				return err
			}
			if took, due := time.Since(start), time.Duration(i)*time.Second; took < due || took > due+time.Second {
				return fmt.Errorf("close %d of %d: it took %v, want a moment in the second after %v", i+1, clients, took, due)
			}
			if e := <-ends; e.Code != 1001 || e.By != asgi.ByServer {
				return fmt.Errorf("the application heard %+v, want 1001 by the server", e)
			}
		}
		if err := <-stopped; err != nil {
			return err
		}
		return stubborn(t, v)
	})
}

// closeLikeABrowser answers the server's close.
func closeLikeABrowser(p *peer) error {
	err := p.expectEnd(1001)
	p.send(fin|closing, closePayload(1001, ""))
	p.Close()
	return err
}

// stubborn has an application that ignores everything but the end of its ctx, and one that ignores even that.
func stubborn(t *testing.T, v variant) error {
	released := make(chan struct{})
	told := make(chan error, 1)
	s := v.mountPipes(t, socket(func(ctx context.Context, scope *asgi.Scope, _ asgi.Receive, _ asgi.Send) error {
		<-ctx.Done()
		told <- context.Cause(ctx)
		<-released
		return nil
	}), server.Options{ShutdownWindow: -1})
	p, start := s.open(), time.Now()
	go closeLikeABrowser(p)
	stopped := make(chan error, 1)
	go func() { stopped <- s.stop() }()
	var cause asgi.DisconnectError
	if err := <-told; !errors.As(err, &cause) || cause.Code != 1001 {
		return fmt.Errorf("ctx ended with %v, want the shutdown", err)
	}
	if err := takes(start, 5*time.Second); err != nil {
		return fmt.Errorf("the end of ctx: %w", err)
	}
	if err := <-stopped; err == nil {
		return errors.New("shutdown returned nil though an application goes on")
	}
	close(released)
	if time.Since(start) < 15*time.Second {
		return errors.New("shutdown did not wait for the application")
	}
	return nil
}

func checkS6(t *testing.T, v variant) error {
	app := asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, _ asgi.Receive, send asgi.Send) error {
		if scope.Type() == asgi.WebSocket {
			send(ctx, asgi.WebSocketHTTPResponseStart{Status: 403})
			send(ctx, asgi.WebSocketHTTPResponseBody{Body: []byte("half"), MoreBody: true})
		} else {
			send(ctx, asgi.HTTPResponseStart{Status: 200})
			send(ctx, asgi.HTTPResponseBody{Body: []byte("half"), MoreBody: true})
		}
		if scope.RawQuery() == "q=1" {
			return errors.New("the other half is lost")
		}
		return nil
	})
	s := v.mount(t, app, server.Options{})
	for name, request := range map[string]string{
		"http": "GET /?q=1 HTTP/1.1\r\nHost: example.org\r\n\r\n", "http, nil": "GET / HTTP/1.1\r\nHost: example.org\r\n\r\n",
		"refusal": handshake + "\r\n",
	} {
		resp, err := s.peer().request(request)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		b := make([]byte, 100)
		n := 0
		for err == nil {
			var k int
			k, err = resp.Body.Read(b[n:])
			n += k
		}
		if err.Error() != "unexpected EOF" {
			return fmt.Errorf("%s: after %q the client saw %v, want a cut connection", name, b[:n], err)
		}
	}
	return nil
}

func swallowAbort(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { recover() }()
		h.ServeHTTP(w, r)
	})
}

func checkS7(t *testing.T, v variant) error {
	results := make(chan error, 10)
	s := v.mount(t, socket(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) (err error) {
		defer func() {
			if p := recover(); p != nil {
				results <- fmt.Errorf("send panicked: %v", p)
			}
			close(results)
		}()
		for ended := false; !ended; {
			event, err := receive(ctx)
			if err != nil {
				return err
			}
			_, ended = event.(asgi.WebSocketDisconnect)
		}
		for _, event := range []asgi.Event{
			asgi.WebSocketSend{Frame: asgi.TextFrame("late")}, asgi.WebSocketSend{Frame: asgi.TextFrame("late"), More: true}, asgi.WebSocketClose{},
		} {
			results <- send(ctx, event)
			results <- send(endedContext(), event)
		}
		return nil
	}), server.Options{})
	p := s.open()
	p.send(fin|closing, closePayload(1000, ""))
	p.end()
	n := 0
	for err := range results {
		n++
		if !errors.Is(err, asgi.ErrClosed) {
			return fmt.Errorf("send after the end returned %v, want ErrClosed", err)
		}
	}
	if n != 6 {
		return fmt.Errorf("%d sends returned, want 6", n)
	}
	return nil
}

// wrapSend changes what Send returns when that is ErrClosed.
func wrapSend(change func(error) error) func(asgi.App) asgi.App {
	return func(app asgi.App) asgi.App {
		return asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
			return app.Serve(ctx, scope, receive, func(ctx context.Context, event asgi.Event) error {
				err := send(ctx, event)
				if errors.Is(err, asgi.ErrClosed) {
					return change(err)
				}
				return err
			})
		})
	}
}

func checkS8(t *testing.T, v variant) error {
	for _, tc := range []struct {
		name   string
		err    error
		starts bool
	}{
		{"unsupported", fmt.Errorf("this app: %w", errors.ErrUnsupported), true},
		{"no route", fmt.Errorf("routing: no route: %w", asgi.Deny{Status: 404}), true},
		{"a failure", errors.New("no database"), false},
		{"a refusal", asgi.Deny{}, false},
		{"an early return", nil, false},
	} {
		if err := bubble(t, func(t *testing.T) error { return starts(t, v, tc.err, tc.starts) }); err != nil {
			return fmt.Errorf("%s: %w", tc.name, err)
		}
	}
	return nil
}

// starts checks whether a server starts though its application's lifespan returns err.
func starts(t *testing.T, v variant, err error, want bool) error {
	s := v.serve(t, asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		if scope.Type() == asgi.Lifespan {
			return err
		}
		return echoing(nil).Serve(ctx, scope, receive, send)
	}), server.Options{})
	c, dialed := s.dial()
	if dialed == nil {
		c.Close()
	}
	stopped := s.stop()
	switch {
	case want && dialed != nil:
		return fmt.Errorf("the server did not start: %v", stopped)
	case !want && dialed == nil:
		return errors.New("the server started")
	case !want && stopped == nil:
		return errors.New("Serve returned nil though the start failed")
	case !want && err != nil && !strings.Contains(stopped.Error(), err.Error()):
		return fmt.Errorf("Serve returned %v, which hides the cause", stopped)
	}
	return nil
}

func hideLifespanErrors(app asgi.App) asgi.App {
	return asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		err := app.Serve(ctx, scope, receive, send)
		if scope.Type() == asgi.Lifespan {
			return errors.ErrUnsupported
		}
		return err
	})
}

func loudLifespan(app asgi.App) asgi.App {
	return asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		err := app.Serve(ctx, scope, receive, send)
		if scope.Type() == asgi.Lifespan {
			return errors.New("failed")
		}
		return err
	})
}
