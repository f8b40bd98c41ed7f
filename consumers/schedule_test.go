package consumers_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
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

// played is the state of a connection that notes what its handlers are called with.
type played struct {
	inside        atomic.Int32
	overlapped    bool
	client, layer []int
}

// handle takes as long as the message says.
func (s *played) handle(ctx context.Context, list *[]int, v note) {
	if s.inside.Add(1) != 1 {
		s.overlapped = true
	}
	defer s.inside.Add(-1)
	*list = append(*list, v.N)
	if d, err := time.ParseDuration(v.Text); err == nil && d > 0 {
		rest(ctx, d)
	}
}

// durations of handlers: nothing, less than a millisecond, exactly one, more.
var durations = []time.Duration{0, 0, 0, 200 * time.Microsecond, 900 * time.Microsecond, time.Millisecond, 3 * time.Millisecond, 20 * time.Millisecond}

// FuzzSchedule plays random schedules of client events, messages with and without a handler, and pauses: handlers do
// not overlap (C1), both lanes are in order and nothing is lost (C2), what was read before the close is handled (C4),
// and it all ends (C10). A lost wake-up is a deadlock, which the bubble tells.
func FuzzSchedule(f *testing.F) {
	for seed := range uint64(150) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		synctest.Test(t, func(t *testing.T) { playSchedule(t, rand.New(rand.NewPCG(seed, 1))) })
	})
}

func playSchedule(t *testing.T, random *rand.Rand) {
	state := new(played)
	app := consumers.AsyncWebsocketConsumer[played]{
		New:    func(*asgi.Scope) *played { return state },
		Groups: []string{"room"},
		Text: consumers.JSON(func(s *played, ctx context.Context, c *consumers.Conn, v note) error {
			s.handle(ctx, &s.client, v)
			return c.SendJSON(ctx, v)
		}),
		Messages: []consumers.Handler[played]{consumers.On(noted, func(s *played, ctx context.Context, c *consumers.Conn, v note) error {
			s.handle(ctx, &s.layer, v)
			return c.SendJSON(ctx, v)
		})},
		Forward: consumers.Types(ticked),
	}.App()
	layer := memlayer.New(&layers.Options{Capacity: 1000})
	ws := over(t, app, layer).With(&asgitest.Options{Timeout: time.Minute}).Dial("/")
	const steps = 60
	var client, fromLayer, all []int
	for i := range steps {
		v := note{Text: durations[random.IntN(len(durations))].String(), N: i}
		switch random.IntN(4) {
		case 0:
			ws.SendJSON(v)
			client, all = append(client, i), append(all, i)
		case 1:
			send(t, layer, noted.With(v))
			fromLayer, all = append(fromLayer, i), append(all, i)
		case 2:
			send(t, layer, ticked.With(v))
			all = append(all, i)
		case 3:
			rest(t.Context(), durations[random.IntN(len(durations))])
		}
		if random.IntN(8) == 0 {
			synctest.Wait()
		}
	}
	leavesEarly := random.IntN(2) == 0
	if !leavesEarly {
		got := make([]int, len(all))
		for i := range got {
			var v note
			ws.ReceiveJSON(&v)
			got[i] = v.N
		}
		slices.Sort(got)
		if !slices.Equal(got, all) {
			t.Errorf("the client was sent %v, want %v", got, all)
		}
	}
	ws.Close(1000, "")
	if err := ws.Wait(); err != nil {
		t.Errorf("Serve returned %v", err)
	}
	if state.overlapped {
		t.Error("C1 broken: handlers overlapped")
	}
	if !slices.Equal(state.client, client) {
		t.Errorf("C2, C4 broken: client events were handled as %v, sent as %v", state.client, client)
	}
	if want := fromLayer[:min(len(state.layer), len(fromLayer))]; !slices.Equal(state.layer, want) || !leavesEarly && len(want) != len(fromLayer) {
		t.Errorf("C2 broken: layer messages were handled as %v, sent as %v", state.layer, fromLayer)
	}
}

func send(t *testing.T, layer *layers.Layer, m layers.Message) {
	t.Helper()
	if err := layer.GroupSend(t.Context(), "room", m); err != nil {
		t.Fatal(fmt.Errorf("group send: %w", err))
	}
}
