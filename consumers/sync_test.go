package consumers_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/testing/asgitest"
)

// syncSocket is the blocking table that most tests here fill in.
type syncSocket = consumers.SyncWebsocketConsumer[none]

// TestSyncWebsocket runs every hook and every method of a blocking consumer of WebSockets.
func TestSyncWebsocket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ends := make(chan asgi.DisconnectError, 1)
		worked := make(chan bool, 1)
		site, layer := site(t, syncSocket{
			Groups: []string{"room"},
			Connect: func(_ *none, c *consumers.SyncConn) error {
				return errors.Join(c.GroupAdd("second"), c.GroupAdd("third"), c.GroupDiscard("third"),
					c.Accept(asgi.WebSocketAccept{Header: http.Header{"X-Path": {c.Scope().Path()}}}),
					c.SendText(c.ChannelName()))
			},
			Text: func(_ *none, c *consumers.SyncConn, text string) error {
				switch text {
				case "send":
					return errors.Join(c.SendText("text"), c.SendBinary([]byte("binary")), c.SendJSON(note{N: 1}),
						c.SendFrame(asgi.TextFrame("frame")), c.SendEvent(asgi.WebSocketSend{Frame: asgi.TextFrame("event")}))
				case "layer":
					return errors.Join(c.SendTo(c.ChannelName(), noted.With(note{Text: "to"})),
						c.GroupSend("second", ticked.With(note{Text: "group"})),
						c.ChannelLayer().GroupSend(t.Context(), "third", ticked.With(note{Text: "not a member"})))
				case "go":
					c.Go(func(ctx context.Context) error { worked <- ctx.Err() == nil; return nil })
					return nil
				}
				return c.Close(4000, text)
			},
			Binary: func(_ *none, c *consumers.SyncConn, data []byte) error { return c.SendBinary(append(data, '!')) },
			Disconnect: func(_ *none, c *consumers.SyncConn, why asgi.DisconnectError) error {
				ends <- why
				return nil
			},
			Messages: []consumers.Handler[none]{consumers.OnSync(noted, func(_ *none, c *consumers.SyncConn, v note) error {
				return c.SendText("handled " + v.Text)
			})},
			Forward: consumers.Types(ticked),
		}.App())
		ws := site.Dial("/path")
		if ws.Header().Get("X-Path") != "/path" {
			t.Errorf("accepted with %v", ws.Header())
		}
		name := ws.ReceiveText()
		ws.SendText("send")
		ws.ExpectText("text")
		ws.ExpectBinary([]byte("binary"))
		ws.ExpectJSON(note{N: 1})
		ws.ExpectText("frame")
		ws.ExpectText("event")
		ws.SendText("layer")
		ws.ExpectText("handled to")
		ws.ExpectJSON(note{Text: "group"})
		ws.SendBinary([]byte("b"))
		ws.ExpectBinary([]byte("b!"))
		if err := layer.Send(t.Context(), name, ticked.With(note{Text: "outside"})); err != nil {
			t.Fatal(err)
		}
		ws.ExpectJSON(note{Text: "outside"})
		ws.SendText("go")
		if !told(t, worked) {
			t.Error("Go was given a ctx that has ended")
		}
		ws.SendText("bye")
		ws.ExpectClose(4000, "bye")
		if err := ws.Wait(); err != nil {
			t.Error(err)
		}
		if why := told(t, ends); why != (asgi.DisconnectError{Code: 4000, Reason: "bye", By: asgi.ByApp}) {
			t.Errorf("Disconnect was told %v", why)
		}
	})
}

// TestSyncFrame: Frame takes what has no handler of its own.
func TestSyncFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site, _ := site(t, syncSocket{Frame: func(_ *none, c *consumers.SyncConn, f asgi.Frame) error { return c.SendFrame(f) }}.App())
		ws := site.Dial("/")
		ws.SendText("a")
		ws.SendBinary([]byte("b"))
		ws.ExpectText("a")
		ws.ExpectBinary([]byte("b"))
		ws.Disconnect()
	})
}

// TestSyncJSON: Case 113 and Case 114 for blocking handlers.
func TestSyncJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site, _ := site(t, syncSocket{Text: consumers.SyncJSON(func(_ *none, c *consumers.SyncConn, v note) error { return c.SendJSON(v) })}.App())
		ws := site.Dial("/")
		ws.SendJSON(note{Text: "x", N: 1})
		ws.ExpectJSON(note{Text: "x", N: 1})
		ws.SendText("{")
		ws.ExpectClose(1007, "invalid JSON")
		_ = ws.Wait()
	})
}

// TestSyncHTTP: a blocking consumer of requests.
func TestSyncHTTP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ends atomic.Int32
		site, layer := site(t, consumers.SyncHTTPConsumer[none]{
			MaxBody: 4,
			Handle: func(_ *none, c *consumers.SyncConn, body []byte) error {
				switch c.Scope().Path() {
				case "/whole":
					return c.Respond(200, nil, body)
				case "/parts":
					return errors.Join(c.StartResponse(200, nil), c.SendBody([]byte("a"), true), c.SendBody([]byte("b"), false))
				}
				return errors.Join(c.GroupAdd("room"), c.StartResponse(200, nil), c.SendBody([]byte("wait "), true))
			},
			Disconnect: func(_ *none, c *consumers.SyncConn, why asgi.DisconnectError) error { ends.Add(1); return nil },
			Messages: []consumers.Handler[none]{consumers.OnSync(noted, func(_ *none, c *consumers.SyncConn, v note) error {
				return c.SendBody([]byte(v.Text), false)
			})},
		}.App())
		if r := site.Request("POST", "/whole", "body"); string(r.Body) != "body" {
			t.Errorf("got %q", r.Body)
		}
		if r := site.Request("POST", "/whole", "bodyy"); r.Status != 413 {
			t.Errorf("got %d, want 413", r.Status)
		}
		if r := site.Request("GET", "/parts"); string(r.Body) != "ab" || len(r.Chunks) != 2 {
			t.Errorf("got %q", r.Chunks)
		}
		x := site.Stream("GET", "/later")
		x.Start()
		if err := layer.GroupSend(t.Context(), "room", noted.With(note{Text: "done"})); err != nil {
			t.Fatal(err)
		}
		if r := x.Response(); string(r.Body) != "wait done" {
			t.Errorf("got %q", r.Body)
		}
		if err := x.Wait(); err != nil {
			t.Error(err)
		}
		synctest.Wait() // a response is whole before its app has ended
		if ends.Load() != 3 {
			t.Errorf("Disconnect ran %d times, want 3: the request that was refused by its header had no consumer", ends.Load())
		}
	})
}

// TestSyncEvents: SyncConsumer gets the events of any protocol, the last one included, whatever the limit.
func TestSyncEvents(t *testing.T) {
	for range 20 { // a choice between a free slot and an ended ctx would show now and then
		synctest.Test(t, func(t *testing.T) {
			events := make(chan string, 10)
			site, _ := site(t, consumers.SyncConsumer[none]{
				Limit: consumers.NewLimit(1),
				Event: func(_ *none, c *consumers.SyncConn, ev asgi.Event) error {
					events <- ev.EventType()
					switch ev.(type) {
					case asgi.WebSocketConnect:
						return c.SendEvent(asgi.WebSocketAccept{})
					case asgi.WebSocketReceive:
						<-time.After(time.Second) // two goroutines from here on
					}
					return nil
				},
			}.App())
			ws := site.Dial("/")
			ws.SendText("x")
			rest(t.Context(), 10*time.Millisecond)
			ws.Drop()
			_ = ws.Wait()
			close(events)
			var got []string
			for name := range events {
				got = append(got, name)
			}
			if s := strings.Join(got, " "); s != "websocket.connect websocket.receive websocket.disconnect" {
				t.Fatalf("the events were %s", s)
			}
		})
	}
}

// TestSyncRunsToItsEnd: a blocking handler is not cut off, and what it does afterwards says that the connection is
// closed.
func TestSyncRunsToItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		errs := make(chan error, 1)
		site, layer := site(t, syncSocket{
			Text: func(_ *none, c *consumers.SyncConn, text string) error {
				<-time.After(5 * time.Second) // a database, say
				if err := c.GroupSend("room", noted.With(note{})); err != nil {
					t.Errorf("group send after the client has gone: %v", err)
				}
				errs <- c.SendText("late")
				return nil
			},
		}.App())
		ws := site.Dial("/")
		ws.SendText("x")
		rest(t.Context(), time.Second)
		begun := time.Now()
		ws.Drop()
		if err := ws.Wait(); err != nil {
			t.Error(err)
		}
		if d := time.Since(begun); d != 4*time.Second {
			t.Errorf("Serve returned after %v, want 4 s", d)
		}
		if err := told(t, errs); !errors.Is(err, asgi.ErrClosed) {
			t.Errorf("a send after the end gave %v, want ErrClosed", err)
		}
		if layer.Stats().GroupSent != 1 {
			t.Error("the handler did not run to its end")
		}
	})
}

// TestSyncTimeout: each operation of a SyncConn has 10 s.
func TestSyncTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		took := make(chan time.Duration, 1)
		site, _ := site(t, syncSocket{Text: func(_ *none, c *consumers.SyncConn, text string) error {
			begun := time.Now()
			for {
				if err := c.SendBinary(make([]byte, 1<<10)); err != nil {
					took <- time.Since(begun)
					return err
				}
			}
		}}.App())
		site = site.With(&asgitest.Options{Queue: 4 << 10, WriteTimeout: -1, Timeout: time.Minute})
		ws := site.Dial("/")
		ws.SendText("fill")
		rest(t.Context(), 20*time.Second)
		if d := told(t, took); d != 10*time.Second {
			t.Errorf("a send to a client that does not read took %v, want 10 s", d)
		}
		ws.Drop()
		_ = ws.Wait()
	})
}

// TestBlockingSideBySide: Case 98. Four blocking consumers take as long as one.
func TestBlockingSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site, _ := site(t, syncSocket{Text: func(_ *none, c *consumers.SyncConn, text string) error {
			<-time.After(300 * time.Millisecond)
			return c.SendText(text)
		}}.App())
		var all []*asgitest.WebSocket
		begun := time.Now()
		for range 4 {
			ws := site.Dial("/")
			ws.SendText("x")
			all = append(all, ws)
		}
		for _, ws := range all {
			ws.ExpectText("x")
		}
		if d := time.Since(begun); d != 300*time.Millisecond {
			t.Errorf("case 98: four handlers of 0.3 s took %v", d)
		}
		for _, ws := range all {
			ws.Disconnect()
		}
	})
}
