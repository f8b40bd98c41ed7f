package natstest_test

import (
	"errors"
	"slices"
	"testing"

	"go.uber.org/goleak"

	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/natslayer"
	"github.com/tideway-go/tideway/testing/natstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type order struct {
	Number int `json:"number"`
}

const placed layers.Type[order] = "order.placed"

func receive(t *testing.T, l *layers.Layer, channel string, want int) {
	t.Helper()
	m, err := l.Receive(t.Context(), channel)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := placed.Decode(m); err != nil || got.Number != want {
		t.Errorf("%s: got %v, %v, want %d", channel, got, err, want)
	}
}

// TestNew uses each kind of channel on servers that share nothing.
func TestNew(t *testing.T) {
	for range 4 {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			l := natstest.New(t)
			ch, err := l.NewChannel(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := l.GroupAdd(t.Context(), "orders", ch); err != nil {
				t.Fatal(err)
			}
			if err := l.GroupSend(t.Context(), "orders", placed.With(order{1})); err != nil {
				t.Fatal(err)
			}
			if err := l.Send(t.Context(), "jobs", placed.With(order{2})); err != nil {
				t.Fatal(err)
			}
			receive(t, l, ch, 1)
			receive(t, l, "jobs", 2)
		})
	}
}

// TestBroker holds that options reach the layers, that these are processes of their own, and that one of them may end.
func TestBroker(t *testing.T) {
	t.Parallel()
	b := natstest.NewBroker(t, &natslayer.Options{Options: layers.Options{Capacity: 1}, Prefix: "shop"})
	front, back := b.Layer(), b.Layer()
	ch, err := back.NewChannel(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := front.Receive(t.Context(), ch); err == nil {
		t.Error("a layer receives from the channel of another")
	}
	if err := front.Send(t.Context(), ch, placed.With(order{1})); err != nil {
		t.Fatal(err)
	}
	if err := front.Send(t.Context(), ch, placed.With(order{2})); !errors.Is(err, layers.ErrChannelFull) {
		t.Errorf("second message where there is room for one: %v", err)
	}
	receive(t, back, ch, 1)
	if err := back.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := front.Send(t.Context(), ch, placed.With(order{3})); !errors.Is(err, layers.ErrNoChannel) {
		t.Errorf("to a process that has ended: %v", err)
	}
	if !b.Server().Conn().IsConnected() {
		t.Error("the connection went with one of its layers")
	}
}

// A test in one line; with a Broker, two processes of a deployment.
func ExampleNew() {
	_ = func(t *testing.T) { // func TestOrders(t *testing.T)
		t.Parallel()
		layer := natstest.New(t)
		_ = layer.Send(t.Context(), "jobs", placed.With(order{1}))
	}
	_ = func(t *testing.T) { // func TestTwoProcesses(t *testing.T)
		t.Parallel()
		broker := natstest.NewBroker(t, &natslayer.Options{Options: layers.Options{Capacity: 10}})
		web, worker := broker.Layer(), broker.Layer()
		_ = web.Send(t.Context(), "jobs", placed.With(order{1}))
		_, _ = worker.Receive(t.Context(), "jobs")
	}
}

// BenchmarkNew is a test that only begins and ends.
func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		once := &test{TB: b}
		natstest.New(once)
		once.end()
	}
}

// A test is a testing.TB whose clean-up can be called.
type test struct {
	testing.TB
	cleanups []func()
}

func (t *test) Cleanup(f func()) { t.cleanups = append(t.cleanups, f) }

func (t *test) end() {
	for _, f := range slices.Backward(t.cleanups) {
		f()
	}
}
