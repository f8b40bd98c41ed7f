package natslayer

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"github.com/tideway-go/tideway/layers/driver"
)

// node is the driver of one layer: one process, as far as the broker can tell.
type node struct {
	nc     *nats.Conn
	dialer *dialer // of a connection of the layer's own, which Close closes; nil for the application's
	opts   Options
	log    *zap.Logger

	names    *driver.Namer
	subjects *subjects

	// What follows is there from Start on.
	host   driver.Host
	limits driver.Limits
	local  *driver.Local
	store  *store

	in       chan *nats.Msg // all that arrives for channels and groups, and marks
	requests chan *nats.Msg // what other processes ask of this one
	fixed    []*nats.Subscription
	groups   groupTable
	marks    marks
	idle     idleTable
	linger   time.Duration
	news     time.Duration
	overflow overflow
	link     link
	outbox   outbox
	unsent   atomic.Int64 // messages published in the moment before an outage was noticed: the client keeps them

	life    context.Context // ends when Close begins to stop the goroutines
	end     context.CancelFunc
	events  chan nats.Status
	running sync.WaitGroup
	stopped chan struct{} // closed when nothing is delivered any more
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
	n := &node{
		nc:       nc,
		opts:     o,
		log:      o.Logger,
		names:    names,
		subjects: newSubjects(o.Prefix, names.Process()),
		in:       make(chan *nats.Msg, deliveryBound),
		requests: make(chan *nats.Msg, requestBound),
		linger:   lingerTime,
		news:     newsTime,
		stopped:  make(chan struct{}),
	}
	n.life, n.end = context.WithCancel(context.Background())
	n.idle.wake = make(chan struct{}, 1)
	n.overflow.wake = make(chan struct{}, 1)
	return n
}

// Start implements driver.Starter.
func (n *node) Start(h driver.Host, l driver.Limits) {
	n.host, n.limits, n.local = h, l, driver.NewLocal(h)
	n.store = newStore(n.nc, n.opts, n.subjects, h, l)
}

// isQueue says that a channel belongs to no process.
func isQueue(channel string) bool { return !strings.Contains(channel, "!") }

// Open implements driver.Driver. The subscription that serves all channels is there already.
func (n *node) Open(_ context.Context, in driver.Inbox) (string, error) {
	channel := n.names.Next()
	n.local.Open(channel, in)
	return channel, nil
}

// Shut implements driver.Driver. It needs no broker.
func (n *node) Shut(_ context.Context, channel string) error {
	left, _ := n.local.Shut(channel)
	for _, l := range left {
		if l.Last {
			n.idle.add(l.Group)
		}
	}
	return nil
}

// Send implements driver.Driver.
func (n *node) Send(ctx context.Context, channel string, m *driver.Message) error {
	if isQueue(channel) {
		return n.store.send(ctx, channel, m)
	}
	return n.sendDirect(ctx, channel, m)
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
	process, ok := driver.Owner(channel)
	switch {
	case !ok:
		return driver.ErrNoChannel
	case process == n.names.Process():
		return n.join(ctx, group, channel)
	default:
		return n.ask(ctx, process, askJoin, group, channel)
	}
}

// GroupDiscard implements driver.Groups.
func (n *node) GroupDiscard(ctx context.Context, group, channel string) error {
	if isQueue(channel) {
		return n.store.leave(ctx, group, channel)
	}
	process, ok := driver.Owner(channel)
	switch {
	case !ok:
		return nil
	case process == n.names.Process():
		n.leave(group, channel)
		return nil
	}
	err := n.ask(ctx, process, askLeave, group, channel)
	if err == driver.ErrNoChannel {
		return nil // it went, and its memberships with it
	}
	return err
}
