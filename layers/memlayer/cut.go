package memlayer

import (
	"errors"
	"fmt"

	"github.com/tideway-go/tideway/layers"
)

// Cut plays a lost connection between one layer and the bus, for tests: its channels get layers.Down, its sends and
// joins fail with an error that tells cause, sends to its channels are layers.ErrUncertain, and group messages
// pass it by. Its channels stay open. Cutting twice is cutting once; a layer of another bus panics.
func (b *Bus) Cut(l *layers.Layer, cause error) {
	n := b.node(l)
	if cause == nil {
		cause = errors.New("memlayer: the layer is cut off from its bus")
	}
	if n.outage.CompareAndSwap(nil, &cause) {
		n.local.DeliverAll(n.host.Outage(cause))
	}
}

// Mend ends what Cut began: everything flows again, with the memberships as they were, and the layer's channels get
// layers.Up.
func (b *Bus) Mend(l *layers.Layer) {
	n := b.node(l)
	if n.outage.Swap(nil) != nil {
		n.local.DeliverAll(n.host.Outage(nil))
		n.bus.jobs.dispatchAll()
	}
}

func (b *Bus) node(l *layers.Layer) *node {
	for _, n := range b.all() {
		if n.layer == l {
			return n
		}
	}
	panic("memlayer: the layer is not of this bus, or is closed")
}

// cut is why a node cannot reach the bus, or nil.
func (n *node) cut() error {
	if cause := n.outage.Load(); cause != nil {
		return fmt.Errorf("cut off from the bus: %w", *cause)
	}
	return nil
}
