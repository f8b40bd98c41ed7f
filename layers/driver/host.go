package driver

import "time"

// Host is the layer above a driver. Its methods may be called from any goroutine, never with a lock held that
// another method of the driver takes: they may call an application's code.
type Host interface {
	// Message reads a message that arrived from outside this process: a msgpack map with a "type", without the
	// reserved field. sent is the sender's stamp where the format has one, else zero, which means now. data must
	// not change afterwards. A message that no one can read, or that is larger than the limit, is counted and reported
	// by the host, and ok is false: the driver drops it and goes on.
	Message(channel string, data []byte, sent time.Time) (m *Message, ok bool)

	// Dropped counts and reports a message that a member of a group, or a queue, did not get: cause is [ErrFull],
	// [ErrExpired] or what the inbox returned. group is empty for a direct message.
	Dropped(channel, group string, m *Message, cause error)

	// Delivered counts messages that inboxes and queues took.
	Delivered(n int)

	// GroupDelivered counts, instead of Delivered, those that came to them as members of a group.
	GroupDelivered(n int)

	// Outage makes the message that tells local channels that the connection to the broker is lost (cause is not
	// nil) or back (nil). The driver hands it to all of them ([Local.DeliverAll]), once per outage.
	Outage(cause error) *Message
}

// Limits are the layer's settings that a backend needs for what it stores itself.
type Limits struct {
	Expiry         time.Duration            // a message unread for longer is dropped
	MaxMessageSize int                      // bytes; sends are checked already
	Capacity       func(channel string) int // by the layer's patterns, at least 1

	// Durable tells what was declared for a queue; ok is false for queues that are not durable.
	Durable func(queue string) (d Durable, ok bool)
}
