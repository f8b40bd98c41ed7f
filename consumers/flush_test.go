package consumers_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/memlayer"
)

// TestWrittenWhileOthersWait: what a handler has sent is written about a millisecond later, though handlers follow one
// another without a pause, in whichever lane what they handle waits.
func TestWrittenWhileOthersWait(t *testing.T) {
	const many, us = 30, time.Microsecond
	for _, c := range []struct {
		name             string
		events, messages int           // that wait
		event, message   time.Duration // that a handler of each takes
		first            time.Duration // that the first one takes besides
		within           time.Duration // of its sending a text is written
	}{
		{"client events", many, 0, 300 * us, 0, 0, 2 * handlerTime},
		{"client events that take nearly a millisecond", many, 0, 900 * us, 0, 0, 2 * handlerTime},
		{"layer messages", 0, many, 0, 300 * us, 0, handlerTime},
		{"layer messages that take nearly a millisecond", 0, many, 0, 900 * us, 0, handlerTime},
		{"both", many, many, 300 * us, 300 * us, 0, 2 * handlerTime},
		{"a layer message behind client events", many, 1, 600 * us, 950 * us, 0, 2 * handlerTime},
		{"two layer messages behind client events", many, 2, 600 * us, 950 * us, 0, 2 * handlerTime},
		{"client events behind one that took long", many, 0, 300 * us, 0, 3 * handlerTime, handlerTime},
		{"layer messages behind one that took long", 0, many, 0, 300 * us, 3 * handlerTime, handlerTime},
		{"both behind one that took long", many, many, 300 * us, 300 * us, 3 * handlerTime, 2 * handlerTime},
	} {
		for later := time.Duration(0); later < 2*handlerTime; later += 200 * us { // when the layer messages come
			t.Run(fmt.Sprint(c.name, ", ", later), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					begun := time.Now()
					var long bool
					handle := func(ctx context.Context, conn *consumers.Conn, takes time.Duration) error {
						if !long {
							long = true
							rest(ctx, c.first)
						}
						if err := conn.SendText(ctx, time.Since(begun).String()); err != nil {
							return err
						}
						rest(ctx, takes)
						return nil
					}
					layer := memlayer.New(&layers.Options{Capacity: many})
					ws := over(t, socket{
						Groups: []string{"room"},
						Text: func(_ *none, ctx context.Context, conn *consumers.Conn, _ string) error {
							return handle(ctx, conn, c.event)
						},
						Messages: []consumers.Handler[none]{consumers.On(noted, func(_ *none, ctx context.Context, conn *consumers.Conn, _ note) error {
							return handle(ctx, conn, c.message)
						})},
					}.App(), layer).Dial("/")
					for range c.events {
						ws.SendText("x")
					}
					time.AfterFunc(later, func() {
						for range c.messages {
							send(t, layer, noted.With(note{}))
						}
					})
					var most time.Duration
					for range c.events + c.messages {
						sent, err := time.ParseDuration(ws.ReceiveText())
						if err != nil {
							t.Fatal(err)
						}
						most = max(most, time.Since(begun)-sent)
					}
					if most > c.within {
						t.Errorf("a text was written %v after it was sent, want at most %v", most, c.within)
					}
					ws.Disconnect()
				})
			})
		}
	}
}

// TestWaitedNeedsNoFlush: where the server says that it has written what was held back, nobody asks it to.
func TestWaitedNeedsNoFlush(t *testing.T) {
	for _, waited := range []bool{false, true} {
		t.Run(fmt.Sprint(waited), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const messages = 3
				flushes, left := 0, messages
				receive := func(context.Context) (asgi.Event, error) {
					switch left--; {
					case left == messages-1:
						return asgi.WebSocketConnect{}, nil
					case left >= 0:
						<-time.After(5 * time.Millisecond)
						return asgi.WebSocketReceive{Frame: asgi.TextFrame("x"), Waited: waited}, nil
					}
					if want := messages - 2; waited && flushes > 0 || !waited && flushes != want {
						t.Errorf("%d flushes after %d messages", flushes, messages-1)
					}
					return asgi.WebSocketDisconnect{Code: 1000, By: asgi.ByClient}, nil
				}
				send := func(_ context.Context, ev asgi.Event) error {
					if _, ok := ev.(asgi.WebSocketFlush); ok {
						flushes++
					}
					return nil
				}
				app := socket{Text: func(_ *none, ctx context.Context, conn *consumers.Conn, text string) error {
					return conn.SendText(ctx, text)
				}}.App()
				if err := app.Serve(t.Context(), asgi.NewScope(asgi.Fields{Type: asgi.WebSocket}), receive, send); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}
