package natslayer

import (
	"strconv"
	"time"
)

// standstill is what a pump knows of when its messages have arrived.
type standstill struct {
	looked time.Time // when it last looked at what has arrived
	since  time.Time // what it handles now has not arrived before
	fence  uint64    // the last message of the pump to itself
	fenced bool      // that is not back
	raised time.Time // when it was sent
}

// look notes when the pump looks at what has arrived, once every [pump.beat] at least. A job that it hands out is held from
// the last look, since the broker began to count in between. If the process stood still for longer (a stopped machine, a
// debugger), jobs that others have long had may lie in the socket: until a message of the pump to itself is back, all
// that arrives counts from before.
func (p *pump) look(now time.Time) {
	last := p.looked
	p.looked = now
	if !p.queue.shape.durable {
		return
	}
	switch {
	case !last.IsZero() && now.Sub(last) > 2*p.beat():
		if !p.fenced {
			p.since = last
		}
		p.raise(now)
	case p.fenced && now.Sub(p.raised) > answerTime: // it was lost with a connection
		p.raise(now)
	case !p.fenced:
		p.since = now
	}
}

// raise sends a message of the pump to itself.
func (p *pump) raise(now time.Time) {
	p.fence++
	p.fenced, p.raised = true, now
	_ = p.store.nc.Publish(p.inbox+"."+string(fenceMark)+strconv.FormatUint(p.fence, 10), nil)
}

// beat is how often a pump looks at least while somebody waits.
func (p *pump) beat() time.Duration {
	if p.queue.shape.durable {
		return min(pullTime, p.queue.lease/4)
	}
	return pullTime
}
