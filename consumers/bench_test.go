package consumers_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/memlayer"
)

// nowhere takes whatever an app sends.
func nowhere(context.Context, asgi.Event) error { return nil }

// script is a client that connects, says the same n times, and leaves.
func script(n int, text string) asgi.Receive {
	var said asgi.Event = asgi.WebSocketReceive{Frame: asgi.TextFrame(text)}
	i := -1
	return func(context.Context) (asgi.Event, error) {
		switch i++; {
		case i == 0:
			return asgi.WebSocketConnect{}, nil
		case i <= n:
			return said, nil
		case i == n+1:
			return asgi.WebSocketDisconnect{Code: 1000, By: asgi.ByClient}, nil
		}
		return nil, asgi.ErrClosed
	}
}

// BenchmarkDispatch is the way of a client event to its handler, and of the answer to the server: no server, no layer.
func BenchmarkDispatch(b *testing.B) {
	scope := asgi.NewScope(asgi.Fields{Type: asgi.WebSocket})
	for _, c := range []struct {
		name  string
		table socket
	}{
		{"Text", socket{Text: func(_ *none, ctx context.Context, c *consumers.Conn, text string) error { return nil }}},
		{"TextEcho", socket{Text: func(_ *none, ctx context.Context, c *consumers.Conn, text string) error { return c.SendText(ctx, text) }}},
		{"FrameEcho", socket{Frame: func(_ *none, ctx context.Context, c *consumers.Conn, f asgi.Frame) error { return c.SendFrame(ctx, f) }}},
		{"JSON", socket{Text: consumers.JSON(func(_ *none, ctx context.Context, c *consumers.Conn, v note) error { return nil })}},
		{"JSONEcho", socket{Text: consumers.JSON(func(_ *none, ctx context.Context, c *consumers.Conn, v note) error { return c.SendJSON(ctx, v) })}},
	} {
		b.Run(c.name, func(b *testing.B) {
			app := c.table.App()
			b.ReportAllocs()
			if err := app.Serve(b.Context(), scope, script(b.N, `{"text":"hello","n":1}`), nowhere); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// BenchmarkConnect is a connection that comes, joins a group, and goes.
func BenchmarkConnect(b *testing.B) {
	scope := consumers.LayerKey.With(asgi.NewScope(asgi.Fields{Type: asgi.WebSocket}), memlayer.New(nil))
	app := socket{Groups: []string{"room"}, Forward: consumers.Types(noted)}.App()
	b.ReportAllocs()
	for b.Loop() {
		if err := app.Serve(b.Context(), scope, script(0, ""), nowhere); err != nil {
			b.Fatal(err)
		}
	}
}

// crowd connects n members of the group "room" to app, and returns how to send them away.
func crowd(t testing.TB, app asgi.App, layer *layers.Layer, n int, send asgi.Send) (leave func()) {
	ctx, cancel := context.WithCancel(t.Context())
	scope := consumers.LayerKey.With(asgi.NewScope(asgi.Fields{Type: asgi.WebSocket}), layer)
	var joined, all sync.WaitGroup
	for range n {
		joined.Add(1)
		all.Go(func() {
			if err := app.Serve(ctx, scope, member(&joined), send); err != nil {
				t.Error(err)
			}
		})
	}
	joined.Wait()
	return func() {
		cancel()
		all.Wait()
	}
}

// BenchmarkForward is a broadcast of ready frames: the sender's goroutine hands them to all members.
func BenchmarkForward(b *testing.B) {
	for _, members := range []int{1, 1000} {
		b.Run(fmt.Sprint(members), func(b *testing.B) {
			layer := memlayer.New(nil)
			defer crowd(b, socket{Groups: []string{"room"}, Forward: consumers.Types(noted)}.App(), layer, members, nowhere)()
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				if err := layer.GroupSend(b.Context(), "room", noted.With(note{Text: "hello"})); err != nil {
					b.Fatal(err)
				}
				n += members
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/member")
		})
	}
}

// BenchmarkOn is a broadcast that a handler of each member takes: a goroutine on demand for each.
func BenchmarkOn(b *testing.B) {
	for _, members := range []int{1, 1000} {
		b.Run(fmt.Sprint(members), func(b *testing.B) {
			layer := memlayer.New(nil)
			var handled sync.WaitGroup
			app := socket{
				Groups: []string{"room"},
				Messages: []consumers.Handler[none]{consumers.On(noted, func(_ *none, ctx context.Context, c *consumers.Conn, v note) error {
					handled.Done()
					return nil
				})},
			}.App()
			defer crowd(b, app, layer, members, nowhere)()
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				handled.Add(members)
				if err := layer.GroupSend(b.Context(), "room", noted.With(note{Text: "hello"})); err != nil {
					b.Fatal(err)
				}
				handled.Wait()
				n += members
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/member")
		})
	}
}

// TestForwardAllocatesNothing: what a broadcast of ready frames allocates does not grow with the members.
func TestForwardAllocatesNothing(t *testing.T) {
	cost := func(members int) float64 {
		layer := memlayer.New(nil)
		defer crowd(t, socket{Groups: []string{"room"}, Forward: consumers.Types(noted)}.App(), layer, members, nowhere)()
		return testing.AllocsPerRun(20, func() {
			if err := layer.GroupSend(t.Context(), "room", noted.With(note{Text: "hello"})); err != nil {
				t.Error(err)
			}
		})
	}
	few, many := cost(10), cost(1010)
	if many > few+10 {
		t.Errorf("a broadcast allocates %v times for 10 members and %v times for 1010: %v for each more", few, many, (many-few)/1000)
	}
}

// BenchmarkObserved is BenchmarkDispatch/Text with an observer that does nothing; without one nothing is paid.
func BenchmarkObserved(b *testing.B) {
	app := socket{Text: func(_ *none, ctx context.Context, c *consumers.Conn, text string) error { return nil }}.App()
	scope := consumers.WithObserver(asgi.NewScope(asgi.Fields{Type: asgi.WebSocket}), blind{})
	b.ReportAllocs()
	if err := app.Serve(b.Context(), scope, script(b.N, "hello"), nowhere); err != nil {
		b.Fatal(err)
	}
}

// blind is an observer that does nothing.
type blind struct{}

func (blind) Opened(string, *consumers.Conn)                              {}
func (blind) Closed(string, *consumers.Conn)                              {}
func (blind) Begin(ctx context.Context, _ consumers.Call) context.Context { return ctx }
func (blind) End(_ context.Context, _ consumers.Call, _ consumers.Result) {}
