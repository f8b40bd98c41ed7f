package layertest_test

import (
	"context"
	"errors"
	"testing"

	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/memlayer"
	"github.com/tideway-go/tideway/testing/layertest"
)

// The whole test of a backend: a harness and one call. The functions share what they know of each layer in a value
// of the test's own, here a bus that plays the broker.
func ExampleRun() {
	_ = func(t *testing.T) { // func TestPromises(t *testing.T) in the backend's package
		harness := layertest.Harness{Bubble: true} // in memory, so time is free; a network backend leaves it out
		var bus *memlayer.Bus

		harness.New = func(tb testing.TB, opts layers.Options, n int) []*layers.Layer {
			bus = memlayer.NewBus(&opts) // a broker that nobody else uses
			all := make([]*layers.Layer, n)
			for i := range all {
				all[i] = bus.Layer()
				tb.Cleanup(func() { _ = all[i].Close(context.Background()) })
			}
			return all
		}
		harness.Break = func(_ testing.TB, l *layers.Layer) { bus.Cut(l, errors.New("cable pulled")) }
		harness.Mend = func(_ testing.TB, l *layers.Layer) { bus.Mend(l) }
		harness.Crash = func(_ testing.TB, l *layers.Layer) { _ = l.Close(context.Background()) }

		layertest.Run(t, harness)
	}
}

// What a backend cannot promise is named, and the suite then demands what is left: here a queue must be an error that
// matches errors.ErrUnsupported, and a send to nowhere may be nil but no other error.
func ExampleExceptions() {
	harness := layertest.Harness{
		Exceptions: layertest.Exceptions{NoQueues: true, NoErrNoChannel: true},
	}
	_ = harness
}
