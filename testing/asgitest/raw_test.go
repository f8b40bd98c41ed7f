package asgitest_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/testing/asgitest"
)

// A Raw connection passes every event on as it is, both ways.
func TestRaw(t *testing.T) {
	both(t, func(t *testing.T) {
		raw := asgitest.New(t, echo).Raw(asgi.NewScope(asgi.Fields{Type: asgi.WebSocket, Path: "/"}))
		raw.Send(asgi.WebSocketConnect{})
		raw.Expect(asgi.WebSocketAccept{})
		raw.Send(asgi.WebSocketReceive{Frame: asgi.TextFrame("hi")})
		if got := raw.Receive().(asgi.WebSocketSend); string(got.Frame.Data) != "hi" {
			t.Errorf("got %v", got)
		}
		raw.Send(asgi.WebSocketDisconnect{Code: 1000})
		if err := raw.Wait(); err != nil {
			t.Error(err)
		}
		if e, err := raw.Next(t.Context()); err != asgi.ErrClosed {
			t.Errorf("got %v, %v, want %v", e, err, asgi.ErrClosed)
		}
		raw.ExpectNothing()
	})
}

// Drop ends ctx; what was sent before can still be received, then there is ErrClosed.
func TestRawDrop(t *testing.T) {
	app, next := inside()
	raw := asgitest.New(t, app).Raw(asgi.NewScope(asgi.Fields{Type: "other"}))
	conn := next()
	raw.Send(asgi.HTTPDisconnect{})
	raw.Drop()
	<-conn.ctx.Done()
	conn.next(t)
	if e, err := conn.receive(conn.ctx); err != asgi.ErrClosed {
		t.Errorf("got %v, %v, want %v", e, err, asgi.ErrClosed)
	}
	if err := raw.Wait(); !errors.Is(err, asgi.ErrClosed) {
		t.Errorf("Wait: got %v, want what the app returned", err)
	}
}

// lifespan opens something at startup and closes it at shutdown; its connections find it in the state.
func lifespan(log *[]string, shutdown asgi.Event) asgi.App {
	return asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		if scope.Type() != asgi.Lifespan {
			err := send(ctx, asgi.WebSocketAccept{})
			<-ctx.Done()
			*log = append(*log, fmt.Sprint("connection with ", scope.State()["db"]))
			return err
		}
		if _, err := receive(ctx); err != nil {
			return err
		}
		scope.State()["db"] = "open"
		if err := send(ctx, asgi.LifespanStartupComplete{}); err != nil {
			return err
		}
		if _, err := receive(ctx); err != nil {
			return err
		}
		*log = append(*log, "shutdown")
		return send(ctx, shutdown)
	})
}

// Startup runs the lifespan: its state is in each scope, and the shutdown comes after the last connection.
func TestStartup(t *testing.T) {
	for _, c := range []struct {
		name     string
		shutdown asgi.Event
		failure  string
	}{
		{"complete", asgi.LifespanShutdownComplete{}, ""},
		{"failed", asgi.LifespanShutdownFailed{Message: "disk full"},
			"asgitest: raw lifespan: expected lifespan.shutdown.complete: got lifespan.shutdown.failed (Message:disk full)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log []string
				got := record(t, func(t testing.TB) {
					site := asgitest.New(t, lifespan(&log, c.shutdown))
					site.Startup()
					site.Dial("/")
				}).text()
				if !strings.HasPrefix(got, c.failure) || (got == "") != (c.failure == "") {
					t.Errorf("got failures %q, want %q", got, c.failure)
				}
				if want := "[connection with open shutdown]"; fmt.Sprint(log) != want {
					t.Errorf("got %v, want %s", log, want)
				}
			})
		})
	}
}
