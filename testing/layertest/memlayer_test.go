package layertest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/memlayer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestMemlayer runs the suite on memory: one layer of its own, and three over one bus.
func TestMemlayer(t *testing.T) {
	Run(t, memory())
}

// TestRealTime runs the checks outside a bubble, as for a backend with a network, but for those that wait for the clock.
func TestRealTime(t *testing.T) {
	h := memory()
	h.Bubble = false
	for _, r := range rules {
		r.checks = slices.DeleteFunc(slices.Clone(r.checks), func(c check) bool { return c.clock })
		t.Run(r.name(), func(t *testing.T) { runRule(t, h, &r) })
	}
}

// memory is memlayer's harness. Its broker is a bus of each cluster's own.
func memory() Harness {
	var buses sync.Map // from *layers.Layer to *memlayer.Bus
	busOf := func(l *layers.Layer) *memlayer.Bus {
		bus, _ := buses.Load(l)
		return bus.(*memlayer.Bus)
	}
	return Harness{
		Bubble: true,
		New: func(tb testing.TB, opts layers.Options, n int) []*layers.Layer {
			bus := memlayer.NewBus(&opts)
			var all []*layers.Layer
			for range n {
				l := bus.Layer()
				if n == 1 {
					l = memlayer.New(&opts) // alone, it shares nothing
				}
				buses.Store(l, bus)
				all = append(all, l)
				tb.Cleanup(func() {
					buses.Delete(l)
					if err := l.Close(context.Background()); err != nil {
						tb.Errorf("closing a layer: %v", err)
					}
				})
			}
			return all
		},
		Break: func(_ testing.TB, l *layers.Layer) { busOf(l).Cut(l, errors.New("the bus is gone")) },
		Mend:  func(_ testing.TB, l *layers.Layer) { busOf(l).Mend(l) },
		// A process in memory cannot die alone. What others see of a dead one is that it is gone.
		Crash: func(tb testing.TB, l *layers.Layer) {
			if err := l.Close(context.Background()); err != nil {
				tb.Errorf("crashing a layer: %v", err)
			}
		},
	}
}
