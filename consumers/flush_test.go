package consumers_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/memlayer"
)

// TestWrittenWhileOthersWait: what a handler has sent is written about a millisecond later, though handlers follow one
// another without a pause, in whichever lane what they handle waits.
func TestWrittenWhileOthersWait(t *testing.T) {
	const n = 60
	for _, takes := range []time.Duration{50 * time.Microsecond, 300 * time.Microsecond, 700 * time.Microsecond, 900 * time.Microsecond} {
		for _, c := range []struct {
			name             string
			events, messages int // that wait
			first            time.Duration
		}{
			{"client events", n, 0, 0},
			{"layer messages", 0, n, 0},
			{"both", n, n, 0},
			{"many layer messages", 1, n, 0},
			{"client events after one that took long", n, 0, 3 * time.Millisecond},
			{"layer messages after one that took long", 0, n, 3 * time.Millisecond},
			{"both after one that took long", n, n, 3 * time.Millisecond},
		} {
			t.Run(fmt.Sprint(c.name, ", ", takes), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					type late struct{ first bool }
					begun := time.Now()
					handle := func(s *late, ctx context.Context, conn *consumers.Conn) error {
						if !s.first {
							s.first = true
							rest(ctx, c.first)
						}
						if err := conn.SendText(ctx, time.Since(begun).String()); err != nil {
							return err
						}
						rest(ctx, takes)
						return nil
					}
					app := consumers.AsyncWebsocketConsumer[late]{
						Groups: []string{"room"},
						Text: func(s *late, ctx context.Context, conn *consumers.Conn, text string) error {
							return handle(s, ctx, conn)
						},
						Messages: []consumers.Handler[late]{consumers.On(noted, func(s *late, ctx context.Context, conn *consumers.Conn, v note) error {
							return handle(s, ctx, conn)
						})},
					}.App()
					layer := memlayer.New(&layers.Options{Capacity: n})
					ws := over(t, app, layer).Dial("/")
					for i := range max(c.events, c.messages) {
						if i < c.messages {
							send(t, layer, noted.With(note{}))
						}
						if i < c.events {
							ws.SendText("x")
						}
					}
					var most time.Duration
					for range c.events + c.messages {
						sent, err := time.ParseDuration(ws.ReceiveText())
						if err != nil {
							t.Fatal(err)
						}
						most = max(most, time.Since(begun)-sent)
					}
					if most > handlerTime {
						t.Errorf("a message was written %v after it was sent, want at most %v", most, handlerTime)
					}
					t.Log("most", most)
					ws.Disconnect()
				})
			})
		}
	}
}
