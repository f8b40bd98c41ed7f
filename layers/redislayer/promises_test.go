package redislayer_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/redislayer"
	"github.com/tideway-go/tideway/testing/layertest"
)

// open is Core or PubSub.
type open func(context.Context, *redislayer.Options) (*layers.Layer, error)

// end is a layer's end of its cable.
type end struct {
	*redislayer.Cable
	dead bool
}

// harness is the suite's view of a layer on so many hosts.
func harness(open open, hosts int, change func(*redislayer.Options)) layertest.Harness {
	var ends sync.Map // from *layers.Layer to *end
	endOf := func(l *layers.Layer) *end {
		e, _ := ends.Load(l)
		return e.(*end)
	}
	return layertest.Harness{
		New: func(tb testing.TB, opts layers.Options, n int) []*layers.Layer {
			tb.Helper()
			o := redislayer.Options{Options: opts, Prefix: redislayer.NewPrefix(), Logger: zap.NewNop()}
			if change != nil {
				change(&o)
			}
			var all []*layers.Layer
			for range n {
				e := &end{Cable: redislayer.NewCable(tb, hosts)}
				o.Hosts = e.URLs()
				l := e.layer(tb, open, &o)
				ends.Store(l, e)
				all = append(all, l)
			}
			return all
		},
		Break: func(_ testing.TB, l *layers.Layer) { endOf(l).Cut() },
		Mend:  func(_ testing.TB, l *layers.Layer) { endOf(l).Mend() },
		Crash: func(_ testing.TB, l *layers.Layer) { e := endOf(l); e.dead = true; e.Cut() },
	}
}

// layer makes a layer that lasts as long as the test.
func (e *end) layer(tb testing.TB, open open, o *redislayer.Options) *layers.Layer {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), redislayer.Patience)
	defer cancel()
	own := *o
	l, err := open(ctx, &own)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), redislayer.Patience)
		defer cancel()
		if err := l.Close(ctx); err != nil && !e.dead {
			tb.Errorf("closing a layer: %v", err)
		}
	})
	return l
}

// TestCore keeps the promises on one host.
func TestCore(t *testing.T) {
	h := harness(redislayer.Core, 1, func(o *redislayer.Options) { o.GroupExpiry = 4 * time.Second })
	h.Stay = 12 * time.Second
	h.Exceptions = layertest.Exceptions{FullUnseen: true, NoErrNoChannel: true, NoJobs: true}
	layertest.Run(t, h)
}

// TestPubSub keeps the promises on one host.
func TestPubSub(t *testing.T) {
	h := harness(redislayer.PubSub, 1, nil)
	h.Exceptions = layertest.Exceptions{FullUnseen: true, NoErrNoChannel: true, NoQueues: true, NoJobs: true}
	layertest.Run(t, h)
}

// TestCoreOnThreeHosts keeps the promises on three hosts, between whose queues there is no order.
func TestCoreOnThreeHosts(t *testing.T) {
	redislayer.Long(t)
	h := harness(redislayer.Core, 3, func(o *redislayer.Options) { o.Keys = []string{"new", "old"} })
	h.Exceptions = layertest.Exceptions{FullUnseen: true, NoErrNoChannel: true, NoJobs: true, Unordered: true}
	layertest.Run(t, h)
}

// TestPubSubOnThreeHosts keeps the promises on three hosts: a group and a channel of its may be on different ones.
func TestPubSubOnThreeHosts(t *testing.T) {
	redislayer.Long(t)
	h := harness(redislayer.PubSub, 3, func(o *redislayer.Options) { o.Keys = []string{"new", "old"} })
	h.Exceptions = layertest.Exceptions{FullUnseen: true, NoErrNoChannel: true, NoQueues: true, NoJobs: true, Unordered: true}
	layertest.Run(t, h)
}

// TestCoreJSON keeps the promises in the other format of channels_redis.
func TestCoreJSON(t *testing.T) {
	redislayer.Long(t)
	h := harness(redislayer.Core, 1, func(o *redislayer.Options) { o.Serializer = redislayer.JSON })
	h.Exceptions = layertest.Exceptions{FullUnseen: true, NoErrNoChannel: true, NoJobs: true, JSON: true}
	layertest.Run(t, h)
}

// TestPubSubJSON keeps the promises in the other format of channels_redis.
func TestPubSubJSON(t *testing.T) {
	redislayer.Long(t)
	h := harness(redislayer.PubSub, 1, func(o *redislayer.Options) { o.Serializer = redislayer.JSON })
	h.Exceptions = layertest.Exceptions{FullUnseen: true, NoErrNoChannel: true, NoQueues: true, NoJobs: true, JSON: true}
	layertest.Run(t, h)
}
