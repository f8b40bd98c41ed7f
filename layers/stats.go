package layers

import (
	"sync"
	"sync/atomic"
)

// Stats are a layer's counters since it was made. They only grow.
type Stats struct {
	Sent      uint64 // messages that Send took
	GroupSent uint64 // messages that GroupSend took, each once whatever the number of members
	Refused   uint64 // Sends that returned ErrChannelFull
	Delivered uint64 // messages that channels of this process, and queues it stores to, took
	Received  uint64 // messages that Receive returned, and jobs that Take did, each time they were taken

	// GroupDelivered are those of Delivered that were sent to a group: one for each member. Over all processes, what it has
	// grown by for each message of GroupSent is the fan-out.
	GroupDelivered uint64

	Dropped map[DropReason]uint64 // see [Drop]; only reasons that occurred
}

type counters struct {
	sent, groupSent, refused, delivered, received atomic.Uint64

	groupDelivered atomic.Uint64 // delivered does not have these: nothing is counted twice on its way

	mu      sync.Mutex
	dropped map[DropReason]uint64
}

func (c *counters) drop(r DropReason) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dropped == nil {
		c.dropped = make(map[DropReason]uint64)
	}
	c.dropped[r]++
}

// Stats returns the counters; zero for a nil layer. It works after Close too.
func (l *Layer) Stats() Stats {
	if l == nil {
		return Stats{}
	}
	c := &l.count
	s := Stats{
		Sent:           c.sent.Load(),
		GroupSent:      c.groupSent.Load(),
		Refused:        c.refused.Load(),
		Received:       c.received.Load(),
		GroupDelivered: c.groupDelivered.Load(),
		Dropped:        make(map[DropReason]uint64),
	}
	s.Delivered = c.delivered.Load() + s.GroupDelivered
	c.mu.Lock()
	defer c.mu.Unlock()
	for r, n := range c.dropped {
		s.Dropped[r] = n
	}
	return s
}
