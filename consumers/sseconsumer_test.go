package consumers_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/testing/asgitest"
)

// toRoom sends one note to the group of these tests.
func toRoom(t testing.TB, layer *layers.Layer, m layers.Message) {
	t.Helper()
	if err := layer.GroupSend(t.Context(), "room", m); err != nil {
		t.Fatal(err)
	}
}

// TestSSEForward: one group and one Forward feed WebSockets and streams, and each event is made once for all streams.
func TestSSEForward(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var renders atomic.Int32
		forward := append(consumers.Types(ticked), consumers.RenderSSE(noted, func(v note) (consumers.SSE, error) {
			renders.Add(1)
			return consumers.SSE{ID: strconv.Itoa(v.N), Event: "note", Data: v.Text}, nil
		}))
		site, layer := site(t, byPath(
			socket{Groups: []string{"room"}, Forward: forward}.App(),
			stream{Groups: []string{"room"}, Forward: forward, Retry: 2 * time.Second}.App(),
		))
		ws := site.Dial("/")
		var streams []*asgitest.EventSource
		for range 3 {
			streams = append(streams, site.EventSource("/"))
		}
		synctest.Wait()
		toRoom(t, layer, noted.With(note{Text: "two\nlines", N: 7}))
		toRoom(t, layer, ticked.With(note{Text: "plain"}))
		ws.ExpectText("two\nlines")
		ws.ExpectText(`{"text":"plain","n":0}`)
		for _, es := range streams {
			if got, want := es.Event(), (consumers.SSE{ID: "7", Event: "note", Data: "two\nlines"}); got != want {
				t.Errorf("the event is %#v, want %#v", got, want)
			}
			if got, want := es.Event(), (consumers.SSE{ID: "7", Data: `{"text":"plain","n":0}`}); got != want {
				t.Errorf("the event is %#v, want %#v", got, want)
			}
			if es.Retry() != 2*time.Second {
				t.Errorf("the client is to come back after %v, want 2s", es.Retry())
			}
			for name, want := range map[string]string{"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"} {
				if got := es.Header().Get(name); got != want {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}
			es.Close()
		}
		if n := renders.Load(); n != 2 {
			t.Errorf("the message was rendered %d times, want once for each table", n)
		}
		ws.Disconnect()
	})
}

// byPath chooses by the type of the scope.
func byPath(websocket, http asgi.App) asgi.App {
	return asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		if scope.Type() == asgi.WebSocket {
			return websocket.Serve(ctx, scope, receive, send)
		}
		return http.Serve(ctx, scope, receive, send)
	})
}

// TestSSESameHandlers: one Connect and one handler serve both kinds of connection.
func TestSSESameHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		connect := func(_ *none, ctx context.Context, c *consumers.Conn) error {
			err := c.Accept(ctx, asgi.WebSocketAccept{Header: http.Header{"X-Room": {"1"}}})
			return errors.Join(err, c.GroupAdd(ctx, "room"), c.SendText(ctx, ""), c.SendSSE(ctx, consumers.SSE{ID: "1", Data: "event"}))
		}
		messages := []consumers.Handler[none]{consumers.On(noted, func(_ *none, ctx context.Context, c *consumers.Conn, v note) error {
			if v.N > 0 {
				return c.Close(ctx, 4000, "enough")
			}
			return c.SendJSON(ctx, v.Text)
		})}
		site, layer := site(t, byPath(socket{Connect: connect, Messages: messages}.App(), stream{Connect: connect, Messages: messages}.App()))
		ws, es := site.Dial("/"), site.EventSource("/")
		ws.ExpectText("")
		es.ExpectData("")
		ws.ExpectText("event")
		es.ExpectData("event")
		if es.Header().Get("X-Room") != "1" {
			t.Error("the header of Accept is missing")
		}
		for i, text := range []string{"hello", "end"} {
			toRoom(t, layer, noted.With(note{Text: text, N: i}))
		}
		ws.ExpectText(`"hello"`)
		ws.ExpectClose(4000, "enough")
		es.ExpectData(`"hello"`)
		es.ExpectEnd()
		if err := es.Wait(); err != nil {
			t.Error(err)
		}
	})
}

// TestSSEHeartbeat: a comment goes out when nothing else has for a while, also while a handler runs.
func TestSSEHeartbeat(t *testing.T) {
	for _, c := range []struct {
		name      string
		heartbeat time.Duration
		comments  int // after 31 s, with an event after 20 s
	}{
		{"default", 0, 1},             // at 15 s; the event puts the next one off to 35 s
		{"own", 9 * time.Second, 3},   // 9, 18, 29
		{"none", -1, 0},               //
		{"rare", 12 * time.Second, 1}, // 12, 32
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				site, layer := site(t, stream{
					Groups: []string{"room"}, Heartbeat: c.heartbeat, Forward: consumers.Types(ticked),
					Messages: []consumers.Handler[none]{consumers.On(noted, func(_ *none, ctx context.Context, c *consumers.Conn, v note) error {
						rest(ctx, time.Hour) // a busy handler is no reason for silence
						return nil
					})},
				}.App())
				es := site.EventSource("/")
				rest(t.Context(), 20*time.Second)
				toRoom(t, layer, ticked.With(note{Text: "x"}))
				toRoom(t, layer, noted.With(note{}))
				rest(t.Context(), 11*time.Second)
				readSSE(es)
				if got := es.Comments(); got != c.comments {
					t.Errorf("after 31 s %d comments have come, want %d", got, c.comments)
				}
				es.Close()
				if err := es.Wait(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestSSEResume: what came since the last id is sent from Connect; what comes meanwhile waits behind it.
func TestSSEResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site, layer := site(t, stream{
			Groups: []string{"room"},
			Connect: func(_ *none, ctx context.Context, c *consumers.Conn) error {
				last, err := strconv.Atoi(c.LastEventID())
				if err != nil {
					return nil // the first time
				}
				toRoom(t, c.ChannelLayer(), noted.With(note{Text: "five", N: 5}))
				return errors.Join(
					c.SendSSE(ctx, consumers.SSE{ID: strconv.Itoa(last + 1), Data: "missed"}),
					c.SendSSE(ctx, consumers.SSE{ID: strconv.Itoa(last + 2), Data: "missed too"}))
			},
			Forward: []consumers.Forwarder{consumers.RenderSSE(noted, func(v note) (consumers.SSE, error) {
				return consumers.SSE{ID: strconv.Itoa(v.N), Data: v.Text}, nil
			})},
		}.App())
		es := site.EventSource("/")
		synctest.Wait()
		toRoom(t, layer, noted.With(note{Text: "two", N: 2}))
		es.ExpectData("two")
		es = es.Reconnect()
		es.ExpectData("missed")
		es.ExpectData("missed too")
		es.ExpectData("five")
		es.Close()
	})
}

// TestSSELeaves: Case 122. The client's leaving ends the ctx of a handler at once; the group is left; Disconnect runs once.
func TestSSELeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ends, causes := make(chan asgi.DisconnectError, 2), make(chan error, 2)
		site, layer := site(t, stream{
			Groups: []string{"room"},
			Messages: []consumers.Handler[none]{consumers.On(noted, func(_ *none, ctx context.Context, c *consumers.Conn, v note) error {
				<-ctx.Done()
				causes <- context.Cause(ctx)
				return ctx.Err()
			})},
			Disconnect: func(_ *none, ctx context.Context, c *consumers.Conn, why asgi.DisconnectError) error {
				ends <- why
				return ctx.Err()
			},
		}.App())
		es := site.EventSource("/")
		synctest.Wait()
		toRoom(t, layer, noted.With(note{}))
		synctest.Wait()
		left := time.Now()
		es.Close()
		if err := es.Wait(); err != nil {
			t.Error(err)
		}
		want := asgi.DisconnectError{By: asgi.ByClient}
		if cause := told(t, causes); cause != want || time.Since(left) != 0 {
			t.Errorf("case 122: the handler's ctx ended after %v with %v", time.Since(left), cause)
		}
		if why := told(t, ends); why != want || len(ends) > 0 {
			t.Errorf("case 122: Disconnect was told %v, and %d times more", why, len(ends))
		}
		before := layer.Stats()
		toRoom(t, layer, noted.With(note{}))
		if after := layer.Stats(); after.Delivered != before.Delivered {
			t.Error("case 122: the group was not left")
		}
	})
}

// TestSSERefuses: how Connect refuses, and what the browser hears; Disconnect does not run.
func TestSSERefuses(t *testing.T) {
	for _, c := range []struct {
		name, method string
		err          error
		status       int
		fails        bool
	}{
		{"Deny", "GET", asgi.Deny{Status: 401}, 401, false},
		{"ErrStop: do not come back", "GET", consumers.ErrStop, 204, false},
		{"CloseError", "GET", asgi.CloseError{Code: 4401}, 403, false},
		{"error", "GET", errors.New("boom"), 500, true},
		{"POST", "POST", nil, 405, false},
		{"HEAD", "HEAD", nil, 200, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var ends atomic.Int32
				site, _ := site(t, stream{
					Connect:    func(*none, context.Context, *consumers.Conn) error { return c.err },
					Disconnect: func(*none, context.Context, *consumers.Conn, asgi.DisconnectError) error { ends.Add(1); return nil },
				}.App())
				x := site.Stream(c.method, "/")
				status, header := x.Start()
				if status != c.status || status == 405 && header.Get("Allow") != "GET, HEAD" {
					t.Errorf("got %d %v, want %d", status, header, c.status)
				}
				if err := x.Wait(); (err != nil) != c.fails {
					t.Errorf("Serve returned %v", err)
				}
				if begun := c.method == "HEAD"; ends.Load() != 0 != begun {
					t.Errorf("Disconnect ran %d times", ends.Load())
				}
			})
		})
	}
}

// TestSSEEnds: a stream whose end is meant is completed; one whose handler fails is cut.
func TestSSEEnds(t *testing.T) {
	boom := errors.New("boom")
	for _, c := range []struct {
		name     string
		err      error
		complete bool
		fails    bool
	}{
		{"ErrStop", consumers.ErrStop, true, false},
		{"CloseError", asgi.CloseError{Code: 4000}, true, false},
		{"CloseError with a story", fmt.Errorf("why: %w", asgi.CloseError{Code: 4000}), true, true},
		{"error", boom, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				site, layer := site(t, stream{
					Groups: []string{"room"},
					Messages: []consumers.Handler[none]{consumers.On(noted, func(_ *none, ctx context.Context, conn *consumers.Conn, v note) error {
						if err := conn.SendText(ctx, "last"); err != nil {
							return err
						}
						return c.err
					})},
				}.App())
				es := site.EventSource("/")
				synctest.Wait()
				toRoom(t, layer, noted.With(note{}))
				es.ExpectData("last")
				if c.complete {
					es.ExpectEnd()
				} else if _, err := es.Next(t.Context()); err == nil || errors.Is(err, asgi.ErrClosed) {
					t.Errorf("got %v, want an error about the cut", err)
				}
				if err := es.Wait(); (err != nil) != c.fails {
					t.Errorf("Serve returned %v", err)
				}
			})
		})
	}
}

// TestSSEMistakes: what cannot be meant panics at start.
func TestSSEMistakes(t *testing.T) {
	for want, make := range map[string]func() asgi.App{
		"Retry is":                stream{Retry: 10}.App,
		"Heartbeat is":            stream{Heartbeat: 10}.App,
		"ConnectTimeout is":       stream{ConnectTimeout: 5}.App,
		"Groups":                  stream{Groups: []string{"no room"}}.App,
		"listed twice":            stream{Forward: append(consumers.Types(noted), consumers.Types(noted)...)}.App,
		"Handle and Stream":       request{Handle: noHandle, Stream: noStream}.App,
		"RenderSSE: the function": func() asgi.App { consumers.RenderSSE[note](noted, nil); return nil },
	} {
		t.Run(want, func(t *testing.T) {
			defer func() {
				if text := fmt.Sprint(recover()); !strings.Contains(text, want) {
					t.Errorf("App panicked with %s", text)
				}
			}()
			make()
		})
	}
}

// TestSyncSSE: the same for blocking handlers.
func TestSyncSSE(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ends atomic.Int32
		site, layer := site(t, consumers.SyncSSEConsumer[none]{
			Groups: []string{"room"},
			Limit:  consumers.NewLimit(1),
			Connect: func(_ *none, c *consumers.SyncConn) error {
				if c.Scope().Path() == "/no" {
					return asgi.Deny{}
				}
				return errors.Join(c.StartSSE(nil), c.SendSSE(consumers.SSE{ID: "1", Data: "after " + c.LastEventID()}))
			},
			Messages: []consumers.Handler[none]{consumers.OnSync(noted, func(_ *none, c *consumers.SyncConn, v note) error {
				return c.SendText(v.Text)
			})},
			Disconnect: func(*none, *consumers.SyncConn, asgi.DisconnectError) error { ends.Add(1); return nil },
		}.App())
		if x := site.Request("GET", "/no"); x.Status != 403 {
			t.Errorf("got %d", x.Status)
		}
		es := site.EventSource("/")
		es.ExpectData("after ")
		es = es.Reconnect()
		es.ExpectData("after 1")
		toRoom(t, layer, noted.With(note{Text: "hello"}))
		es.ExpectData("hello")
		es.Close()
		if err := es.Wait(); err != nil || ends.Load() != 2 {
			t.Errorf("Serve returned %v; Disconnect ran %d times, want 2", err, ends.Load())
		}
	})
}
