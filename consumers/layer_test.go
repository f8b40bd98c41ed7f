package consumers_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
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

// over plays app with the given layer.
func over(t testing.TB, app asgi.App, layer *layers.Layer) *asgitest.Site {
	return asgitest.New(t, app).With(&asgitest.Options{Layer: layer})
}

// TestHandshakeInOutage: who comes while the broker is away is told to come back, before anything is accepted.
func TestHandshakeInOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := memlayer.NewBus(nil)
		layer := bus.Layer()
		site := over(t, socket{Groups: []string{"room"}}.App(), layer)
		bus.Cut(layer, errors.New("unplugged"))
		if r := site.Refused("/"); r.Status != http.StatusServiceUnavailable {
			t.Errorf("L15: the handshake is answered with %v, want 503", r)
		}
		bus.Mend(layer)
		site.Dial("/")
	})
}

// TestOutage: Case 34. A consumer that lists Down and Up hears once of each; one that does not hears nothing, and
// nothing is counted as dropped.
func TestOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := memlayer.NewBus(nil)
		layer, other := bus.Layer(), bus.Layer()
		site := over(t, socket{
			Groups: []string{"room"},
			Messages: []consumers.Handler[none]{
				consumers.On(layers.Down, func(_ *none, ctx context.Context, c *consumers.Conn, o layers.Outage) error {
					return c.SendText(ctx, "down: "+o.Cause)
				}),
				consumers.On(layers.Up, func(_ *none, ctx context.Context, c *consumers.Conn, o layers.Outage) error {
					return c.SendText(ctx, "up: "+o.Cause)
				}),
			},
			Forward: consumers.Types(noted),
		}.App(), layer)
		deaf := over(t, socket{Groups: []string{"room"}, Forward: consumers.Types(noted)}.App(), layer)
		far := over(t, socket{Groups: []string{"room"}, Forward: consumers.Types(layers.Down, layers.Up)}.App(), other)
		a, b, d, f := site.Dial("/"), site.Dial("/"), deaf.Dial("/"), far.Dial("/")
		for range 2 { // cutting twice is cutting once
			bus.Cut(layer, errors.New("unplugged"))
		}
		if err := layer.GroupSend(t.Context(), "room", noted.With(note{})); err == nil || !strings.Contains(err.Error(), "unplugged") {
			t.Errorf("case 34: a group send while the layer is away gave %v", err)
		}
		bus.Mend(layer)
		if err := other.GroupSend(t.Context(), "room", noted.With(note{Text: "again"})); err != nil {
			t.Fatal(err)
		}
		for _, ws := range []*asgitest.WebSocket{a, b} {
			ws.ExpectText("down: unplugged")
			ws.ExpectText("up: unplugged")
			ws.ExpectJSON(note{Text: "again"})
		}
		d.ExpectJSON(note{Text: "again"})
		f.ExpectNothing()
		if n := layer.Stats().Dropped[layers.DropUnlisted]; n != 0 {
			t.Errorf("case 34: %d messages to consumers that do not list them were counted as dropped", n)
		}
		for _, ws := range []*asgitest.WebSocket{a, b, d, f} {
			ws.Disconnect()
		}
	})
}

// TestTwoGroups: Case 52. A member of two groups gets the messages of both.
func TestTwoGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site, layer := site(t, socket{Groups: []string{"one", "two"}, Forward: consumers.Types(noted)}.App())
		ws := site.Dial("/")
		for _, group := range []string{"one", "two", "one"} {
			if err := layer.GroupSend(t.Context(), group, noted.With(note{Text: group})); err != nil {
				t.Fatal(err)
			}
			ws.ExpectJSON(note{Text: group})
		}
		ws.Disconnect()
	})
}

// TestLongMember: Case 55. A live connection stays a member, however long.
func TestLongMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site, layer := site(t, socket{Groups: []string{"room"}, Forward: consumers.Types(noted)}.App())
		ws := site.Dial("/")
		for _, age := range []time.Duration{time.Minute, 25 * time.Hour, 60 * 24 * time.Hour} {
			rest(t.Context(), age)
			if err := layer.GroupSend(t.Context(), "room", noted.With(note{Text: age.String()})); err != nil {
				t.Fatal(err)
			}
			ws.ExpectJSON(note{Text: age.String()})
		}
		ws.Disconnect()
	})
}

// TestFirstMessage: Case 56. A message sent after GroupAdd returned reaches the member, from whichever process, also
// while Connect still runs.
func TestFirstMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := memlayer.NewBus(nil)
		layer, other := bus.Layer(), bus.Layer()
		site := over(t, socket{
			Connect: func(_ *none, ctx context.Context, c *consumers.Conn) error {
				if err := c.GroupAdd(ctx, "room"); err != nil {
					return err
				}
				return other.GroupSend(ctx, "room", noted.With(note{Text: "first"}))
			},
			Forward: consumers.Types(noted),
		}.App(), layer)
		ws := site.Dial("/")
		ws.ExpectJSON(note{Text: "first"})
		ws.Disconnect()
	})
}

// TestFullMember: Case 61 and Case 62. A member that is busy gets as many messages as its mailbox holds, the others
// all; a group send does not fail, a direct one does.
func TestFullMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var drops []layers.Drop
		layer := memlayer.New(&layers.Options{Capacity: 3, OnDrop: func(d layers.Drop) { drops = append(drops, d) }})
		site := over(t, socket{
			Groups:  []string{"room"},
			Connect: teller,
			Text: func(_ *none, ctx context.Context, c *consumers.Conn, text string) error {
				rest(ctx, time.Second)
				return nil
			},
			Forward: consumers.Types(noted),
		}.App(), layer)
		busy, idle := site.Dial("/"), site.Dial("/")
		name := busy.ReceiveText()
		idle.ReceiveText()
		busy.SendText("work")
		synctest.Wait()
		if err := layer.Send(t.Context(), name, noted.With(note{Text: "its own"})); err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			if err := layer.GroupSend(t.Context(), "room", noted.With(note{N: i})); err != nil {
				t.Errorf("case 61: group send: %v", err)
			}
		}
		if err := layer.Send(t.Context(), name, noted.With(note{})); !errors.Is(err, layers.ErrChannelFull) {
			t.Errorf("a direct send to a full channel gave %v, want ErrChannelFull", err)
		}
		for i := range 3 {
			idle.ExpectJSON(note{N: i})
		}
		busy.ExpectJSON(note{Text: "its own"})
		busy.ExpectJSON(note{N: 0})
		busy.ExpectJSON(note{N: 1})
		busy.ExpectNothing()
		if len(drops) != 1 || drops[0].Reason != layers.DropFull || drops[0].Channel != name || drops[0].Group != "room" {
			t.Errorf("case 61: told of these drops: %+v", drops)
		}
		if s := layer.Stats(); s.Refused != 1 {
			t.Errorf("%d sends were counted as refused, want 1", s.Refused)
		}
		if err := layer.Send(t.Context(), name, noted.With(note{Text: "room again"})); err != nil {
			t.Errorf("a direct send to a mailbox that has room again: %v", err)
		}
		busy.ExpectJSON(note{Text: "room again"})
		busy.Disconnect()
		idle.Disconnect()
	})
}

// TestExpiry: L6. A message that has waited for a slow handler longer than Expiry is never handled; the age counts
// when the handler starts.
func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		layer := memlayer.New(&layers.Options{Expiry: 10 * time.Second})
		site := over(t, socket{
			Groups:  []string{"room"},
			Connect: teller,
			Messages: []consumers.Handler[none]{consumers.On(ticked, func(_ *none, ctx context.Context, c *consumers.Conn, v note) error {
				rest(ctx, 4*time.Second)
				return c.SendText(ctx, fmt.Sprint("slow ", v.N))
			})},
			Forward: consumers.Types(noted),
		}.App(), layer)
		ws := site.Dial("/")
		ws.ReceiveText()
		for i := range 5 { // they start after 0, 4, 8, 12 and 16 s
			if err := layer.GroupSend(t.Context(), "room", ticked.With(note{N: i})); err != nil {
				t.Fatal(err)
			}
		}
		if err := layer.GroupSend(t.Context(), "room", noted.With(note{Text: "forwarded too late"})); err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			ws.ExpectText(fmt.Sprint("slow ", i))
		}
		if err := layer.GroupSend(t.Context(), "room", noted.With(note{Text: "marker"})); err != nil {
			t.Fatal(err)
		}
		ws.ExpectJSON(note{Text: "marker"})
		if n := layer.Stats().Dropped[layers.DropExpired]; n != 3 {
			t.Errorf("L6 broken: %d messages were counted as expired, want 3", n)
		}
		ws.Disconnect()
	})
}

// TestFlush: what waits in a mailbox is gone after Layer.Flush, and the connection goes on.
func TestFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site, layer := site(t, socket{
			Connect: teller,
			Text: func(_ *none, ctx context.Context, c *consumers.Conn, text string) error {
				rest(ctx, time.Second)
				return nil
			},
			Forward: consumers.Types(noted),
		}.App())
		ws := site.Dial("/")
		name := ws.ReceiveText()
		ws.SendText("work")
		synctest.Wait()
		if err := layer.Send(t.Context(), name, noted.With(note{Text: "old"})); err != nil {
			t.Fatal(err)
		}
		if err := layer.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := layer.Send(t.Context(), name, noted.With(note{Text: "new"})); err != nil {
			t.Fatal(err)
		}
		ws.ExpectJSON(note{Text: "new"})
		ws.Disconnect()
	})
}

// TestFullClientLane: a client that says more than its handlers can take is not read any further, and loses nothing.
func TestFullClientLane(t *testing.T) {
	for _, c := range []struct {
		name string
		size int
		read int // how many messages are read while the first one's handler runs
	}{
		// one is at hand, and the reader holds one for which there is no room
		{"64 events", 10, 1 + 64 + 1},
		{"1 MiB", 256 << 10, 1 + 4 + 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release := make(chan struct{})
				var reads atomic.Int32
				counting := func(next asgi.App) asgi.App {
					return asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
						return next.Serve(ctx, scope, func(ctx context.Context) (asgi.Event, error) {
							ev, err := receive(ctx)
							if _, ok := ev.(asgi.WebSocketReceive); ok {
								reads.Add(1)
							}
							return ev, err
						}, send)
					})
				}
				site, _ := site(t, asgi.Wrap(socket{Text: func(_ *none, ctx context.Context, conn *consumers.Conn, text string) error {
					<-release
					return conn.SendText(ctx, text[:3])
				}}.App(), counting))
				site = site.With(&asgitest.Options{Queue: 100 << 20})
				ws := site.Dial("/")
				const n = 90
				for i := range n {
					ws.SendText(fmt.Sprintf("%03d%s", i, strings.Repeat("x", c.size-3)))
				}
				rest(t.Context(), time.Second)
				if int(reads.Load()) != c.read {
					t.Errorf("%d messages were read while the first was handled, want %d", reads.Load(), c.read)
				}
				close(release)
				for i := range n {
					ws.ExpectText(fmt.Sprintf("%03d", i))
				}
				ws.Disconnect()
			})
		})
	}
}

// TestFullOfExpired: Case 73. Messages whose time is over make room in a mailbox that they had filled.
func TestFullOfExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var name string
		var handled []int
		free := make(chan struct{})
		layer := memlayer.New(&layers.Options{Capacity: 3, Expiry: time.Minute})
		site := asgitest.New(t, socket{
			Connect: func(_ *none, ctx context.Context, c *consumers.Conn) error {
				name = c.ChannelName()
				return nil
			},
			Text: func(_ *none, ctx context.Context, c *consumers.Conn, text string) error {
				<-free
				return nil
			},
			Messages: []consumers.Handler[none]{consumers.On(noted, func(_ *none, ctx context.Context, c *consumers.Conn, v note) error {
				handled = append(handled, v.N)
				return c.SendText(ctx, "handled")
			})},
		}.App()).With(&asgitest.Options{Layer: layer})
		ws := site.Dial("/")
		ws.SendText("wait")
		synctest.Wait()
		for i := range 3 {
			if err := layer.Send(t.Context(), name, noted.With(note{N: i})); err != nil {
				t.Fatal(err)
			}
		}
		if err := layer.Send(t.Context(), name, noted.With(note{N: 3})); !errors.Is(err, layers.ErrChannelFull) {
			t.Fatalf("the fourth of three: %v, want layers.ErrChannelFull", err)
		}
		rest(t.Context(), 2*time.Minute)
		if err := layer.Send(t.Context(), name, noted.With(note{N: 4})); err != nil {
			t.Fatalf("after the others expired: %v", err)
		}
		close(free)
		ws.ExpectText("handled")
		ws.Disconnect()
		if !slices.Equal(handled, []int{4}) {
			t.Errorf("handled %v, want 4 alone", handled)
		}
		if n := layer.Stats().Dropped[layers.DropExpired]; n != 3 {
			t.Errorf("%d were counted as expired, want 3", n)
		}
	})
}
