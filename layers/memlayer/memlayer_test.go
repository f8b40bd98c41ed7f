package memlayer_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/memlayer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type text struct {
	Text string `json:"text"`
}

const note layers.Type[text] = "test.note"

// bed is a layer in a bubble, and words to test it with.
type bed struct {
	*testing.T
	*layers.Layer
}

// test runs f in a synctest bubble with a new layer.
func test(t *testing.T, opts *layers.Options, f func(b bed)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(bed{t, memlayer.New(opts)}) })
}

// on is the same bed with another layer.
func (b bed) on(l *layers.Layer) bed { return bed{b.T, l} }

func (b bed) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (b bed) channel() string {
	b.Helper()
	ch, err := b.NewChannel(b.Context())
	b.must(err)
	return ch
}

func (b bed) send(channel string, texts ...string) {
	b.Helper()
	for _, s := range texts {
		b.must(b.Layer.Send(b.Context(), channel, note.With(text{s})))
	}
}

func (b bed) full(channel string) {
	b.Helper()
	if err := b.Layer.Send(b.Context(), channel, note.With(text{"too much"})); !errors.Is(err, layers.ErrChannelFull) {
		b.Fatalf("L5: send to a full channel: %v", err)
	}
}

func (b bed) groupSend(group string, texts ...string) {
	b.Helper()
	for _, s := range texts {
		b.must(b.GroupSend(b.Context(), group, note.With(text{s})))
	}
}

func (b bed) join(group string, channels ...string) {
	b.Helper()
	for _, ch := range channels {
		b.must(b.GroupAdd(b.Context(), group, ch))
	}
}

func (b bed) leave(group string, channels ...string) {
	b.Helper()
	for _, ch := range channels {
		b.must(b.GroupDiscard(b.Context(), group, ch))
	}
}

// wait passes d of the bubble's time.
func (b bed) wait(d time.Duration) { <-time.After(d) }

// want receives and demands these texts in this order.
func (b bed) want(channel string, texts ...string) {
	b.Helper()
	for _, want := range texts {
		ctx, cancel := context.WithTimeout(b.Context(), 10*time.Millisecond)
		m, err := b.Receive(ctx, channel)
		cancel()
		if err != nil {
			b.Fatalf("receive: %v, want %q", err, want)
		}
		if got, err := note.Decode(m); err != nil || got.Text != want {
			b.Fatalf("got %q, %v, want %q", got.Text, err, want)
		}
	}
}

// empty demands that a marker sent now is the next message.
func (b bed) empty(channels ...string) {
	b.Helper()
	for _, ch := range channels {
		b.send(ch, "marker")
		b.want(ch, "marker")
	}
}

// Cases 1, 2, 3.
func TestSendAndReceive(t *testing.T) {
	test(t, nil, func(b bed) {
		for _, ch := range []string{"queue", b.channel()} {
			b.send(ch, "1", "2", "3")
			b.want(ch, "1", "2", "3")
			b.must(b.Layer.Send(b.Context(), ch, layers.Type[map[string]any]("t.m").With(map[string]any{"a": 1})))
			m, err := b.Receive(b.Context(), ch)
			b.must(err)
			fields, err := m.Fields()
			if err != nil || m.Type() != "t.m" || len(fields) != 1 || fields["a"] != int64(1) {
				b.Fatalf("cases 1, 3: got %q %v, %v", m.Type(), fields, err)
			}
		}
		if s := b.Stats(); s.Sent != 8 || s.Delivered != 8 || s.Received != 8 || len(s.Dropped) != 0 {
			b.Errorf("stats %+v", s)
		}
	})
}

// TestLayerOfSeveralBubbles holds that a layer made outside works in one bubble after the other.
func TestLayerOfSeveralBubbles(t *testing.T) {
	l := memlayer.New(nil)
	for range 2 {
		synctest.Test(t, func(t *testing.T) {
			b := bed{t, l}
			ch := b.channel()
			b.join("g", ch, "queue")
			b.groupSend("g", "1")
			b.want(ch, "1")
			b.want("queue", "1")
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, err := l.Receive(ctx, "queue"); err != context.DeadlineExceeded {
				t.Errorf("waiting for nothing: %v", err)
			}
			b.leave("g", "queue")
			b.must(l.EndChannel(t.Context(), ch))
		})
	}
}

// Cases 5, 82.
func TestReceiveFromForeignChannel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := memlayer.NewBus(nil)
		a, b := bed{t, bus.Layer()}, bed{t, bus.Layer()}
		ch := a.channel()
		for _, name := range []string{ch, "unknown!x", "x!"} {
			if _, err := b.Receive(t.Context(), name); err == nil || !errors.Is(err, layers.ErrNoChannel) {
				t.Errorf("case 5, 82: Receive(%q): %v", name, err)
			}
		}
		a.send(ch, "still there")
		a.want(ch, "still there")
	})
}

// Case 12.
func TestUniqueChannels(t *testing.T) {
	test(t, nil, func(b bed) {
		bus := memlayer.NewBus(nil)
		seen := map[string]bool{}
		for range 10 {
			on := b.on(bus.Layer())
			for range 100 {
				ch := on.channel()
				if seen[ch] {
					b.Fatalf("L2, case 12: %s twice", ch)
				}
				seen[ch] = true
			}
		}
	})
}

// Cases 30, 31.
func TestCancelledReceive(t *testing.T) {
	test(t, nil, func(b bed) {
		channels := []string{"queue", b.channel()}
		for i := range 11 {
			for _, ch := range channels {
				ctx, cancel := context.WithTimeout(b.Context(), time.Duration(i)*time.Millisecond)
				got := make(chan string, 1)
				go func() {
					defer close(got)
					if m, err := b.Receive(ctx, ch); err == nil {
						v, _ := note.Decode(m)
						got <- v.Text
					} else if !errors.Is(err, context.DeadlineExceeded) {
						b.Errorf("cancelled Receive: %v", err)
					}
				}()
				b.wait(5 * time.Millisecond)
				b.send(ch, fmt.Sprint(i))
				if s, ok := <-got; ok && s != fmt.Sprint(i) {
					b.Fatalf("got %q", s)
				} else if !ok {
					b.want(ch, fmt.Sprint(i)) // case 30: it is not lost
				}
				cancel()
				b.empty(ch)
			}
		}
		ctx, cancel := context.WithCancel(b.Context())
		cancel()
		b.send("queue", "kept")
		if _, err := b.Receive(ctx, "queue"); err != context.Canceled {
			b.Errorf("Receive with an ended ctx: %v", err)
		}
		b.want("queue", "kept")
	})
}

// Cases 38, 39.
func TestManyReceivers(t *testing.T) {
	test(t, nil, func(b bed) {
		var names []string
		got := make(chan string, 20)
		for range 10 {
			ch := b.channel()
			names = append(names, ch)
			go func() {
				m, err := b.Receive(b.Context(), ch)
				v, _ := note.Decode(m)
				if err != nil || v.Text != ch {
					b.Errorf("got %q, %v", v.Text, err)
				}
				got <- ch
			}()
		}
		synctest.Wait()
		for _, ch := range names {
			b.send(ch, ch)
		}
		for range names {
			<-got
		}
	})
}

// TestWaitingReceivers holds that receivers of one queue are served in turn, each message once.
func TestWaitingReceivers(t *testing.T) {
	test(t, nil, func(b bed) {
		type result struct{ receiver, text string }
		got := make(chan result, 3)
		for _, name := range []string{"first", "second", "third"} {
			go func() {
				m, err := b.Receive(b.Context(), "queue")
				v, _ := note.Decode(m)
				if err != nil {
					b.Error(err)
				}
				got <- result{name, v.Text}
			}()
			synctest.Wait()
		}
		for _, want := range []string{"first", "second", "third"} {
			b.send("queue", want)
			if r := <-got; r.receiver != want || r.text != want {
				b.Errorf("L11: %s got %s, want %s", r.receiver, r.text, want)
			}
		}
		b.empty("queue")
	})
}

// Case 6 and 35.
func TestFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := memlayer.NewBus(nil)
		b, other := bed{t, bus.Layer()}, bed{t, bus.Layer()}
		ch, foreign := b.channel(), other.channel()
		b.join("g", ch, foreign, "queue")
		b.send(ch, "1")
		b.send(foreign, "1")
		b.send("queue", "1")
		waiting := make(chan string)
		go func() {
			m, err := b.Receive(t.Context(), "waited")
			if err != nil {
				t.Error(err)
			}
			v, _ := note.Decode(m)
			waiting <- v.Text
		}()
		synctest.Wait()
		b.must(b.Flush(t.Context()))
		b.groupSend("g", "2")
		b.empty(ch, "queue")
		other.empty(foreign)
		b.send("waited", "3")
		if s := <-waiting; s != "3" {
			t.Errorf("case 6: the waiter got %q", s)
		}
		b.join("g", ch)
		b.groupSend("g", "4")
		b.want(ch, "4")
	})
}

// Case 54: what a process that is gone held is gone.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := memlayer.NewBus(nil)
		b, other := bed{t, bus.Layer()}, bed{t, bus.Layer()}
		ch := b.channel()
		b.join("g", ch, "queue")
		waiting := make(chan error, 2)
		for _, name := range []string{ch, "queue"} {
			go func() {
				_, err := b.Receive(t.Context(), name)
				waiting <- err
			}()
		}
		synctest.Wait()
		b.must(b.Close(t.Context()))
		b.must(b.Close(t.Context()))
		for range 2 {
			if err := <-waiting; !errors.Is(err, layers.ErrClosed) {
				t.Errorf("L16: a waiting Receive: %v", err)
			}
		}
		_, newErr := b.NewChannel(t.Context())
		_, listenErr := b.Listen(t.Context(), nil)
		_, receiveErr := b.Receive(t.Context(), "queue")
		for op, err := range map[string]error{
			"NewChannel": newErr, "Listen": listenErr, "Receive": receiveErr,
			"Send": b.Layer.Send(t.Context(), "queue", note.With(text{})), "GroupSend": b.GroupSend(t.Context(), "g", note.With(text{})),
			"GroupAdd": b.GroupAdd(t.Context(), "g", ch), "GroupDiscard": b.GroupDiscard(t.Context(), "g", ch),
			"EndChannel": b.EndChannel(t.Context(), ch), "Flush": b.Flush(t.Context()), "Require": b.Require(t.Context()),
		} {
			if !errors.Is(err, layers.ErrClosed) {
				t.Errorf("L16: %s after Close: %v", op, err)
			}
		}
		if err := other.Layer.Send(t.Context(), ch, note.With(text{})); !errors.Is(err, layers.ErrNoChannel) {
			t.Errorf("L12: to a channel of a closed layer: %v", err)
		}
		other.groupSend("g", "1")
		other.empty("queue") // L10: memberships end with their process
	})
}
