package consumers_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/testing/asgitest"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

func checkC4(t testing.TB, wrap asgi.Middleware) {
	state := new(record)
	app := wrap(consumers.AsyncWebsocketConsumer[record]{
		New: func(*asgi.Scope) *record { return state },
		Text: func(s *record, ctx context.Context, c *consumers.Conn, text string) error {
			rest(ctx, 100*time.Millisecond)
			s.client = append(s.client, text)
			return nil
		},
	}.App())
	site, _ := site(t, app)
	ws := site.Dial("/")
	for _, text := range []string{"1", "2", "3"} {
		ws.SendText(text)
	}
	ws.Close(4001, "bye")
	ws.Wait()
	if got := strings.Join(state.client, " "); got != "1 2 3" {
		t.Fatalf("of the events 1 2 3 before the close these were handled: %s", got)
	}
	for _, end := range endings {
		checkEnding(t, wrap, end)
	}
}

// An ending is a way to end a connection whose handler waits for its ctx.
type ending struct {
	name  string
	end   func(ws *asgitest.WebSocket)
	after time.Duration
	cause asgi.DisconnectError
}

var endings = []ending{
	{"client close", func(ws *asgitest.WebSocket) { ws.Close(4002, "enough") }, time.Second, asgi.DisconnectError{Code: 4002, Reason: "enough", By: asgi.ByClient}},
	{"loss", func(ws *asgitest.WebSocket) { ws.Drop() }, 0, asgi.DisconnectError{Code: 1006, By: asgi.ByNetwork}},
	{"failed work", func(ws *asgitest.WebSocket) { ws.SendText("fail") }, 0, asgi.DisconnectError{Code: 1011, By: asgi.ByApp}},
}

func checkEnding(t testing.TB, wrap asgi.Middleware, e ending) {
	var cause error
	var after time.Duration
	fail := make(chan struct{})
	app := wrap(consumers.AsyncWebsocketConsumer[record]{
		Connect: func(s *record, ctx context.Context, c *consumers.Conn) error {
			c.Go(func(ctx context.Context) error {
				select {
				case <-fail:
					return errors.New("work failed")
				case <-ctx.Done():
					return nil
				}
			})
			return nil
		},
		Text: func(s *record, ctx context.Context, c *consumers.Conn, text string) error {
			begun := time.Now()
			if e.name == "failed work" {
				close(fail)
			}
			<-ctx.Done()
			cause, after = context.Cause(ctx), time.Since(begun)
			return ctx.Err()
		},
	}.App())
	site, _ := site(t, app)
	ws := site.Dial("/")
	ws.SendText("wait")
	if e.name != "failed work" { // a message is not an end: the handler waits already
		rest(t.Context(), 10*time.Millisecond)
		e.end(ws)
		e.after += 10 * time.Millisecond
	}
	_ = ws.Wait()
	var why asgi.DisconnectError
	if !errors.As(cause, &why) || why != e.cause {
		t.Fatalf("%s: the handler's ctx ended with cause %v, want %v", e.name, cause, e.cause)
	}
	if after != e.after {
		t.Fatalf("%s: the handler's ctx ended after %v, want %v", e.name, after, e.after)
	}
}

func checkC5(t testing.TB, wrap asgi.Middleware) {
	boom := errors.New("boom")
	for _, c := range []struct {
		name    string
		connect func(ctx context.Context, c *consumers.Conn) error
		end     func(ws *asgitest.WebSocket)
		want    int32
	}{
		{"client close", nil, func(ws *asgitest.WebSocket) { ws.Close(1000, "") }, 1},
		{"loss", nil, func(ws *asgitest.WebSocket) { ws.Drop() }, 1},
		{"handler error", nil, func(ws *asgitest.WebSocket) { ws.SendText("error") }, 1},
		{"handler panic", nil, func(ws *asgitest.WebSocket) { ws.SendText("panic") }, 1},
		{"handler stop", nil, func(ws *asgitest.WebSocket) { ws.SendText("stop") }, 1},
		{"handler close", nil, func(ws *asgitest.WebSocket) { ws.SendText("close") }, 1},
		{"refused", func(context.Context, *consumers.Conn) error { return asgi.Deny{} }, nil, 0},
		{"connect error", func(context.Context, *consumers.Conn) error { return boom }, nil, 0},
		{"connect panic", func(context.Context, *consumers.Conn) error { panic(boom) }, nil, 0},
		{"accepted, then error", func(ctx context.Context, c *consumers.Conn) error {
			_ = c.Accept(ctx, asgi.WebSocketAccept{})
			return boom
		}, func(*asgitest.WebSocket) {}, 1},
	} {
		var runs atomic.Int32
		var limited, left atomic.Bool
		var name string
		app := wrap(consumers.AsyncWebsocketConsumer[record]{
			Groups: []string{"room"},
			Connect: func(s *record, ctx context.Context, conn *consumers.Conn) error {
				name = conn.ChannelName()
				if c.connect != nil {
					return c.connect(ctx, conn)
				}
				return nil
			},
			Text: func(s *record, ctx context.Context, c *consumers.Conn, text string) error {
				switch text {
				case "error":
					return boom
				case "panic":
					panic(boom)
				case "stop":
					return consumers.ErrStop
				}
				return c.Close(ctx, 4000, "by the app")
			},
			Disconnect: func(s *record, ctx context.Context, c *consumers.Conn, why asgi.DisconnectError) error {
				runs.Add(1)
				deadline, ok := ctx.Deadline()
				limited.Store(ctx.Err() == nil && ok && time.Until(deadline) == 10*time.Second)
				if err := c.GroupAdd(ctx, "room"); err != nil {
					left.Store(true)
				}
				return nil
			},
		}.App())
		site, layer := site(t, app)
		ws := site.Open("/")
		if c.end != nil {
			if _, ok := ws.Receive().(asgi.WebSocketAccept); !ok {
				t.Fatalf("%s: not accepted", c.name)
			}
			c.end(ws)
		}
		_ = ws.Wait()
		synctest.Wait()
		if runs.Load() != c.want {
			t.Fatalf("%s: Disconnect ran %d times, want %d", c.name, runs.Load(), c.want)
		}
		if left.Load() {
			t.Fatalf("%s: the groups were left before Disconnect", c.name)
		}
		if c.want == 1 && !limited.Load() {
			t.Fatalf("%s: Disconnect's ctx was not alive with 10 s to go", c.name)
		}
		if err := layer.Send(t.Context(), name, noted.With(note{})); !errors.Is(err, layers.ErrNoChannel) {
			t.Fatalf("%s: after the end a send to its channel gave %v, want layers.ErrNoChannel", c.name, err)
		}
	}
}

func checkC10(t testing.TB, wrap asgi.Middleware) {
	var ended, late atomic.Bool
	inner := wrap(consumers.AsyncWebsocketConsumer[record]{
		Connect: func(s *record, ctx context.Context, c *consumers.Conn) error {
			c.Go(func(ctx context.Context) error {
				<-ctx.Done()
				<-time.After(50 * time.Millisecond)
				ended.Store(true)
				return nil
			})
			return nil
		},
	}.App())
	app := asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		err := inner.Serve(ctx, scope, receive, send)
		late.Store(!ended.Load())
		return err
	})
	site, _ := site(t, app)
	ws := site.Dial("/")
	ws.Close(1000, "")
	_ = ws.Wait()
	<-time.After(time.Second)
	if late.Load() {
		t.Fatalf("Serve returned while work of the connection went on")
	}
	checkNamed(t, wrap)
}

// checkNamed demands one line about a handler that ignores the end of its ctx.
func checkNamed(t testing.TB, wrap asgi.Middleware) {
	core, logs := observer.New(zapcore.WarnLevel)
	app := wrap(consumers.AsyncWebsocketConsumer[record]{
		Text: func(*record, context.Context, *consumers.Conn, string) error {
			<-time.After(time.Minute)
			return nil
		},
	}.App())
	site, _ := site(t, app)
	ws := site.With(&asgitest.Options{Logger: zap.New(core), Timeout: 2 * time.Minute}).Dial("/")
	ws.SendText("x")
	rest(t.Context(), 10*time.Millisecond)
	ws.Drop()
	rest(t.Context(), 11*time.Second)
	lines := logs.All()
	_ = ws.Wait()
	if len(lines) != 1 {
		t.Fatalf("10 s after the end of its ctx a handler goes on, and the log has %d lines about it, want 1", len(lines))
	}
	if got := lines[0].ContextMap()["handler"]; got != "websocket.receive" {
		t.Fatalf("the line about a handler that goes on names %v, want websocket.receive", got)
	}
}
