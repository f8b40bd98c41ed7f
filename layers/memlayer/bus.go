package memlayer

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/driver"
)

// Bus connects several layers of this process as a broker connects processes. It is safe for concurrent use.
type Bus struct {
	opts layers.Options

	mu    sync.Mutex              // held to replace nodes
	nodes atomic.Pointer[[]*node] // replaced, not changed: senders walk it without a lock

	queues queues
	jobs   jobQueues
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
	nodes := append(slices.Clone(b.all()), n)
	b.nodes.Store(&nodes)
	return l
}

// all are the nodes at this moment.
func (b *Bus) all() []*node {
	if nodes := b.nodes.Load(); nodes != nil {
		return *nodes
	}
	return nil
}

func (b *Bus) remove(n *node) {
	b.mu.Lock()
	defer b.mu.Unlock()
	left := slices.DeleteFunc(slices.Clone(b.all()), func(x *node) bool { return x == n })
	b.nodes.Store(&left)
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
