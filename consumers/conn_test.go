package consumers_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/testing/asgitest"
)

// TestWhenIsItWritten: what a handler sends is written in one piece when it returns and nothing more waits, or after a
// millisecond.
func TestWhenIsItWritten(t *testing.T) {
	const (
		short = 300 * time.Microsecond
		long  = 20 * time.Millisecond
	)
	for _, c := range []struct {
		name   string
		events int
		text   func(ctx context.Context, c *consumers.Conn) error
		after  time.Duration // when the client has the first message, at the latest
		before time.Duration // and at the earliest
	}{
		{"when the handler returns", 1, func(ctx context.Context, c *consumers.Conn) error {
			defer rest(ctx, short)
			return c.SendText(ctx, "x")
		}, short, short},
		{"after a millisecond", 1, func(ctx context.Context, c *consumers.Conn) error {
			defer rest(ctx, long)
			return c.SendText(ctx, "x")
		}, handlerTime, handlerTime / 2},
		{"at once, when the handler has had its millisecond", 1, func(ctx context.Context, c *consumers.Conn) error {
			rest(ctx, 5*time.Millisecond)
			defer rest(ctx, long)
			return c.SendText(ctx, "x")
		}, 5 * time.Millisecond, 5 * time.Millisecond},
		{"after a millisecond, though the next handlers run", 20, func(ctx context.Context, c *consumers.Conn) error {
			defer rest(ctx, short)
			return c.SendText(ctx, "x")
		}, handlerTime + 2*short, 0},
		{"at once, by Go", 1, func(ctx context.Context, c *consumers.Conn) error {
			c.Go(func(ctx context.Context) error {
				rest(ctx, long)
				defer rest(ctx, long)
				return c.SendText(ctx, "x")
			})
			return nil
		}, long, long},
		{"at once, by Go while a handler runs", 1, func(ctx context.Context, c *consumers.Conn) error {
			c.Go(func(ctx context.Context) error { return c.SendText(ctx, "x") })
			rest(ctx, long)
			return nil
		}, handlerTime, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				site, _ := site(t, socket{Text: func(_ *none, ctx context.Context, conn *consumers.Conn, text string) error {
					return c.text(ctx, conn)
				}}.App())
				ws := site.Dial("/")
				for range c.events {
					ws.SendText("x")
				}
				begun := time.Now()
				ws.ExpectText("x")
				if d := time.Since(begun); d < c.before || d > c.after {
					t.Errorf("the client had the message after %v, want %v to %v", d, c.before, c.after)
				}
				rest(t.Context(), time.Second)
				ws.Drop()
				_ = ws.Wait()
			})
		})
	}
}

// TestAfterTheEnd: every method of Conn and SyncConn after the connection has ended.
func TestAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conns := make(chan *consumers.Conn, 1)
		syncConns := make(chan *consumers.SyncConn, 1)
		site1, layer := site(t, socket{Connect: func(_ *none, ctx context.Context, c *consumers.Conn) error { conns <- c; return nil }}.App())
		site2, _ := site(t, syncSocket{Connect: func(_ *none, c *consumers.SyncConn) error { syncConns <- c; return nil }}.App())
		site1.Dial("/").Disconnect()
		site2.Dial("/").Disconnect()
		ctx, c, s := t.Context(), <-conns, <-syncConns
		frame := asgi.TextFrame("x")
		for name, err := range map[string]error{
			"Accept":           c.Accept(ctx, asgi.WebSocketAccept{}),
			"SendText":         c.SendText(ctx, "x"),
			"SendBinary":       c.SendBinary(ctx, nil),
			"SendJSON":         c.SendJSON(ctx, 1),
			"SendFrame":        c.SendFrame(ctx, frame),
			"SendEvent":        c.SendEvent(ctx, asgi.WebSocketSend{Frame: frame}),
			"SendEvent, close": c.SendEvent(ctx, asgi.WebSocketClose{}),
			"Close":            c.Close(ctx, 4000, ""),
			"StartResponse":    c.StartResponse(ctx, 200, nil),
			"SendBody":         c.SendBody(ctx, nil, false),
			"Respond":          c.Respond(ctx, 200, nil, nil),
			"GroupAdd":         c.GroupAdd(ctx, "room"),
			"sync Accept":      s.Accept(asgi.WebSocketAccept{}),
			"sync SendText":    s.SendText("x"),
			"sync SendBinary":  s.SendBinary(nil),
			"sync SendJSON":    s.SendJSON(1),
			"sync SendFrame":   s.SendFrame(frame),
			"sync Close":       s.Close(4000, ""),
			"sync GroupAdd":    s.GroupAdd("room"),
		} {
			if !errors.Is(err, asgi.ErrClosed) {
				t.Errorf("%s after the end gave %v, want what matches asgi.ErrClosed", name, err)
			}
		}
		for name, err := range map[string]error{ // nothing of the connection's own
			"GroupDiscard": c.GroupDiscard(ctx, "room"),
			"GroupSend":    c.GroupSend(ctx, "room", noted.With(note{})),
		} {
			if err != nil {
				t.Errorf("%s after the end gave %v", name, err)
			}
		}
		if err := c.SendTo(ctx, c.ChannelName(), noted.With(note{})); !errors.Is(err, layers.ErrNoChannel) {
			t.Errorf("SendTo its own channel after the end gave %v, want ErrNoChannel", err)
		}
		c.Go(func(context.Context) error { t.Error("Go has begun something after the end"); return nil })
		s.Go(func(context.Context) error { t.Error("Go has begun something after the end"); return nil })
		if c.Scope().Path() != "/" || c.ChannelLayer() != layer || c.ChannelName() == "" {
			t.Error("what a Conn is changes at its end")
		}
	})
}

// TestAnyGoroutine: C1, all methods of Conn are safe from any goroutine, while handlers run and while the connection
// ends.
func TestAnyGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const each = 20
		site, layer := site(t, socket{
			Groups: []string{"room"},
			Connect: func(_ *none, ctx context.Context, c *consumers.Conn) error {
				if err := c.Accept(ctx, asgi.WebSocketAccept{}); err != nil {
					return err
				}
				for _, method := range []func(ctx context.Context) error{
					func(ctx context.Context) error { return c.SendText(ctx, c.Scope().Path()) },
					func(ctx context.Context) error { return c.SendBinary(ctx, []byte("x")) },
					func(ctx context.Context) error { return c.SendJSON(ctx, 1) },
					func(ctx context.Context) error { return c.SendEvent(ctx, asgi.WebSocketFlush{}) },
					func(ctx context.Context) error { return c.GroupAdd(ctx, "other") },
					func(ctx context.Context) error { return c.GroupDiscard(ctx, "other") },
					func(ctx context.Context) error {
						return ignoreFull(c.SendTo(ctx, c.ChannelName(), ticked.With(note{})))
					},
					func(ctx context.Context) error { return c.GroupSend(ctx, "room", noted.With(note{})) },
					func(ctx context.Context) error { c.Go(func(context.Context) error { return nil }); return nil },
				} {
					c.Go(func(ctx context.Context) error {
						for range each {
							if err := method(ctx); err != nil {
								return err
							}
							rest(ctx, 100*time.Microsecond)
						}
						return nil
					})
				}
				return nil
			},
			Text: func(_ *none, ctx context.Context, c *consumers.Conn, text string) error {
				rest(ctx, 2*time.Millisecond)
				return nil
			},
			Messages: []consumers.Handler[none]{consumers.On(ticked, func(_ *none, ctx context.Context, c *consumers.Conn, v note) error {
				return c.SendText(ctx, "tick")
			})},
			Forward: consumers.Types(noted),
		}.App())
		for i, end := range []func(*asgitest.WebSocket){
			func(ws *asgitest.WebSocket) { rest(t.Context(), time.Second); ws.Close(1000, "") },
			func(ws *asgitest.WebSocket) { ws.Drop() },
			func(ws *asgitest.WebSocket) { ws.Close(1000, "") },
		} {
			ws := site.Open("/")
			if ev, ok := ws.Receive().(asgi.WebSocketAccept); !ok {
				t.Fatalf("got %v instead of the accept", ev)
			}
			ws.SendText("slow")
			end(ws)
			if err := ws.Wait(); err != nil {
				t.Errorf("end %d: %v", i, err)
			}
		}
		if s := layer.Stats(); s.GroupSent < each {
			t.Errorf("%d group sends", s.GroupSent)
		}
	})
}

// ignoreFull makes nothing of a channel that is full.
func ignoreFull(err error) error {
	if errors.Is(err, layers.ErrChannelFull) {
		return nil
	}
	return err
}

// TestNothingAfterAFailure: when one handler has failed, no other is called, in whichever lane its event waits.
func TestNothingAfterAFailure(t *testing.T) {
	for _, takes := range []time.Duration{500 * time.Microsecond, 5 * time.Millisecond} { // with one goroutine and with two
		for _, lane := range []string{"layer", "client"} {
			t.Run(fmt.Sprint(lane, " ", takes), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					boom := errors.New("boom")
					var calls atomic.Int32
					fail := func(ctx context.Context) error {
						if calls.Add(1) > 1 {
							return nil
						}
						rest(ctx, takes)
						return boom
					}
					site, layer := site(t, socket{
						Groups: []string{"room"},
						Text:   func(_ *none, ctx context.Context, c *consumers.Conn, text string) error { return fail(ctx) },
						Messages: []consumers.Handler[none]{consumers.On(noted, func(_ *none, ctx context.Context, c *consumers.Conn, v note) error {
							return fail(ctx)
						})},
					}.App())
					ws := site.Dial("/")
					if lane == "client" {
						ws.SendText("x")
						synctest.Wait()
					}
					for range 3 {
						if err := layer.GroupSend(t.Context(), "room", noted.With(note{})); err != nil {
							t.Fatal(err)
						}
						synctest.Wait()
						ws.SendText("x")
					}
					ws.ExpectClose(1011, "")
					if err := ws.Wait(); !errors.Is(err, boom) {
						t.Errorf("Serve returned %v", err)
					}
					if n := calls.Load(); n != 1 {
						t.Errorf("%d handlers were called, want only the one that failed", n)
					}
				})
			})
		}
	}
}

// TestNothingAfterARefusal: a connection that Connect has refused handles no layer messages.
func TestNothingAfterARefusal(t *testing.T) {
	for name, refuse := range map[string]func(context.Context, *consumers.Conn) error{
		"close": func(ctx context.Context, c *consumers.Conn) error { return c.Close(ctx, 4000, "") },
		"deny":  func(ctx context.Context, c *consumers.Conn) error { return asgi.Deny{} },
		"error": func(ctx context.Context, c *consumers.Conn) error { return errors.New("boom") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var handled atomic.Int32
				site, _ := site(t, socket{
					Groups: []string{"room"},
					Connect: func(_ *none, ctx context.Context, c *consumers.Conn) error {
						if err := c.GroupSend(ctx, "room", noted.With(note{})); err != nil {
							return err
						}
						return refuse(ctx, c)
					},
					Messages: []consumers.Handler[none]{consumers.On(noted, func(_ *none, ctx context.Context, c *consumers.Conn, v note) error {
						handled.Add(1)
						return nil
					})},
				}.App())
				ws := site.Open("/")
				_ = ws.Wait()
				if handled.Load() != 0 {
					t.Error("a handler ran for a connection that was refused")
				}
			})
		})
	}
}

// TestGo: what work of Go does to its connection.
func TestGo(t *testing.T) {
	for _, c := range []struct {
		name string
		work func(ctx context.Context) error
		code int
		text string // of Serve's error
	}{
		{"an error", func(context.Context) error { return errors.New("boom") }, 1011, "boom"},
		{"a panic", func(context.Context) error { panic("boom") }, 1011, "boom"},
		{"a close code", func(context.Context) error { return asgi.CloseError{Code: 4000, Reason: "so"} }, 4000, ""},
		{"ErrStop", func(context.Context) error { return consumers.ErrStop }, 1000, ""},
		{"nothing", func(context.Context) error { return nil }, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var cause error
				site, _ := site(t, socket{
					Connect: func(_ *none, ctx context.Context, conn *consumers.Conn) error {
						conn.Go(func(ctx context.Context) error {
							rest(ctx, time.Second)
							return c.work(ctx)
						})
						conn.Go(func(ctx context.Context) error {
							<-ctx.Done()
							cause = context.Cause(ctx)
							return ctx.Err()
						})
						return nil
					},
				}.App())
				ws := site.Dial("/")
				rest(t.Context(), 2*time.Second)
				if c.code == 0 {
					ws.Close(1000, "")
				} else if got := ws.ReceiveClose(); got.Code != c.code {
					t.Errorf("closed with %v, want %d", got, c.code)
				}
				err := ws.Wait()
				if c.text == "" && err != nil || c.text != "" && (err == nil || !strings.Contains(err.Error(), c.text)) {
					t.Errorf("Serve returned %v, want %q", err, c.text)
				}
				var why asgi.DisconnectError
				if want := max(c.code, 1000); !errors.As(cause, &why) || why.Code != want {
					t.Errorf("the ctx of other work ended with %v, want code %d", cause, want)
				}
			})
		})
	}
}

// TestBroadcastWhileItEnds: connections that end in every way while they are sent to lose nothing but themselves.
func TestBroadcastWhileItEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site, layer := site(t, socket{
			Groups:  []string{"room"},
			Forward: consumers.Types(noted),
			Text: func(_ *none, ctx context.Context, c *consumers.Conn, text string) error {
				switch text {
				case "stop":
					return consumers.ErrStop
				case "close":
					return c.Close(ctx, 4000, "")
				}
				return nil
			},
		}.App())
		stays := site.Dial("/")
		var all sync.WaitGroup
		for i := range 60 {
			ws := site.Dial("/")
			all.Go(func() {
				rest(t.Context(), time.Duration(i)*100*time.Microsecond)
				switch i % 4 {
				case 0:
					ws.Drop()
				case 1:
					ws.Close(1000, "")
				case 2:
					ws.SendText("stop")
				case 3:
					ws.SendText("close")
				}
				if err := ws.Wait(); err != nil {
					t.Error(err)
				}
			})
		}
		const n = 90
		for i := range n {
			if err := layer.GroupSend(t.Context(), "room", noted.With(note{N: i})); err != nil {
				t.Fatal(err)
			}
			rest(t.Context(), 50*time.Microsecond)
		}
		all.Wait()
		for i := range n {
			stays.ExpectJSON(note{N: i})
		}
		stays.Disconnect()
	})
}
