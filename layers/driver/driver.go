package driver

import "context"

// Driver moves messages for one layer, that is, for one process of an application. [layers.New] turns it into the
// *layers.Layer that applications hold.
//
// All methods are called concurrently. They obey ctx, and return ctx's error unwrapped. None waits for a mailbox: an
// [Inbox] never blocks.
type Driver interface {
	// Open makes a process-local channel whose messages go to in, and returns its name: unique across processes,
	// valid by the layer's rules, and by custom of the form "specific.<process>!<id>" (a [Namer] makes such names).
	// When it returns, any process can send to the channel.
	Open(ctx context.Context, in Inbox) (channel string, err error)

	// Shut ends a channel that Open returned, and its memberships. When it returns, no send that begins later
	// reaches the inbox; one that has begun may. A channel that is not open is no error. What can be done without
	// the broker is done also when ctx has ended.
	Shut(ctx context.Context, channel string) error

	// Send takes m to one channel, of this process, of another, or a queue. It returns [ErrFull] or [ErrNoChannel]
	// where the backend can know, and [ErrUncertain] where m may have arrived and the answer has not. Sends that
	// one goroutine makes, each begun after the last returned, reach one process-local channel in that order.
	Send(ctx context.Context, channel string, m *Message) error

	// Close sends what is buffered, within ctx, or says what it could not, and ends every goroutine and connection
	// that the driver owns. It is called once, and no call of another method begins after it; one that has begun
	// may return [ErrClosed].
	Close(ctx context.Context) error
}

// Starter is implemented by a driver that calls back: to read messages that come from a wire, to count, to tell of a
// lost connection. All but toys do.
type Starter interface {
	// Start is called once, by layers.New, before any other method.
	Start(h Host, l Limits)
}

// Groups is implemented by a driver that has groups.
type Groups interface {
	// GroupAdd makes channel, of any process or a queue, a member of group. A group send that happens after it
	// returned is offered to the channel. Adding twice is adding once. It returns [ErrNoChannel] where the
	// backend can know.
	GroupAdd(ctx context.Context, group, channel string) error

	// GroupDiscard ends a membership; a stranger's is no error.
	GroupDiscard(ctx context.Context, group, channel string) error

	// GroupSend takes m to every member. A full member is skipped and told to [Host.Dropped]; that and an empty
	// group are no errors. Order is as for Send, and holds between the two.
	GroupSend(ctx context.Context, group string, m *Message) error
}

// Queues is implemented by a driver whose channels without "!" can be received from: each message goes to at most
// one receiver, and waits for one up to expiry and capacity. Send stores to such a channel.
type Queues interface {
	// Receive waits for the next message of a queue. Any number may wait for one queue, in any process; the first
	// to wait is the first served within a process. A Receive that ends by ctx loses no message. It does not
	// return expired messages: it tells [Host.Dropped] of them.
	Receive(ctx context.Context, queue string) (*Message, error)
}

// Flusher is implemented by a driver that can drop all messages and memberships of its deployment (its prefix, its
// bus). Channels stay open, and waiting receivers wait on.
type Flusher interface {
	Flush(ctx context.Context) error
}

// Feature names an optional capability for [Limited].
type Feature string

// The features of this package's optional interfaces.
const (
	FeatureGroups Feature = "groups" // Groups
	FeatureQueues Feature = "queues" // Queues
	FeatureFlush  Feature = "flush"  // Flusher
	FeatureJobs   Feature = "jobs"   // Jobs
)

// Limited is implemented by a driver whose broker may lack what the driver's methods offer: NATS without JetStream
// has no queues. It lets an application find out at start.
type Limited interface {
	// Lacks returns an error that matches errors.ErrUnsupported and says what to change, or nil.
	Lacks(ctx context.Context, f Feature) error
}
