package middleware_test

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/middleware"
	"github.com/tideway-go/tideway/asgi/middleware/accesslog"
	"github.com/tideway-go/tideway/asgi/middleware/limit"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/testing/asgitest"
)

// openMiddleware has each middleware in a form that lets a client of asgitest pass.
var openMiddleware = map[string]asgi.Middleware{
	"Cookies":   middleware.Cookies,
	"Host":      middleware.Host("testserver"),
	"Origin":    middleware.Origin("*"),
	"RealIP":    middleware.RealIP(nil),
	"RequestID": middleware.RequestID(nil),
	"Recover":   middleware.Recover(func(_ context.Context, _ *asgi.Scope, err error) error { return err }),
	"Timeout":   middleware.Timeout(time.Hour),
	"accesslog": accesslog.New(nil),
	"limit":     limit.New(&limit.Options{Connections: 9, Messages: limit.Rate{PerSecond: 1e9}}),
}

// Twice around a consumer, each middleware lets requests and WebSockets work as they do without it.
func TestEveryMiddlewareNests(t *testing.T) {
	for name, m := range openMiddleware {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				type state struct{}
				socket := consumers.AsyncWebsocketConsumer[state]{
					Text: func(_ *state, ctx context.Context, c *consumers.Conn, text string) error {
						return c.SendText(ctx, text)
					},
				}.App()
				pages := asgi.FromHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusTeapot) }))
				site := asgitest.New(t, m(m(asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
					if scope.Type() == asgi.HTTP {
						return pages.Serve(ctx, scope, receive, send)
					}
					return socket.Serve(ctx, scope, receive, send)
				}))))
				if r := site.Request("GET", "/"); r.Status != http.StatusTeapot {
					t.Errorf("a request: %d", r.Status)
				}
				ws := site.Dial("/")
				ws.SendText("hi")
				ws.ExpectText("hi")
				ws.Disconnect()
			})
		})
	}
}

// Every event passes as it is, with the ctx that it came with, and so does what the server says of it; a message on its way
// through all of them costs no allocation.
func TestEveryMiddlewareKeepsTheFastPath(t *testing.T) {
	frame := asgi.TextFrame("x")
	in := asgi.Event(asgi.WebSocketReceive{Frame: frame, Waited: true})
	out := asgi.Event(asgi.WebSocketSend{Frame: frame, Prepared: asgi.Prepare(frame), More: true})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	all := make([]asgi.Middleware, 0, len(openMiddleware))
	for _, m := range openMiddleware {
		all = append(all, m)
	}
	for name, m := range map[string][]asgi.Middleware{"all": all, "none": nil} {
		var sent asgi.Event
		var with context.Context
		answer := error(nil)
		app := asgi.Wrap(asgi.AppFunc(func(ctx context.Context, _ *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
			if err := send(ctx, asgi.WebSocketAccept{}); err != nil {
				return err
			}
			for _, want := range []error{asgi.ErrFull, asgi.ErrClosed, nil} {
				for _, event := range []asgi.Event{out, asgi.WebSocketFlush{}} {
					answer = want
					if err := send(ended, event); err != want || !reflect.DeepEqual(sent, event) || with != ended {
						t.Errorf("%s: sent %#v: got %v, want %v", name, sent, err, want)
					}
				}
			}
			if event, err := receive(ended); err != nil || !reflect.DeepEqual(event, in) || with != ended {
				t.Errorf("%s: received %#v, %v", name, event, err)
			}
			if n := testing.AllocsPerRun(100, func() {
				_, _ = receive(ctx)
				_ = send(ended, out)
			}); n != 0 {
				t.Errorf("%s: a message costs %v allocations", name, n)
			}
			return nil
		}), m...)
		scope := asgi.NewScope(asgi.Fields{Type: asgi.WebSocket, Host: "testserver"})
		err := app.Serve(t.Context(), scope,
			func(ctx context.Context) (asgi.Event, error) { with = ctx; return in, nil },
			func(ctx context.Context, e asgi.Event) error { sent, with = e, ctx; return answer })
		if err != nil {
			t.Error(err)
		}
	}
}

// A consumer sets cookies in Connect, and deletes them with a refusal.
func TestCookiesOfAConsumer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type state struct{}
		site := asgitest.New(t, middleware.Cookies(consumers.AsyncWebsocketConsumer[state]{
			Connect: func(_ *state, _ context.Context, c *consumers.Conn) error {
				if c.Scope().Path() == "/out" {
					return errors.Join(middleware.DeleteCookie(c.Scope(), &http.Cookie{Name: "a"}), asgi.Deny{Status: 401})
				}
				return middleware.SetCookie(c.Scope(), &http.Cookie{Name: "a", Value: "1"})
			},
			Text: func(_ *state, _ context.Context, c *consumers.Conn, _ string) error {
				return middleware.SetCookie(c.Scope(), &http.Cookie{Name: "a", Value: "2"})
			},
		}.App()))
		ws := site.Dial("/")
		if got := ws.Header().Get("Set-Cookie"); got != "a=1; Path=/; SameSite=Lax" {
			t.Errorf("the 101 has %q", got)
		}
		ws.SendText("too late")
		ws.ExpectClose(1011, "")
		if err := ws.Wait(); !errors.Is(err, middleware.ErrResponseBegun) {
			t.Errorf("got %v", err)
		}
		if r := site.Refused("/out"); r.Status != 401 || r.Header.Get("Set-Cookie") == "" {
			t.Errorf("refused with %v %v", r, r.Header)
		}
	})
}
