package memlayer

import (
	"sync"

	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/driver"
)

// Bus connects several layers of this process as a broker connects processes. It is safe for concurrent use.
type Bus struct {
	opts layers.Options

	mu    sync.RWMutex // guards nodes; not held while a message is delivered
	nodes []*node      // replaced, not changed: senders walk it without the lock

	queues queues
}

// NewBus makes a bus. All its layers have the same options; nil are the defaults.
func NewBus(opts *layers.Options) *Bus {
	b := &Bus{}
	if opts != nil {
		b.opts = *opts
	}
	return b
}

// Layer joins a new layer to the bus: one more process. Close it to let it leave.
func (b *Bus) Layer() *layers.Layer {
	n := &node{bus: b, names: driver.NewNamer()}
	l := layers.New(n, &b.opts)
	n.layer = l
	b.mu.Lock()
	defer b.mu.Unlock()
	b.nodes = append(b.nodes[:len(b.nodes):len(b.nodes)], n)
	return l
}

// all are the nodes at this moment.
func (b *Bus) all() []*node {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.nodes
}

func (b *Bus) remove(n *node) {
	b.mu.Lock()
	defer b.mu.Unlock()
	left := make([]*node, 0, len(b.nodes))
	for _, x := range b.nodes {
		if x != n {
			left = append(left, x)
		}
	}
	b.nodes = left
}

// owner is the node whose process a channel's name tells, or nil.
func (b *Bus) owner(channel string) *node {
	process, _ := driver.Owner(channel)
	for _, n := range b.all() {
		if n.names.Process() == process {
			return n
		}
	}
	return nil
}
