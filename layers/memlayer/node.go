package memlayer

import (
	"context"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/driver"
)

// node is the driver of one layer of a bus.
type node struct {
	bus    *Bus
	layer  *layers.Layer
	names  *driver.Namer
	local  *driver.Local
	host   driver.Host
	limits driver.Limits
	outage atomic.Pointer[error] // why the node is cut off; nil while it is not
	closed bool                  // guarded by the lock of the bus's jobs
}

var (
	_ driver.Starter = (*node)(nil)
	_ driver.Groups  = (*node)(nil)
	_ driver.Queues  = (*node)(nil)
	_ driver.Jobs    = (*node)(nil)
	_ driver.Flusher = (*node)(nil)
)

// Start implements driver.Starter.
func (n *node) Start(h driver.Host, l driver.Limits) {
	n.host, n.limits, n.local = h, l, driver.NewLocal(h)
}

// Open implements driver.Driver.
func (n *node) Open(_ context.Context, in driver.Inbox) (string, error) {
	channel := n.names.Next()
	n.local.Open(channel, in)
	return channel, nil
}

// Shut implements driver.Driver.
func (n *node) Shut(_ context.Context, channel string) error {
	n.local.Shut(channel)
	return nil
}

// Send implements driver.Driver.
func (n *node) Send(_ context.Context, channel string, m *driver.Message) error {
	if err := n.cut(); err != nil {
		return err
	}
	if !strings.Contains(channel, "!") {
		if limits, ok := n.limits.Durable(channel); ok {
			return n.bus.jobs.put(n, channel, m, limits)
		}
		return n.bus.queues.put(n, channel, m)
	}
	owner := n.bus.owner(channel)
	switch {
	case owner == nil:
		return driver.ErrNoChannel
	case owner == n:
		return n.local.Deliver(channel, m)
	case owner.cut() != nil:
		return driver.ErrUncertain
	}
	if m, ok := owner.arrive(channel, m); ok {
		return owner.local.Deliver(channel, m)
	}
	return nil
}

// arrive is a message of another node as this one reads it from the bus: only bytes pass between processes.
func (n *node) arrive(channel string, m *driver.Message) (*driver.Message, bool) {
	return n.host.Message(channel, m.Data(), time.Time{})
}

// Close implements driver.Driver.
func (n *node) Close(context.Context) error {
	n.bus.remove(n)
	n.bus.queues.release(n)
	n.bus.jobs.release(n)
	return nil
}

// Flush implements driver.Flusher.
func (n *node) Flush(context.Context) error {
	if err := n.cut(); err != nil {
		return err
	}
	n.bus.queues.flush()
	n.bus.jobs.flush()
	for _, x := range n.bus.all() {
		x.local.Flush()
	}
	return nil
}
