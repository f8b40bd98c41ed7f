package redislayer

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tideway-go/tideway/layers/driver"
)

// rotation spreads what belongs to no host in particular.
type rotation struct{ n atomic.Uint32 }

// over lists all of n, beginning with the next one's turn.
func (r *rotation) over(n int) []int {
	order := make([]int, n)
	first := int(r.n.Add(1)-1) % n
	for i := range order {
		order[i] = (first + i) % n
	}
	return order
}

// share is the part of a capacity that host i of n may hold: all hosts together hold it exactly.
func share(capacity, i, n int) int {
	part := capacity / n
	if i < capacity%n {
		part++
	}
	return part
}

// sendQueue stores a message on the host whose turn it is, or on the next one that has room.
func (c *core) sendQueue(ctx context.Context, queue string, m *driver.Message) error {
	entry, err := c.format.pack(m.Data(), nil, false, time.Now())
	if err != nil {
		return err
	}
	capacity := c.limits.Capacity(queue)
	for _, i := range c.nextSend.over(len(c.shards)) {
		err := c.store(ctx, c.shards[i], queue, entry, share(capacity, i, len(c.shards)))
		if err != driver.ErrFull {
			return err
		}
	}
	return driver.ErrFull
}

// queueTable is who waits for which queue.
type queueTable struct {
	mu      sync.Mutex
	byName  map[string]*waitLine
	heard   []map[string]bool // by host: the queues that its reader listens to
	receive rotation
}

// waitLine is the receivers of one queue, first come, first served.
type waitLine struct{ waiters []*waiter }

type waiter struct{ came chan *driver.Message } // one at most

// Receive implements driver.Queues. One reader for each host waits in Redis for all queues that somebody here waits for; it
// never stops in the midst of a pop, so no message is lost when a receiver gives up.
func (c *core) Receive(ctx context.Context, queue string) (*driver.Message, error) {
	if c.isClosing() {
		return nil, driver.ErrClosed
	}
	if !c.queues.busy(queue) {
		if m := c.popNow(ctx, queue); m != nil {
			return m, nil
		}
	}
	w := c.wait(queue)
	select {
	case m := <-w.came:
		return m, nil
	case <-ctx.Done():
	case <-c.closing:
	}
	if m := c.queues.leave(queue, w); m != nil {
		return m, nil
	}
	if ctx.Err() == nil {
		return nil, driver.ErrClosed
	}
	return nil, ctx.Err()
}

// busy says that somebody waits for the queue already.
func (t *queueTable) busy(queue string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.byName[queue] != nil
}

// popNow takes a message that is there. It does not end with ctx, which might lose the message: what came for a ctx that has
// ended is received all the same.
func (c *core) popNow(ctx context.Context, queue string) *driver.Message {
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTime)
	defer cancel()
	for _, i := range c.queues.receive.over(len(c.shards)) {
		s := c.shards[i]
		for ctx.Err() == nil && !c.isClosing() {
			all, err := s.Do(limited, s.B().Zpopmin().Key(c.keys.message(queue)).Count(1).Build()).AsZScores()
			if err != nil || len(all) == 0 {
				break // the reader, which waits for a lost host, will have it
			}
			if m := c.decode(queue, &popped{queue, all[0].Member, all[0].Score}); m != nil {
				return m
			}
		}
	}
	return nil
}

// wait puts a receiver at the end of the line, and makes readers listen that do not yet.
func (c *core) wait(queue string) *waiter {
	w := &waiter{came: make(chan *driver.Message, 1)}
	t := &c.queues
	var deaf []*shard
	t.mu.Lock()
	line := t.byName[queue]
	if line == nil {
		line = &waitLine{}
		t.byName[queue] = line
	}
	line.waiters = append(line.waiters, w)
	for i, heard := range t.heard {
		if heard != nil && !heard[queue] {
			deaf = append(deaf, c.shards[i])
		}
	}
	t.mu.Unlock()
	ctx, cancel := context.WithTimeout(c.life, answerTime)
	defer cancel()
	for _, s := range deaf {
		_ = c.wake(ctx, s) // a reader whose host is lost asks for the queues when it is back
	}
	return w
}

// wake ends a reader's pop. Unlike CLIENT UNBLOCK it is not lost on one that is about to begin.
func (c *core) wake(ctx context.Context, s *shard) error {
	key := c.ownKey()
	return firstError(s.DoMulti(ctx,
		s.B().Zadd().Key(key).ScoreMember().ScoreMember(wakeScore, fmt.Sprint(time.Now().UnixNano())).Build(),
		s.B().Expire().Key(key).Seconds(60).Build()))
}

// listen returns the keys to wait for, and notes the queues; false when Close has begun. Redis serves the first key that has
// something, so the process's own is the last every other time.
func (t *queueTable) listen(i int, c *core, turn int) (keys []string, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.heard) == 0 {
		t.heard = make([]map[string]bool, len(c.shards))
	}
	if c.isClosing() {
		t.heard[i] = nil
		return nil, false
	}
	heard := make(map[string]bool, len(t.byName))
	for queue := range t.byName {
		heard[queue] = true
		keys = append(keys, c.keys.message(queue))
	}
	t.heard[i] = heard
	if turn%2 == 0 {
		return append([]string{c.ownKey()}, keys...), true
	}
	return append(keys, c.ownKey()), true
}

// leave takes a receiver out of the line. If it has been handed a message already, that is returned.
func (t *queueTable) leave(queue string, w *waiter) *driver.Message {
	t.mu.Lock()
	defer t.mu.Unlock()
	if line := t.byName[queue]; line != nil {
		line.waiters = slices.DeleteFunc(line.waiters, func(x *waiter) bool { return x == w })
		if len(line.waiters) == 0 {
			delete(t.byName, queue)
		}
	}
	select {
	case m := <-w.came:
		return m
	default:
		return nil
	}
}

// hand gives a message to the first in the line; false if nobody waits any more.
func (t *queueTable) hand(queue string, m *driver.Message) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	line := t.byName[queue]
	if line == nil {
		return false
	}
	line.waiters[0].came <- m
	line.waiters = line.waiters[1:]
	if len(line.waiters) == 0 {
		delete(t.byName, queue)
	}
	return true
}

// takeQueue hands out what a reader popped from a queue, or puts it back where it was when nobody waits any more.
func (c *core) takeQueue(s *shard, p *popped) {
	queue := strings.TrimPrefix(p.key, c.keys.prefix)
	if !c.queues.busy(queue) {
		c.putBack(s, p)
		return
	}
	if m := c.decode(queue, p); m != nil {
		if c.queues.hand(queue, m) {
			c.host.Delivered(1)
			return
		}
		c.putBack(s, p)
	}
}

func (c *core) putBack(s *shard, p *popped) {
	ctx, cancel := context.WithTimeout(context.Background(), answerTime)
	defer cancel()
	err := firstError(s.DoMulti(ctx,
		s.B().Zadd().Key(p.key).ScoreMember().ScoreMember(p.score, p.entry).Build(),
		s.B().Arbitrary("EXPIRE").Keys(p.key).Args(c.expiry).Build()))
	if err != nil {
		c.complain(p.key, fmt.Errorf("nobody waits for it any more, and putting it back: %w", err))
	}
}
