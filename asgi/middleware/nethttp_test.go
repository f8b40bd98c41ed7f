package middleware_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/middleware"
	"github.com/tideway-go/tideway/asgi/server"
)

type userKey struct{}

// withUser is the commonest middleware of net/http: a value in the context, a header in the response.
func withUser(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-User", "ann")
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), userKey{}, "ann")))
	})
}

// The shapes in which middleware wraps a ResponseWriter, here to learn the status.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

type unwrapping struct{ *statusWriter }

func (w unwrapping) Unwrap() http.ResponseWriter { return w.ResponseWriter }

type hijacking struct{ *statusWriter }

func (w hijacking) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return w.ResponseWriter.(http.Hijacker).Hijack()
}

func wrapping(shape func(*statusWriter) http.ResponseWriter) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(shape(&statusWriter{ResponseWriter: w}), r)
		})
	}
}

// Middleware of net/http around a whole server: its values reach the scope, and it must let the server take the connection over.
func TestNetHTTPMiddleware(t *testing.T) {
	identity := func(next http.Handler) http.Handler { return next }
	for _, tc := range []struct {
		name  string
		stack func(http.Handler) http.Handler
		works bool // for WebSockets
	}{
		{"none", identity, true},
		{"with Unwrap", wrapping(func(w *statusWriter) http.ResponseWriter { return unwrapping{w} }), true},
		{"with Hijack", wrapping(func(w *statusWriter) http.ResponseWriter { return hijacking{w} }), true},
		{"with neither", wrapping(func(w *statusWriter) http.ResponseWriter { return w }), false},
		{"http.TimeoutHandler", func(next http.Handler) http.Handler { return http.TimeoutHandler(next, time.Minute, "") }, false},
		{"http.CrossOriginProtection", http.NewCrossOriginProtection().Handler, true},
		{"http.MaxBytesHandler", func(next http.Handler) http.Handler { return http.MaxBytesHandler(next, 1<<20) }, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			users, accepts := make(chan any, 2), make(chan error, 1)
			app := middleware.Cookies(asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
				if err := middleware.SetCookie(scope, &http.Cookie{Name: "a", Value: "1"}); err != nil {
					return err
				}
				return page(nil).Serve(ctx, scope, receive, func(ctx context.Context, event asgi.Event) error {
					err := send(ctx, event)
					switch event.(type) {
					case asgi.WebSocketAccept:
						accepts <- err
						users <- scope.Value(userKey{})
					case asgi.HTTPResponseStart:
						users <- scope.Value(userKey{})
					}
					return err
				})
			}))
			srv := server.New(app, &server.Options{ShutdownWindow: -1})
			site := httptest.NewServer(withUser(tc.stack(srv)))
			defer func() {
				if err := srv.Shutdown(t.Context()); err != nil {
					t.Error(err)
				}
				site.Close()
			}()
			resp, err := site.Client().Get(site.URL)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode != 200 || string(body) != "ok" || resp.Header.Get("X-User") != "ann" || <-users != "ann" {
				t.Errorf("a request: %d %q %v", resp.StatusCode, body, resp.Header)
			}
			handshake(t, site, tc.works, accepts)
			if user := <-users; user != "ann" {
				t.Errorf("a WebSocket's user is %v", user)
			}
		})
	}
}

// handshake opens a WebSocket, and demands 101 or the 500 of an app that could not accept.
func handshake(t *testing.T, site *httptest.Server, works bool, accepts <-chan error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, site.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
		"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="} {
		r.Header.Set(name, value)
	}
	resp, err := site.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	accepted := <-accepts
	if !works {
		if resp.StatusCode != 500 || resp.Header.Get("X-User") != "ann" || accepted == nil || !strings.Contains(accepted.Error(), "needs Unwrap") {
			t.Errorf("status %d, the app heard %v; want 500, and what to write", resp.StatusCode, accepted)
		}
		return
	}
	if resp.StatusCode != 101 || resp.Header.Get("X-User") != "" || accepted != nil || resp.Header.Get("Set-Cookie") != "a=1; Path=/; SameSite=Lax" {
		t.Errorf("status %d, cookie %q, the app heard %v", resp.StatusCode, resp.Header["Set-Cookie"], accepted)
		return
	}
	// A text "hi" under a mask of zeros, and its echo: the value in the scope has outlived the handler.
	socket := resp.Body.(io.ReadWriter)
	if _, err := socket.Write([]byte{0x81, 0x82, 0, 0, 0, 0, 'h', 'i'}); err != nil {
		t.Fatal(err)
	}
	echo := make([]byte, 4)
	if _, err := io.ReadFull(socket, echo); err != nil || string(echo) != "\x81\x02hi" {
		t.Errorf("echo %q, %v", echo, err)
	}
}
