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
}
