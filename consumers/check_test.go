package consumers_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/memlayer"
	"github.com/tideway-go/tideway/testing/asgitest"
)

// note is the payload of most messages here.
type note struct {
	Text string `json:"text"`
	N    int    `json:"n"`
}

const (
	noted  layers.Type[note] = "test.note"
	ticked layers.Type[note] = "test.tick"
)

// site plays app with a layer of its own, which it returns, too.
func site(t testing.TB, app asgi.App) (*asgitest.Site, *layers.Layer) {
	layer := memlayer.New(nil)
	s := asgitest.New(t, app).With(&asgitest.Options{Scope: func(scope *asgi.Scope) *asgi.Scope {
		return consumers.LayerKey.With(scope, layer)
	}})
	return s, layer
}

// rest waits within the bubble, or until ctx ends.
func rest(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// alone is a state that notices company.
type alone struct {
	inside  atomic.Int32
	company atomic.Bool
	handled int // no lock: the promise is that it needs none
}

func (s *alone) enter(ctx context.Context) {
	defer s.inside.Add(-1)
	if s.inside.Add(1) > 1 {
		s.company.Store(true)
		return
	}
	s.handled++
	rest(ctx, 3*time.Millisecond)
}

func checkC1(t testing.TB, wrap asgi.Middleware) {
	state := new(alone)
	app := wrap(consumers.AsyncWebsocketConsumer[alone]{
		New: func(*asgi.Scope) *alone { return state },
		Connect: func(s *alone, ctx context.Context, c *consumers.Conn) error {
			if err := errors.Join(c.GroupAdd(ctx, "room"), c.Accept(ctx, asgi.WebSocketAccept{})); err != nil {
				return err
			}
			for i := range 3 { // Conn is for every goroutine, the state is not
				c.Go(func(ctx context.Context) error {
					for range 5 {
						if err := c.SendText(ctx, fmt.Sprint("beside ", i)); err != nil {
							return err
						}
						rest(ctx, time.Millisecond)
					}
					return nil
				})
			}
			return nil
		},
		Text: func(s *alone, ctx context.Context, c *consumers.Conn, text string) error {
			s.enter(ctx)
			return nil
		},
		Messages: []consumers.Handler[alone]{consumers.On(noted, func(s *alone, ctx context.Context, c *consumers.Conn, v note) error {
			s.enter(ctx)
			return nil
		})},
	}.App())
	site, layer := site(t, app)
	ws := site.Dial("/")
	for range 20 {
		ws.SendText("client")
		if err := layer.GroupSend(t.Context(), "room", noted.With(note{})); err != nil {
			t.Fatalf("group send: %v", err)
		}
	}
	for range 15 {
		ws.ReceiveText()
	}
	ws.Close(1000, "")
	ws.Wait()
	if state.company.Load() {
		t.Fatalf("two handlers ran at the same time")
	}
	if state.handled < 20 {
		t.Fatalf("%d handlers have run, want at least the 20 of the client's events", state.handled)
	}
}

// record keeps what its handlers were called with, each lane apart.
type record struct {
	client, layer []string
	pings         int
	answered      bool
}

func checkC2(t testing.TB, wrap asgi.Middleware) {
	for _, slow := range []time.Duration{0, 2 * time.Millisecond} { // alone, and with a second goroutine
		state := new(record)
		app := wrap(consumers.AsyncWebsocketConsumer[record]{
			New:    func(*asgi.Scope) *record { return state },
			Groups: []string{"room"},
			Text: func(s *record, ctx context.Context, c *consumers.Conn, text string) error {
				rest(ctx, slow)
				s.client = append(s.client, text)
				return nil
			},
			Messages: []consumers.Handler[record]{consumers.On(noted, func(s *record, ctx context.Context, c *consumers.Conn, v note) error {
				rest(ctx, slow)
				s.layer = append(s.layer, fmt.Sprint(v.N))
				return nil
			})},
		}.App())
		site, layer := site(t, app)
		ws := site.Dial("/")
		var want []string
		for i := range 40 {
			want = append(want, fmt.Sprint(i))
			ws.SendText(fmt.Sprint(i))
			if err := layer.GroupSend(t.Context(), "room", noted.With(note{N: i})); err != nil {
				t.Fatalf("group send: %v", err)
			}
		}
		rest(t.Context(), time.Second)
		ws.Close(1000, "")
		ws.Wait()
		if !slices.Equal(state.client, want) {
			t.Fatalf("client events were handled as %v, sent as %v", state.client, want)
		}
		if !slices.Equal(state.layer, want) {
			t.Fatalf("layer messages were handled as %v, sent as %v", state.layer, want)
		}
	}
	checkNoStarving(t, wrap)
}

// checkNoStarving floods one lane and demands that the other is heard (case 99).
func checkNoStarving(t testing.TB, wrap asgi.Middleware) {
	const flood = 100_000
	state := new(record)
	app := wrap(consumers.AsyncWebsocketConsumer[record]{
		New: func(*asgi.Scope) *record { return state },
		Connect: func(s *record, ctx context.Context, c *consumers.Conn) error {
			return c.SendTo(ctx, c.ChannelName(), ticked.With(note{}))
		},
		Text: func(s *record, ctx context.Context, c *consumers.Conn, text string) error {
			s.answered = true
			return c.SendText(ctx, "heard")
		},
		Messages: []consumers.Handler[record]{consumers.On(ticked, func(s *record, ctx context.Context, c *consumers.Conn, v note) error {
			if s.pings++; s.answered || s.pings > flood {
				return nil
			}
			return c.SendTo(ctx, c.ChannelName(), ticked.With(v)) // there is always one that waits
		})},
	}.App())
	site, _ := site(t, app)
	ws := site.Dial("/")
	ws.SendText("hello")
	ws.ExpectText("heard")
	ws.Disconnect()
	if state.pings > flood {
		t.Fatalf("a client event waited for %d layer messages", state.pings)
	}
}

func checkC3(t testing.TB, wrap asgi.Middleware) {
	var names []string
	app := wrap(consumers.AsyncWebsocketConsumer[record]{
		Connect: func(s *record, ctx context.Context, c *consumers.Conn) error {
			names = append(names, c.ChannelName())
			return nil
		},
		Text: func(s *record, ctx context.Context, c *consumers.Conn, text string) error {
			return c.SendText(ctx, "client said "+text)
		},
		Forward: consumers.Types(noted),
	}.App())
	site, layer := site(t, app)
	ws := site.Dial("/")
	stray := []string{"websocket.receive", "websocket.disconnect", "websocket.send", "send", "close", "accept", "dispatch", "connect", "text", "Text", "_x", ".x"}
	for _, name := range stray {
		m := layers.Type[note](name).With(note{Text: "of the layer"})
		if err := layer.Send(t.Context(), names[0], m); err != nil {
			t.Fatalf("send of type %q: %v", name, err)
		}
	}
	ws.SendText("hello")
	ws.ExpectText("client said hello")
	if err := layer.Send(t.Context(), names[0], noted.With(note{Text: "marker"})); err != nil {
		t.Fatalf("send: %v", err)
	}
	ws.ExpectJSON(note{Text: "marker"})
	if got := layer.Stats().Dropped[layers.DropUnlisted]; got != uint64(len(stray)) {
		t.Fatalf("%d messages of unlisted types were counted as dropped, want %d", got, len(stray))
	}
	ws.Disconnect()
}

func checkC6(t testing.TB, wrap asgi.Middleware) {
	app := wrap(consumers.AsyncWebsocketConsumer[record]{
		Connect: func(s *record, ctx context.Context, c *consumers.Conn) error {
			if c.Scope().Path() == "/open/" {
				return nil
			}
			return asgi.Deny{Status: 429, Header: http.Header{"Retry-After": {"7"}}, Body: []byte("slow down")}
		},
	}.App())
	site, _ := site(t, app)
	site.Dial("/open/").Disconnect()
	r := site.Refused("/shut/")
	if r.Status != 429 || r.Header.Get("Retry-After") != "7" || string(r.Body) != "slow down" {
		t.Fatalf("Deny with 429, Retry-After and a body reached the client as %v", r)
	}
}

func checkC7(t testing.TB, wrap asgi.Middleware) {
	app := wrap(consumers.AsyncWebsocketConsumer[record]{
		Text: func(s *record, ctx context.Context, c *consumers.Conn, text string) error {
			switch text {
			case "error":
				return errors.New("boom")
			case "code":
				return fmt.Errorf("not now: %w", asgi.CloseError{Code: 4008, Reason: "later"})
			case "panic":
				panic("boom")
			case "stop":
				return consumers.ErrStop
			case "json":
				return consumers.JSON(func(*record, context.Context, *consumers.Conn, note) error { return nil })(s, ctx, c, "{")
			case "empty":
				return consumers.JSON(func(*record, context.Context, *consumers.Conn, note) error { return nil })(s, ctx, c, "")
			}
			return c.SendText(ctx, text)
		},
	}.App())
	site, _ := site(t, app)
	other := site.Dial("/")
	for _, c := range []struct {
		text   string
		code   int
		reason string
		fails  bool
	}{
		{"error", 1011, "", true},
		{"code", 4008, "later", true},
		{"panic", 1011, "", true},
		{"stop", 1000, "", false},
		{"json", 1007, "invalid JSON", true},
		{"empty", 1007, "invalid JSON", true},
	} {
		ws := site.Dial("/")
		ws.SendText(c.text)
		if got := ws.ReceiveClose(); got.Code != c.code || got.Reason != c.reason {
			t.Fatalf("%s: closed with %v, want %d %q", c.text, got, c.code, c.reason)
		}
		err := ws.Wait()
		var panicked *asgi.PanicError
		if c.text == "panic" && (!errors.As(err, &panicked) || !strings.Contains(string(panicked.Stack), "check_test.go")) {
			t.Fatalf("panic: Serve returned %v, without the stack", err)
		}
		other.SendText("still here")
		other.ExpectText("still here")
	}
	other.Disconnect()
}

func checkC8(t testing.TB, wrap asgi.Middleware) {
	app := wrap(consumers.AsyncWebsocketConsumer[record]{
		Connect: func(s *record, ctx context.Context, c *consumers.Conn) error {
			if err := c.GroupAdd(ctx, "room"); err != nil {
				return err
			}
			if err := c.GroupSend(ctx, "room", noted.With(note{Text: "early"})); err != nil {
				return err
			}
			rest(ctx, 10*time.Millisecond)
			return nil
		},
		Forward: consumers.Types(noted),
	}.App())
	site, layer := site(t, app)
	ws := site.Open("/")
	if ev := ws.Receive(); ev.EventType() != "websocket.accept" {
		t.Fatalf("the first event was %T, want the accept", ev)
	}
	ws.ExpectJSON(note{Text: "early"})
	if err := layer.GroupSend(t.Context(), "room", noted.With(note{Text: "late"})); err != nil {
		t.Fatalf("group send: %v", err)
	}
	ws.ExpectJSON(note{Text: "late"})
	ws.Disconnect()
}

func checkC9(t testing.TB, wrap asgi.Middleware) {
	app := wrap(consumers.AsyncWebsocketConsumer[record]{
		Groups:  []string{"room"},
		Forward: consumers.Types(noted),
	}.App())
	site, layer := site(t, app)
	deaf, ann := site.Dial("/deaf/"), site.Dial("/ann/")
	const messages, size = 200, 64 << 10
	text := strings.Repeat("x", size)
	var heard sync.WaitGroup
	heard.Go(func() {
		for range messages {
			if _, err := ann.Next(t.Context()); err != nil {
				t.Errorf("the other member lost the connection: %v", err)
				return
			}
		}
	})
	begun := time.Now()
	for i := range messages {
		if err := layer.GroupSend(t.Context(), "room", noted.With(note{Text: text, N: i})); err != nil {
			t.Fatalf("group send %d: %v", i, err)
		}
		synctest.Wait() // the other member reads at its leisure
	}
	heard.Wait()
	if waited := time.Since(begun); waited != 0 {
		t.Fatalf("senders waited %v for a client that does not read", waited)
	}
	dropped := layer.Stats().Dropped[layers.DropFull]
	if kept := (messages - int(dropped)) * size; kept > 4<<20 {
		t.Fatalf("a client that does not read holds %d bytes", kept)
	}
	ann.Disconnect()
	deaf.Drop()
	_ = deaf.Wait()
}
