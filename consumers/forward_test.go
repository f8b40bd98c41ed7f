package consumers_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
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

// marshalled counts how often a counted value was made JSON.
var marshalled atomic.Int64

// counted is a payload with a part that counts.
type counted struct {
	Part part `json:"part"`
}

type part struct{ text string }

func (p part) MarshalJSON() ([]byte, error) {
	marshalled.Add(1)
	return json.Marshal(p.text)
}

func (p *part) UnmarshalJSON(data []byte) error { return json.Unmarshal(data, &p.text) }

const (
	countedType  layers.Type[counted]            = "test.counted"
	renderedType layers.Type[note]               = "test.rendered"
	measuredType layers.Type[map[string]float64] = "test.measured"
)

// TestBroadcastIsEncodedOnce: one call of MarshalJSON, and one of the render function, for all members, who are handed
// the same bytes.
func TestBroadcastIsEncodedOnce(t *testing.T) {
	for _, members := range []int{10, 10_000} {
		t.Run(fmt.Sprint(members), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var rendered atomic.Int64
				render := func(v note) (asgi.Frame, error) {
					rendered.Add(1)
					return asgi.BinaryFrame([]byte(v.Text)), nil
				}
				app := socket{
					Groups:  []string{"room"},
					Forward: append(consumers.Types(countedType), consumers.Render(renderedType, render)),
				}.App()
				layer := memlayer.New(nil)
				scope := consumers.LayerKey.With(asgi.NewScope(asgi.Fields{Type: asgi.WebSocket}), layer)
				var sent gathered
				var joined, all sync.WaitGroup
				ctx, cancel := context.WithCancel(t.Context())
				for range members {
					joined.Add(1)
					all.Go(func() {
						if err := app.Serve(ctx, scope, member(&joined), sent.send); err != nil {
							t.Error(err)
						}
					})
				}
				joined.Wait()
				synctest.Wait()
				messages := []layers.Message{countedType.With(counted{part{"x"}}), renderedType.With(note{Text: "x"})}
				marshalled.Store(0) // With has encoded, too
				for _, m := range messages {
					if err := layer.GroupSend(ctx, "room", m); err != nil {
						t.Fatal(err)
					}
				}
				synctest.Wait()
				if n := marshalled.Load(); n != 1 {
					t.Errorf("MarshalJSON ran %d times for %d members, want once", n, members)
				}
				if n := rendered.Load(); n != 1 {
					t.Errorf("the render function ran %d times for %d members, want once", n, members)
				}
				if sent.total != 2*members || len(sent.frames) != 2 || len(sent.prepared) != 2 {
					t.Errorf("%d frames went out, made of %d byte slices and %d prepared forms; want %d, 2 and 2",
						sent.total, len(sent.frames), len(sent.prepared), 2*members)
				}
				cancel()
				all.Wait()
			})
		})
	}
}

// member is the client of one connection: it connects, and then says nothing.
func member(joined *sync.WaitGroup) asgi.Receive {
	connected := false
	return func(ctx context.Context) (asgi.Event, error) {
		if !connected {
			connected = true
			return asgi.WebSocketConnect{}, nil
		}
		joined.Done()
		<-ctx.Done()
		return nil, asgi.ErrClosed
	}
}

// gathered is what all members were sent, by identity.
type gathered struct {
	mu       sync.Mutex
	total    int
	frames   map[*byte]bool
	prepared map[*asgi.Prepared]bool
}

func (g *gathered) send(_ context.Context, ev asgi.Event) error {
	out, ok := ev.(asgi.WebSocketSend)
	if !ok {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.frames == nil {
		g.frames, g.prepared = map[*byte]bool{}, map[*asgi.Prepared]bool{}
	}
	g.total++
	g.frames[&out.Frame.Data[0]] = true
	g.prepared[out.Prepared] = true
	if !out.Prepared.Holds(out.Frame) {
		return errors.New("the prepared form is of another frame")
	}
	return nil
}

// TestForwardStaysInOrder: what is forwarded does not overtake messages that wait for a handler, nor what a handler
// has sent.
func TestForwardStaysInOrder(t *testing.T) {
	for _, slow := range []time.Duration{0, 500 * time.Microsecond, 3 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			site, layer := site(t, socket{
				Groups: []string{"room"},
				Messages: []consumers.Handler[none]{consumers.On(ticked, func(_ *none, ctx context.Context, c *consumers.Conn, v note) error {
					rest(ctx, slow)
					return c.SendJSON(ctx, v)
				})},
				Forward: consumers.Types(noted),
			}.App())
			ws := site.Dial("/")
			const n = 90 // within the capacity
			for i := range n {
				m := noted.With(note{N: i})
				if i%3 == 0 {
					m = ticked.With(note{N: i})
				}
				if err := layer.GroupSend(t.Context(), "room", m); err != nil {
					t.Fatal(err)
				}
			}
			for i := range n {
				ws.ExpectJSON(note{N: i})
			}
			ws.Disconnect()
		})
	}
}

// TestRenderFails: an error or a panic drops the message and counts it, once for each member; the connections go on.
func TestRenderFails(t *testing.T) {
	for name, render := range map[string]func(note) (asgi.Frame, error){
		"error": func(v note) (asgi.Frame, error) { return asgi.TextFrame(v.Text), failed(v) },
		"panic": func(v note) (asgi.Frame, error) {
			if err := failed(v); err != nil {
				panic(err)
			}
			return asgi.TextFrame(v.Text), nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				site, layer := site(t, socket{Groups: []string{"room"}, Forward: []consumers.Forwarder{consumers.Render(noted, render)}}.App())
				a, b := site.Dial("/"), site.Dial("/")
				for _, text := range []string{"bad", "good"} {
					if err := layer.GroupSend(t.Context(), "room", noted.With(note{Text: text})); err != nil {
						t.Fatal(err)
					}
				}
				a.ExpectText("good")
				b.ExpectText("good")
				if n := layer.Stats().Dropped[layers.DropInvalid]; n != 2 {
					t.Errorf("%d messages were counted as dropped, want 2", n)
				}
				a.Disconnect()
				b.Disconnect()
			})
		})
	}
}

func failed(v note) error {
	if v.Text == "bad" {
		return errors.New("cannot be shown")
	}
	return nil
}

// TestForwardOfWhatJSONCannotSay: L17, NaN and infinities pass the layer, but Forward drops and counts them.
func TestForwardOfWhatJSONCannotSay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site, layer := site(t, socket{Groups: []string{"room"}, Forward: consumers.Types(measuredType)}.App())
		ws := site.Dial("/")
		for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), 1.5} {
			if err := layer.GroupSend(t.Context(), "room", measuredType.With(map[string]float64{"v": v})); err != nil {
				t.Fatalf("L17 broken: group send of %v: %v", v, err)
			}
		}
		ws.ExpectText(`{"v":1.5}`)
		if n := layer.Stats().Dropped[layers.DropInvalid]; n != 3 {
			t.Errorf("L17 broken: %d messages were counted as dropped, want 3", n)
		}
		ws.Disconnect()
	})
}

// TestForwardWhenFull: a client whose queue is full gets what waits in the mailbox when it reads again, in order; what
// the mailbox has no room for is dropped and counted, and nobody else waits.
func TestForwardWhenFull(t *testing.T) {
	render := func(v note) (asgi.Frame, error) { return asgi.TextFrame(v.Text), nil }
	for name, list := range map[string][]consumers.Forwarder{
		"types":  consumers.Types(noted),
		"render": {consumers.Render(noted, render)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				site, layer := site(t, socket{Groups: []string{"room"}, Forward: list}.App())
				site = site.With(&asgitest.Options{Queue: 2 << 10, WriteTimeout: time.Hour})
				ws := site.Dial("/")
				begun := time.Now()
				const n = 300
				for i := range n {
					if err := layer.GroupSend(t.Context(), "room", noted.With(note{Text: number(i)})); err != nil {
						t.Fatal(err)
					}
				}
				if d := time.Since(begun); d != 0 {
					t.Errorf("the sender waited %v", d)
				}
				rest(t.Context(), time.Second)
				dropped := int(layer.Stats().Dropped[layers.DropFull])
				if want := n - dropped; want <= 100 || want > 130 {
					t.Errorf("%d of %d messages are kept, want the capacity of 100 and what fits into the server's queue", want, n)
				}
				last := -1 // there may be a gap: what was taken from the mailbox made room for a later one
				for range n - dropped {
					text := ws.ReceiveText()
					i, err := strconv.Atoi(digits.FindString(text))
					if err != nil || i <= last {
						t.Fatalf("after message %d came %q", last, text)
					}
					last = i
				}
				ws.ExpectNothing()
				ws.Disconnect()
			})
		})
	}
}

// TestForwardIsHeldWithItsFrame: C9, what waits for a client that does not read is counted as all that it holds: the
// message and its payload, the frame and the form that is prepared of it.
func TestForwardIsHeldWithItsFrame(t *testing.T) {
	const size, bound = 64 << 10, 2 << 20
	draw := func(n int) []consumers.Forwarder {
		return []consumers.Forwarder{consumers.Render(noted, func(note) (asgi.Frame, error) { return asgi.BinaryFrame(make([]byte, n)), nil })}
	}
	large := strings.Repeat("x", size)
	for _, c := range []struct {
		name string
		text string
		list []consumers.Forwarder
		held int // by each
	}{
		{"large frames of small messages", "", draw(size), 2 * size},
		{"small frames of large messages", large, draw(1), 2 * size},
		{"large frames of large messages", large, consumers.Types(noted), 4 * size},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				site, layer := site(t, socket{Groups: []string{"room"}, Forward: c.list}.App())
				ws := site.With(&asgitest.Options{Queue: 1, WriteTimeout: -1}).Dial("/") // room for one, whatever its size
				const n = 90                                                             // within the capacity
				for range n {
					if err := layer.GroupSend(t.Context(), "room", noted.With(note{Text: c.text})); err != nil {
						t.Fatal(err)
					}
				}
				kept := n - int(layer.Stats().Dropped[layers.DropFull])
				if want := 1 + bound/c.held; kept > want || kept < want-1 { // names and numbers take a little, too
					t.Errorf("C9 broken: %d messages that hold %d bytes each are kept, want %d: one in the queue, and 2 MiB in the mailbox", kept, c.held, want)
				}
				ws.Drop()
				_ = ws.Wait()
			})
		})
	}
}

// number is a text of 100 bytes, and digits finds it.
func number(i int) string { return fmt.Sprintf("%0100d", i) }

var digits = regexp.MustCompile("[0-9]{100}")

// TestForwardOfAFailingServer: what stands between consumer and server may fail or panic on the sender's goroutine;
// that ends the connection, and the sender hears nothing of it.
func TestForwardOfAFailingServer(t *testing.T) {
	for name, fail := range map[string]func() error{
		"error": func() error { return errors.New("boom") },
		"panic": func() error { panic("boom") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				broken := func(next asgi.App) asgi.App {
					return asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
						return next.Serve(ctx, scope, receive, func(ctx context.Context, ev asgi.Event) error {
							if _, ok := ev.(asgi.WebSocketSend); ok {
								return fail()
							}
							return send(ctx, ev)
						})
					})
				}
				site, layer := site(t, asgi.Wrap(socket{Groups: []string{"room"}, Forward: consumers.Types(noted)}.App(), broken))
				ws := site.Dial("/")
				if err := layer.GroupSend(t.Context(), "room", noted.With(note{})); err != nil {
					t.Errorf("the sender was told %v", err)
				}
				ws.ExpectClose(1011, "")
				if err := ws.Wait(); err == nil || !strings.Contains(err.Error(), "boom") {
					t.Errorf("Serve returned %v", err)
				}
				if n := layer.Stats().Dropped[layers.DropPanic]; n != 0 {
					t.Error("the panic reached the layer")
				}
			})
		})
	}
}

// TestPayloadType: a Type is a PayloadType whatever its payload.
func TestPayloadType(t *testing.T) {
	for _, p := range []consumers.PayloadType{noted, measuredType} {
		if _, err := p.JSON(ticked.With(note{})); err == nil {
			t.Errorf("%s made JSON of a message of another type", p)
		}
	}
	data, err := noted.JSON(noted.With(note{N: 1}))
	if err != nil || !json.Valid(data) {
		t.Errorf("%s, %v", data, err)
	}
}
