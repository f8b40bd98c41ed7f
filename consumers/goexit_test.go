package consumers_test

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/layers"
)

// TestBrokenMiddleware: a panic in middleware between consumer and server, wherever it runs, ends that connection alone, and
// leaves nothing of it in the layer (C5, C7, L10).
func TestBrokenMiddleware(t *testing.T) {
	for _, c := range []struct {
		name    string
		receive bool                  // it panics there
		send    func(asgi.Event) bool // or here
		slow    bool                  // after a handler that took long
	}{
		{"receive", true, nil, false},
		{"receive, after a slow handler", true, nil, true},
		{"flush", false, isFlush, false},
		{"flush, by a slow handler", false, isFlush, true},
		{"send", false, isSend, false},
		{"send, by a slow handler", false, isSend, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var name string
				ended := 0
				app := socket{
					Groups: []string{"room"},
					Connect: func(_ *none, ctx context.Context, conn *consumers.Conn) error {
						if conn.Scope().Path() == "/bad/" {
							name = conn.ChannelName()
						}
						return nil
					},
					Text: func(_ *none, ctx context.Context, conn *consumers.Conn, text string) error {
						if c.slow {
							rest(ctx, 5*time.Millisecond)
						}
						err := conn.SendText(ctx, text)
						if c.slow {
							rest(ctx, 5*time.Millisecond)
						}
						return err
					},
					Messages: []consumers.Handler[none]{consumers.On(noted, func(_ *none, ctx context.Context, conn *consumers.Conn, v note) error {
						return conn.SendText(ctx, v.Text)
					})},
					Disconnect: func(_ *none, ctx context.Context, conn *consumers.Conn, why asgi.DisconnectError) error {
						if conn.Scope().Path() == "/bad/" {
							ended++
						}
						return nil
					},
				}.App()
				site, layer := site(t, panicking(app, c.receive, c.send))
				good, bad := site.Dial("/good/"), site.Dial("/bad/")
				bad.SendText("x")
				if err := layer.GroupSend(t.Context(), "room", noted.With(note{Text: "to all"})); err != nil {
					t.Fatal(err)
				}
				good.ExpectText("to all")
				bad.SendText("x")
				rest(t.Context(), time.Second)
				bad.Drop()
				_ = bad.Wait()
				if ended != 1 {
					t.Errorf("Disconnect ran %d times, want once", ended)
				}
				if err := layer.Send(t.Context(), name, noted.With(note{})); !errors.Is(err, layers.ErrNoChannel) {
					t.Errorf("a send to the channel gives %v, want layers.ErrNoChannel", err)
				}
				good.SendText("still here")
				good.ExpectText("still here")
				good.Disconnect()
			})
		})
	}
}

func isFlush(ev asgi.Event) bool { _, ok := ev.(asgi.WebSocketFlush); return ok }

func isSend(ev asgi.Event) bool { _, ok := ev.(asgi.WebSocketSend); return ok }

// panicking panics in receive after the first message, or at some of what is sent, on connections to /bad/.
func panicking(app asgi.App, inReceive bool, atSend func(asgi.Event) bool) asgi.App {
	return asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		if scope.Path() != "/bad/" {
			return app.Serve(ctx, scope, receive, send)
		}
		messages := 0
		return app.Serve(ctx, scope, func(ctx context.Context) (asgi.Event, error) {
			if inReceive && messages > 0 {
				panic("middleware: receive")
			}
			ev, err := receive(ctx)
			if _, message := ev.(asgi.WebSocketReceive); message {
				messages++
			}
			return ev, err
		}, func(ctx context.Context, ev asgi.Event) error {
			if atSend != nil && atSend(ev) {
				panic("middleware: send")
			}
			return send(ctx, ev)
		})
	})
}

// TestGoexit: a handler that ends its goroutine, as FailNow of a test does, ends its connection like an error.
func TestGoexit(t *testing.T) {
	exit := func(ctx context.Context, slow bool) {
		if slow {
			rest(ctx, 5*time.Millisecond)
		}
		runtime.Goexit()
	}
	for _, slow := range []bool{false, true} {
		for _, where := range []string{"connect", "text", "message", "go", "disconnect"} {
			t.Run(where, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var name string
					served := make(chan struct{})
					app := socket{
						Connect: func(_ *none, ctx context.Context, c *consumers.Conn) error {
							name = c.ChannelName()
							if where == "connect" {
								exit(ctx, slow)
							}
							return nil
						},
						Text: func(_ *none, ctx context.Context, c *consumers.Conn, text string) error {
							switch where {
							case "text":
								exit(ctx, slow)
							case "message":
								return c.SendTo(ctx, c.ChannelName(), noted.With(note{}))
							case "go":
								c.Go(func(ctx context.Context) error { exit(ctx, slow); return nil })
							}
							return nil
						},
						Messages: []consumers.Handler[none]{consumers.On(noted, func(_ *none, ctx context.Context, c *consumers.Conn, v note) error {
							exit(ctx, slow)
							return nil
						})},
						Disconnect: func(_ *none, ctx context.Context, c *consumers.Conn, why asgi.DisconnectError) error {
							if where == "disconnect" {
								exit(ctx, slow)
							}
							return nil
						},
					}.App()
					site, layer := site(t, asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
						defer close(served) // also by Goexit
						return app.Serve(ctx, scope, receive, send)
					}))
					ws := site.Open("/")
					if where != "connect" {
						ws.Receive()
						ws.SendText("x")
						if where == "disconnect" {
							ws.Close(1000, "")
						}
					}
					<-served
					_ = ws.Wait()
					if err := layer.Send(t.Context(), name, noted.With(note{})); !errors.Is(err, layers.ErrNoChannel) {
						t.Errorf("a send to the channel gives %v, want layers.ErrNoChannel", err)
					}
				})
			})
		}
	}
}

// TestGoexitInReceive: middleware that ends the goroutine in receive, before or after the connect event, ends the connection.
func TestGoexitInReceive(t *testing.T) {
	for _, after := range []int{0, 1} {
		synctest.Test(t, func(t *testing.T) {
			var name string
			served := make(chan struct{})
			app := socket{Connect: func(_ *none, ctx context.Context, c *consumers.Conn) error {
				name = c.ChannelName()
				return nil
			}}.App()
			site, layer := site(t, asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
				defer close(served)
				events := 0
				return app.Serve(ctx, scope, func(ctx context.Context) (asgi.Event, error) {
					if events == after {
						runtime.Goexit()
					}
					events++
					return receive(ctx)
				}, send)
			}))
			ws := site.Open("/")
			<-served
			_ = ws.Wait()
			if after > 0 {
				if err := layer.Send(t.Context(), name, noted.With(note{})); !errors.Is(err, layers.ErrNoChannel) {
					t.Errorf("a send to the channel gives %v, want layers.ErrNoChannel", err)
				}
			}
		})
	}
}
