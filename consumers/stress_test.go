package consumers_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
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
)

// TestComeAndGo: 2,000 connections come and go, each in its own way, while broadcasts go on. Nothing is left of them.
func TestComeAndGo(t *testing.T) {
	layer := memlayer.New(nil)
	scope := consumers.LayerKey.With(asgi.NewScope(asgi.Fields{Type: asgi.WebSocket}), layer)
	boom := errors.New("boom")
	var connected, disconnected atomic.Int64
	app := consumers.AsyncWebsocketConsumer[alone]{
		Groups: []string{"room"},
		Connect: func(s *alone, ctx context.Context, c *consumers.Conn) error {
			connected.Add(1)
			c.Go(func(ctx context.Context) error {
				<-ctx.Done()
				return c.SendText(ctx, "bye")
			})
			return nil
		},
		Text: func(s *alone, ctx context.Context, c *consumers.Conn, text string) error {
			switch s.handled++; text {
			case "fail":
				return boom
			case "panic":
				panic(boom)
			case "close":
				return c.Close(ctx, 4000, "")
			case "slow":
				rest(ctx, 2*handlerTime)
			}
			return c.GroupSend(ctx, "room", noted.With(note{Text: text}))
		},
		Messages: []consumers.Handler[alone]{consumers.On(noted, func(s *alone, ctx context.Context, c *consumers.Conn, v note) error {
			s.handled++ // the race detector would see company
			return c.SendText(ctx, v.Text)
		})},
		Forward: consumers.Types(ticked),
		Disconnect: func(s *alone, ctx context.Context, c *consumers.Conn, why asgi.DisconnectError) error {
			disconnected.Add(1)
			return nil
		},
	}.App()

	stop := make(chan struct{})
	var broadcasts, crowd sync.WaitGroup
	broadcasts.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if err := layer.GroupSend(t.Context(), "room", ticked.With(note{})); err != nil {
				t.Errorf("group send: %v", err)
				return
			}
			runtime.Gosched()
		}
	})
	const connections, workers = 2000, 20
	says := []string{"x", "slow", "fail", "panic", "close"}
	for w := range workers {
		crowd.Go(func() {
			for i := range connections / workers {
				text := says[(w+i)%len(says)]
				err := app.Serve(t.Context(), scope, visitor(text, i%2 == 0), nowhere)
				if failed := text == "fail" || text == "panic"; failed != errors.Is(err, boom) {
					t.Errorf("%s: Serve returned %v", text, err)
				}
			}
		})
	}
	crowd.Wait()
	close(stop)
	broadcasts.Wait()
	if connected.Load() != connections || disconnected.Load() != connections {
		t.Errorf("%d connections, %d Disconnects; want %d of each", connected.Load(), disconnected.Load(), connections)
	}
	before := layer.Stats().Delivered
	if err := layer.GroupSend(t.Context(), "room", ticked.With(note{})); err != nil || layer.Stats().Delivered != before {
		t.Errorf("the group has members when all have gone: %v", err)
	}
}

// visitor is a client that connects, says one thing twice, and leaves by a close or without a word.
func visitor(text string, polite bool) asgi.Receive {
	talk := script(2, text)
	return func(ctx context.Context) (asgi.Event, error) {
		ev, err := talk(ctx)
		if _, last := ev.(asgi.WebSocketDisconnect); last && !polite {
			ev = asgi.WebSocketDisconnect{Code: 1006, By: asgi.ByNetwork}
		}
		return ev, err
	}
}

// TestIdleGoroutines: an idle connection is one goroutine, whatever it has been sent; the second comes with the first
// handler that takes longer than a millisecond, and there is never a third.
func TestIdleGoroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		layer := memlayer.New(nil)
		scope := consumers.LayerKey.With(asgi.NewScope(asgi.Fields{Type: asgi.WebSocket}), layer)
		app := socket{
			Groups: []string{"room"},
			Text: func(_ *none, ctx context.Context, c *consumers.Conn, text string) error {
				d, err := time.ParseDuration(text)
				rest(ctx, d)
				return err
			},
			Messages: []consumers.Handler[none]{consumers.On(noted, func(_ *none, ctx context.Context, c *consumers.Conn, v note) error { return nil })},
			Forward:  consumers.Types(ticked),
		}.App()
		const n = 50
		var wires []*wire
		for range n {
			w := connect(t, app, scope)
			w.in <- asgi.WebSocketConnect{}
			wires = append(wires, w)
		}
		each := func() float64 {
			synctest.Wait()
			return float64(goroutines()) / n
		}
		say := func(text string) {
			for _, w := range wires {
				w.in <- asgi.WebSocketReceive{Frame: asgi.TextFrame(text)}
			}
		}
		if got := each(); got != 1 {
			t.Errorf("a new connection has %v goroutines, want 1", got)
		}
		for range 10 {
			for _, m := range []layers.Message{noted.With(note{}), ticked.With(note{})} {
				if err := layer.GroupSend(t.Context(), "room", m); err != nil {
					t.Fatal(err)
				}
			}
			say("0s")
			synctest.Wait()
			for _, w := range wires { // what was forwarded
				for len(w.out) > 0 {
					<-w.out
				}
			}
		}
		if got := each(); got != 1 {
			t.Errorf("a connection whose handlers are quick has %v goroutines, want 1", got)
		}
		for range 3 {
			say("20ms")
			rest(t.Context(), 10*time.Millisecond)
			if got := each(); got != 2 {
				t.Errorf("a connection whose handler takes long has %v goroutines, want 2", got)
			}
			rest(t.Context(), time.Second)
			if got := each(); got > 2 {
				t.Errorf("a connection whose handler took long has %v goroutines, want at most 2", got)
			}
		}
		for _, w := range wires {
			w.in <- asgi.WebSocketDisconnect{Code: 1000}
			if err := <-w.end; err != nil {
				t.Error(err)
			}
		}
		if got := each(); got != 0 {
			t.Errorf("%v goroutines are left of each connection", got)
		}
	})
}

// goroutines is how many there are of connections: those of the runtime and of other tests do not count.
func goroutines() (n int) {
	stacks := make([]byte, 1<<20)
	for stack := range strings.SplitSeq(string(stacks[:runtime.Stack(stacks, true)]), "\n\n") {
		if strings.Contains(stack, "tideway/consumers.(*") {
			n++
		}
	}
	return n
}

// TestSlowLastEvent: the handler of a disconnect event may take its time, as a Disconnect hook may.
func TestSlowLastEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		errs := make(chan error, 1)
		site, _ := site(t, consumers.AsyncConsumer[none]{
			Event: func(_ *none, ctx context.Context, c *consumers.Conn, ev asgi.Event) error {
				switch ev.(type) {
				case asgi.WebSocketConnect:
					return c.Accept(ctx, asgi.WebSocketAccept{})
				case asgi.WebSocketDisconnect:
					rest(ctx, time.Second)
					errs <- context.Cause(ctx)
				}
				return nil
			},
		}.App())
		ws := site.Dial("/")
		ws.Close(1000, "")
		if err := ws.Wait(); err != nil {
			t.Error(err)
		}
		if err := told(t, errs); err != nil {
			t.Errorf("its ctx ended with %v", err)
		}
	})
}

// TestLive runs a consumer of each kind on a real server.
func TestLive(t *testing.T) {
	site, _ := site(t, request{
		Handle: func(_ *none, ctx context.Context, c *consumers.Conn, body []byte) error {
			if err := errors.Join(c.GroupAdd(ctx, "polls"), c.StartResponse(ctx, 200, nil), c.SendBody(ctx, []byte("first "), true)); err != nil {
				return err
			}
			return c.GroupSend(ctx, "polls", noted.With(note{Text: fmt.Sprintf("last %s", body)}))
		},
		Messages: []consumers.Handler[none]{consumers.On(noted, func(_ *none, ctx context.Context, c *consumers.Conn, v note) error {
			return c.SendBody(ctx, []byte(v.Text), false)
		})},
	}.App())
	live := site.Live()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for range 3 { // Case 123: a layer message completes the response, and the app ends
		r, err := client.Get(live.URL + "/")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r.Body)
		if err != nil || string(body) != "first last " {
			t.Errorf("case 123: got %q, %v", body, err)
		}
		if err := r.Body.Close(); err != nil {
			t.Error(err)
		}
	}
}
