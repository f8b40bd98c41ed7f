package consumers_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/memlayer"
	"github.com/tideway-go/tideway/routing"
	"github.com/tideway-go/tideway/testing/asgitest"
	"go.uber.org/zap"
)

// TestForeignErrClosed: an ErrClosed of another connection says nothing about this one: it is a failure like any other (C7,
// S6), and not the quiet end of a connection that is open.
func TestForeignErrClosed(t *testing.T) {
	gone := fmt.Errorf("send to another client: %w", asgi.ErrClosed)
	synctest.Test(t, func(t *testing.T) {
		app := routing.Protocols(map[string]asgi.App{
			asgi.HTTP: request{Handle: func(*none, context.Context, *consumers.Conn, []byte) error { return gone }}.App(),
			asgi.WebSocket: routing.URLs(
				routing.Path("/connect/", socket{Connect: func(*none, context.Context, *consumers.Conn) error { return gone }}.App()),
				routing.Path("/text/", socket{Text: func(*none, context.Context, *consumers.Conn, string) error { return gone }}.App()),
			),
		})
		site, response := asgitest.New(t, app), httptest.NewRecorder()
		asgi.Handler{App: app}.ServeHTTP(response, httptest.NewRequest("GET", "/", nil))
		if response.Code != 500 {
			t.Errorf("HTTP: got %d, want 500", response.Code)
		}
		if r := site.Refused("/connect/"); r.Status != 500 {
			t.Errorf("Connect: got %d, want 500", r.Status)
		}
		ws := site.Dial("/text/")
		ws.SendText("x")
		ws.ExpectClose(1011, "")
		_ = ws.Wait()
	})
}

// TestPoisonedJob: Case 209. Whatever error a handler of a worker returns, and also when it ends its goroutine, only its
// message is harmed.
func TestPoisonedJob(t *testing.T) {
	for name, poison := range map[string]func() error{
		"an invalid name":   func() error { return memlayer.New(nil).GroupSend(context.Background(), "a b", noted.With(note{})) },
		"a closed layer":    func() error { return fmt.Errorf("another layer: %w", layers.ErrClosed) },
		"unsupported":       func() error { return fmt.Errorf("socket: %w", syscall.EOPNOTSUPP) },
		"a denial":          func() error { return asgi.Deny{} },
		"a closed peer":     func() error { return asgi.ErrClosed },
		"runtime.Goexit":    func() error { runtime.Goexit(); return nil },
		"stop":              func() error { return consumers.ErrStop },
		"an ended instance": func() error { return context.Canceled },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				layer := memlayer.New(nil)
				handled := make(chan int, 10)
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				w := consumers.Worker{Layer: layer, Channels: []string{"jobs"}, Logger: zap.NewNop(), App: consumers.AsyncConsumer[none]{
					Messages: []consumers.Handler[none]{consumers.On(noted, func(_ *none, _ context.Context, _ *consumers.Conn, v note) error {
						handled <- v.N
						if v.N%2 == 0 {
							return poison()
						}
						return nil
					})},
				}.App()}
				go func() { ended <- w.Run(ctx) }()
				for i := range 6 {
					if err := layer.Send(t.Context(), "jobs", noted.With(note{N: i})); err != nil {
						t.Fatal(err)
					}
				}
				for i := range 6 {
					select {
					case n := <-handled:
						if n != i {
							t.Fatalf("case 209: message %d was handled after %d", n, i-1)
						}
					case err := <-ended:
						t.Fatalf("case 209: Run returned %v after %d of 6 messages", err, i)
					}
				}
				cancel()
				if err := <-ended; err != nil {
					t.Errorf("case 209: Run returned %v", err)
				}
			})
		})
	}
}

// TestStopBeforeResponse: ErrStop ends an HTTP request quietly, too.
func TestStopBeforeResponse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site := asgitest.New(t, request{Handle: func(*none, context.Context, *consumers.Conn, []byte) error { return consumers.ErrStop }}.App())
		if r := site.Request("GET", "/"); r.Status != 204 {
			t.Errorf("got %d, want 204", r.Status)
		}
	})
}

// TestTextIsUTF8: what would break at the client is an error at the sender.
func TestTextIsUTF8(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		errs := make(chan error, 1)
		site := asgitest.New(t, socket{Text: func(_ *none, ctx context.Context, c *consumers.Conn, text string) error {
			errs <- c.SendText(ctx, "\xff")
			return c.SendText(ctx, "marker")
		}}.App())
		ws := site.Dial("/")
		ws.SendText("x")
		ws.ExpectText("marker")
		if err := <-errs; err == nil || !strings.Contains(err.Error(), "send it as a binary message") || errors.Is(err, asgi.ErrClosed) {
			t.Errorf("SendText of no UTF-8 gave %v", err)
		}
		ws.Disconnect()
	})
}
