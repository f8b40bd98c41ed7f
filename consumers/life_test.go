package consumers_test

import (
	"context"
	"errors"
	"fmt"
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

// TestHandlerIgnoresItsEnd: C10, a handler that ignores its ctx is named by one line, 10 s after that has ended.
func TestHandlerIgnoresItsEnd(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(*asgitest.WebSocket)
		line time.Duration // when it comes, after the end
	}{
		{"lost", func(ws *asgitest.WebSocket) { ws.Drop() }, 10 * time.Second},
		{"closed", func(ws *asgitest.WebSocket) { ws.Close(1000, "") }, 11 * time.Second},
	} {
		for _, lane := range []string{"client", "layer"} {
			t.Run(c.name+" "+lane, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					core, logs := observer.New(zapcore.WarnLevel)
					site, layer := site(t, socket{
						Groups: []string{"room"},
						Text: func(*none, context.Context, *consumers.Conn, string) error {
							<-time.After(time.Minute)
							return nil
						},
						Messages: []consumers.Handler[none]{consumers.On(noted, func(*none, context.Context, *consumers.Conn, note) error {
							<-time.After(time.Minute)
							return nil
						})},
						Logger: zap.New(core),
					}.App())
					site = site.With(&asgitest.Options{Timeout: 2 * time.Minute})
					ws := site.Dial("/")
					name := "websocket.receive"
					if lane == "client" {
						ws.SendText("x")
					} else {
						name = "test.note"
						if err := layer.GroupSend(t.Context(), "room", noted.With(note{})); err != nil {
							t.Fatal(err)
						}
					}
					rest(t.Context(), time.Second)
					c.end(ws)
					rest(t.Context(), c.line-time.Millisecond)
					if logs.Len() != 0 {
						t.Errorf("C10 broken: a line came before its time: %v", logs.All())
					}
					if err := ws.Wait(); err != nil {
						t.Error(err)
					}
					if logs.Len() != 1 || logs.All()[0].ContextMap()["handler"] != name || !strings.Contains(logs.All()[0].Message, "return when ctx.Done() is closed") {
						t.Errorf("C10 broken: the log has %v, want one line that names %s", logs.All(), name)
					}
				})
			})
		}
	}
}

// TestAnswerToTheEnd: C7, a handler may answer the end of its ctx with what the ctx says, also where that is the cause
// of the server's own; any other error is one.
func TestAnswerToTheEnd(t *testing.T) {
	restart, boom := errors.New("restart"), errors.New("boom")
	for _, c := range []struct {
		name   string
		answer func(ctx context.Context) error
		want   error
	}{
		{"Err", func(ctx context.Context) error { return ctx.Err() }, nil},
		{"cause", func(ctx context.Context) error { return context.Cause(ctx) }, nil},
		{"cause, wrapped", func(ctx context.Context) error { return fmt.Errorf("query: %w", context.Cause(ctx)) }, nil},
		{"the error of a child", func(ctx context.Context) error {
			child, cancel := context.WithTimeout(ctx, time.Hour)
			defer cancel()
			return child.Err()
		}, nil},
		{"another error", func(context.Context) error { return boom }, boom},
		{"the error of another ctx", func(context.Context) error { return context.DeadlineExceeded }, context.DeadlineExceeded},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				app := socket{Text: func(_ *none, ctx context.Context, conn *consumers.Conn, text string) error {
					<-ctx.Done()
					if cause := context.Cause(ctx); cause != restart {
						t.Errorf("ctx ended with cause %v", cause)
					}
					return c.answer(ctx)
				}}.App()
				base, stop := context.WithCancelCause(t.Context())
				w := &wire{make(chan asgi.Event, 100), make(chan asgi.Event, 100), make(chan error, 1)}
				w.in <- asgi.WebSocketConnect{}
				w.in <- asgi.WebSocketReceive{Frame: asgi.TextFrame("x")}
				go func() { w.end <- app.Serve(base, asgi.NewScope(asgi.Fields{Type: asgi.WebSocket}), w.receive, w.send) }()
				synctest.Wait()
				stop(restart)
				if err := <-w.end; !errors.Is(err, c.want) || c.want == nil && err != nil {
					t.Errorf("C7 broken: Serve returned %v, want %v", err, c.want)
				}
			})
		})
	}
}

// TestShutdown: the end of the server is a cause like any other.
func TestShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ends := make(chan asgi.DisconnectError, 1)
		causes := make(chan error, 1)
		site, _ := site(t, socket{
			Connect: func(_ *none, ctx context.Context, c *consumers.Conn) error {
				c.Go(func(ctx context.Context) error {
					<-ctx.Done()
					causes <- context.Cause(ctx)
					return ctx.Err()
				})
				return nil
			},
			Disconnect: func(_ *none, ctx context.Context, c *consumers.Conn, why asgi.DisconnectError) error {
				ends <- why
				return nil
			},
		}.App())
		ws := site.Dial("/")
		site.Shutdown()
		if got := ws.ReceiveClose(); got.Code != 1001 {
			t.Errorf("closed with %v, want 1001", got)
		}
		if err := ws.Wait(); err != nil {
			t.Error(err)
		}
		why := told(t, ends)
		if why.Code != 1001 || why.By != asgi.ByServer {
			t.Errorf("Disconnect was told %v", why)
		}
		if cause := told(t, causes); cause != why {
			t.Errorf("the ctx ended with %v, want %v", cause, why)
		}
	})
}

// TestDisconnectFails: an error or a panic of the hook is told, and the groups are left all the same.
func TestDisconnectFails(t *testing.T) {
	for name, fail := range map[string]func() error{
		"error": func() error { return errors.New("boom") },
		"panic": func() error { panic("boom") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				site, layer := site(t, socket{
					Groups:     []string{"room"},
					Disconnect: func(*none, context.Context, *consumers.Conn, asgi.DisconnectError) error { return fail() },
					Forward:    consumers.Types(noted),
				}.App())
				ws := site.Dial("/")
				ws.Close(1000, "")
				if err := ws.Wait(); err == nil || !strings.Contains(err.Error(), "disconnect") || !strings.Contains(err.Error(), "boom") {
					t.Errorf("Serve returned %v", err)
				}
				if err := layer.GroupSend(t.Context(), "room", noted.With(note{})); err != nil || layer.Stats().Delivered != 0 {
					t.Errorf("the group has a member: %v", err)
				}
			})
		})
	}
}

// TestDisconnectHasItsTime: C5, the hook's ctx ends after 10 s, and what it sends to groups still arrives.
func TestDisconnectHasItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var took time.Duration
		site, _ := site(t, socket{
			Groups: []string{"room"},
			Disconnect: func(_ *none, ctx context.Context, c *consumers.Conn, why asgi.DisconnectError) error {
				begun := time.Now()
				if err := c.GroupSend(ctx, "room", noted.With(note{Text: "left"})); err != nil {
					return err
				}
				<-ctx.Done()
				took = time.Since(begun)
				return nil
			},
			Forward: consumers.Types(noted),
		}.App())
		site = site.With(&asgitest.Options{Timeout: time.Minute})
		stays, goes := site.Dial("/"), site.Dial("/")
		goes.Drop()
		if err := goes.Wait(); err != nil {
			t.Error(err)
		}
		if took != 10*time.Second {
			t.Errorf("C5 broken: the ctx of Disconnect ended after %v, want 10 s", took)
		}
		stays.ExpectJSON(note{Text: "left"})
		stays.Disconnect()
	})
}

// TestLayerCloses: connections outlive their layer, and their sends say what has happened.
func TestLayerCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var closed atomic.Bool
		site, layer := site(t, socket{
			Groups: []string{"room"},
			Text: func(_ *none, ctx context.Context, c *consumers.Conn, text string) error {
				closed.Store(errors.Is(c.GroupSend(ctx, "room", noted.With(note{})), layers.ErrClosed))
				return c.SendText(ctx, "still here")
			},
		}.App())
		ws := site.Dial("/")
		if err := layer.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		ws.SendText("?")
		ws.ExpectText("still here")
		if !closed.Load() {
			t.Error("a send through a closed layer is not ErrClosed")
		}
		ws.Close(1000, "")
		if err := ws.Wait(); err != nil {
			t.Errorf("a connection that outlived its layer ended with %v", err)
		}
		r := site.Open("/")
		if err := r.Wait(); !errors.Is(err, layers.ErrClosed) {
			t.Errorf("a connection to a site whose layer is closed ended with %v", err)
		}
	})
}
