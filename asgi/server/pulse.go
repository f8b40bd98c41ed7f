package server

import (
	"sync"
	"time"
)

// A pulse wakes connections that have nothing to do, each after the same interval, to see whether their peers are alive. It
// is a queue with one timer for all: a timer for each would be a third of what a server keeps for an idle connection.
type pulse struct {
	interval time.Duration

	mu    sync.Mutex
	begun time.Time // what dues count from: a number takes a third of a time.Time
	first *conn     // the next to be woken
	last  *conn
	timer *time.Timer // nil while nobody waits
}

// A beat is a connection's place in the pulse; pulse.mu guards it.
type beat struct {
	next, prev *conn
	due        time.Duration // since pulse.begun; 0: not in the queue
}

// together is how much too early a connection may be woken, so that many share a wake-up.
const together = 20 * time.Millisecond

// add puts c at the end of the queue, due after one interval. It may wait there already.
func (p *pulse) add(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unlink(c)
	if p.begun.IsZero() {
		p.begun = time.Now()
	}
	c.beat = beat{prev: p.last, due: time.Since(p.begun) + p.interval}
	if p.last != nil {
		p.last.beat.next = c
	} else {
		p.first = c
	}
	p.last = c
	if p.timer == nil {
		p.timer = time.AfterFunc(p.interval, p.wake)
	}
}

// remove takes c out of the queue. The timer of an empty queue ends.
func (p *pulse) remove(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unlink(c)
	if p.first == nil && p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
}

func (p *pulse) unlink(c *conn) {
	if c.beat.due == 0 {
		return
	}
	next, prev := c.beat.next, c.beat.prev
	if prev != nil {
		prev.beat.next = next
	} else {
		p.first = next
	}
	if next != nil {
		next.beat.prev = prev
	} else {
		p.last = prev
	}
	c.beat = beat{}
}

// wake ticks those that are due, and sets the timer for the next.
func (p *pulse) wake() {
	p.mu.Lock()
	if p.timer == nil { // everybody left while it fired
		p.mu.Unlock()
		return
	}
	now := time.Since(p.begun)
	var due []*conn
	for c := p.first; c != nil && c.beat.due <= now+together; c = p.first {
		due = append(due, c)
		p.unlink(c)
	}
	p.timer.Stop() // where everybody left while an earlier one fired, and somebody came, it is still to come
	if p.timer = nil; p.first != nil {
		p.timer = time.AfterFunc(p.first.beat.due-now, p.wake)
	}
	p.mu.Unlock()
	for _, c := range due {
		c.ping()
	}
}
