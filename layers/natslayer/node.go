package natslayer

import (
	"context"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"github.com/tideway-go/tideway/layers/driver"
)

// node is the driver of one layer: one process, as far as the broker can tell.
type node struct {
	nc    *nats.Conn
	owned bool // Close closes nc
	opts  Options
	log   *zap.Logger

	names    *driver.Namer
	subjects *subjects

	// What follows is there from Start on.
	host   driver.Host
	limits driver.Limits
	local  *driver.Local
	store  *store
}

var (
	_ driver.Driver  = (*node)(nil)
	_ driver.Starter = (*node)(nil)
	_ driver.Groups  = (*node)(nil)
	_ driver.Queues  = (*node)(nil)
	_ driver.Jobs    = (*node)(nil)
	_ driver.Flusher = (*node)(nil)
	_ driver.Limited = (*node)(nil)
)

// answerTime bounds every wait for an answer: of another process, or of the broker.
const answerTime = 2 * time.Second

func newNode(nc *nats.Conn, o Options) *node {
	names := driver.NewNamer()
	return &node{nc: nc, opts: o, log: o.Logger, names: names, subjects: newSubjects(o.Prefix, names.Process())}
}

// Start implements driver.Starter.
func (n *node) Start(h driver.Host, l driver.Limits) {
	n.host, n.limits, n.local = h, l, driver.NewLocal(h)
	n.store = newStore(n.nc, n.opts, n.subjects, h, l)
}

// isQueue says that a channel belongs to no process.
func isQueue(channel string) bool { return !strings.Contains(channel, "!") }

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
func (n *node) Send(ctx context.Context, channel string, m *driver.Message) error {
	if isQueue(channel) {
		return n.store.send(ctx, channel, m)
	}
	return driver.ErrNoChannel
}

// Receive implements driver.Queues.
func (n *node) Receive(ctx context.Context, queue string) (*driver.Message, error) {
	return n.store.receive(ctx, queue)
}

// Take implements driver.Jobs.
func (n *node) Take(ctx context.Context, queue string) (driver.Job, error) {
	return n.store.take(ctx, queue)
}

// Lacks implements driver.Limited: queues need JetStream.
func (n *node) Lacks(ctx context.Context, f driver.Feature) error {
	if f == driver.FeatureQueues || f == driver.FeatureJobs {
		return n.store.lacks(ctx)
	}
	return nil
}

// GroupAdd implements driver.Groups.
func (n *node) GroupAdd(ctx context.Context, group, channel string) error {
	if isQueue(channel) {
		return n.store.join(ctx, group, channel)
	}
	return driver.ErrNoChannel
}

// GroupDiscard implements driver.Groups.
func (n *node) GroupDiscard(ctx context.Context, group, channel string) error {
	if isQueue(channel) {
		return n.store.leave(ctx, group, channel)
	}
	return nil
}

// GroupSend implements driver.Groups.
func (n *node) GroupSend(_ context.Context, group string, m *driver.Message) error {
	return n.nc.Publish(n.subjects.group(group), m.Data())
}

// Flush implements driver.Flusher.
func (n *node) Flush(ctx context.Context) error { return n.store.flush(ctx) }

// Close implements driver.Driver.
func (n *node) Close(ctx context.Context) error { return n.store.close(ctx) }
