package redislayer

import (
	"context"
	"errors"
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

// lostLast puts the hosts that are known to be lost behind the others.
func (c *core) lostLast(order []int) []int {
	lost := make([]int, 0, len(order))
	order = slices.DeleteFunc(order, func(i int) bool {
		if !c.link.isLost(i) {
			return false
		}
		lost = append(lost, i)
		return true
	})
	return append(order, lost...)
}

// sendQueue stores a message on the host whose turn it is, or on the next one that can take it. When it is uncertain whether
// a host has it, no other is asked: it might be there twice.
func (c *core) sendQueue(ctx context.Context, queue string, m *driver.Message) error {
	entry, err := c.format.pack(m.Data(), nil, false, time.Now())
	if err != nil {
		return err
	}
	capacity := c.limits.Capacity(queue)
	failed := driver.ErrFull
	for _, i := range c.lostLast(c.nextSend.over(len(c.shards))) {
		err := c.store(ctx, c.shards[i], queue, entry, share(capacity, i, len(c.shards)))
		if err == nil || ctx.Err() != nil || errors.Is(err, driver.ErrUncertain) {
			return err
		}
		if failed == driver.ErrFull {
			failed = err // the first of a host that could not be asked: it may have had room
		}
	}
	return failed
}

// queueTable is who waits for which queue, and who takes from it: on one host never two at once, since the message that was
// taken last might be handed out first.
type queueTable struct {
	mu       sync.Mutex
	byName   map[string]*waitLine
	heard    []map[string]bool // by host: the queues that its reader listens to
	fetching map[string]bool   // the queues that fetch takes from, so readers do not
	receive  rotation
}

// waitLine is the receivers of one queue, first come, first served.
type waitLine struct{ waiters []*waiter }

type waiter struct {
	came chan *driver.Message // one at most; closed when the queue cannot be received from
	err  error                // why
}

// Receive implements driver.Queues. One reader for each host waits in Redis for all queues that somebody here waits for; it
// never stops in the midst of a pop, so no message is lost when a receiver gives up.
func (c *core) Receive(ctx context.Context, queue string) (*driver.Message, error) {
	w := &waiter{came: make(chan *driver.Message, 1)}
	switch fetch, deaf := c.queues.enter(queue, w); {
	case fetch:
		c.begin(func() { c.fetch(queue) })
	case len(deaf) > 0:
		c.begin(func() { c.wakeSome(deaf) })
	}
	select {
	case m, ok := <-w.came:
		if !ok {
			return nil, w.err
		}
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

// begin runs f on a goroutine for which Close waits, unless Close has begun.
func (c *core) begin(f func()) {
	c.starting.Lock()
	defer c.starting.Unlock()
	if !c.isClosing() {
		c.running.Go(f)
	}
}

// fetch gets new receivers what is there, and makes the readers listen if nothing is. It does not end with a receiver's
// ctx, which might lose the message.
func (c *core) fetch(queue string) {
	ctx, cancel := context.WithTimeout(c.life, answerTime)
	defer cancel()
	for _, i := range c.queues.receive.over(len(c.shards)) {
		c.fetchFrom(ctx, c.shards[i], queue)
	}
	c.wakeSome(c.queues.fetched(queue))
}

// wakeSome wakes readers. One whose host is lost asks for the queues when it is back.
func (c *core) wakeSome(hosts []int) {
	ctx, cancel := context.WithTimeout(c.life, answerTime)
	defer cancel()
	for _, i := range hosts {
		_ = c.wake(ctx, c.shards[i])
	}
}

// fetchFrom takes what one host has, as long as somebody waits.
func (c *core) fetchFrom(ctx context.Context, s *shard, queue string) {
	key := c.keys.message(queue)
	for c.queues.busy(queue) {
		all, err := s.Do(ctx, s.B().Zpopmin().Key(key).Count(1).Build()).AsZScores()
		if err != nil || len(all) == 0 {
			return // the reader, which waits for a lost host, will have it
		}
		c.takeQueue(s, &popped{key, all[0].Member, all[0].Score})
	}
}

// enter puts a receiver at the end of the line. It says whether to fetch, because nobody takes from the queue yet, or else which
// hosts' readers do not listen to it.
func (t *queueTable) enter(queue string, w *waiter) (fetch bool, deaf []int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	line := t.byName[queue]
	if line == nil {
		line = &waitLine{}
		t.byName[queue] = line
	}
	line.waiters = append(line.waiters, w)
	if t.fetching[queue] {
		return false, nil
	}
	deaf = t.deaf(queue)
	for _, heard := range t.heard {
		if heard[queue] {
			return false, deaf
		}
	}
	if t.fetching == nil {
		t.fetching = make(map[string]bool)
	}
	t.fetching[queue] = true
	return true, nil
}

// deaf lists the hosts whose readers do not listen to a queue. Those that are about to look are not among them.
func (t *queueTable) deaf(queue string) (hosts []int) {
	for i, heard := range t.heard {
		if heard != nil && !heard[queue] {
			hosts = append(hosts, i)
		}
	}
	return hosts
}

// fetched lets readers listen to a queue again, and lists the hosts whose readers must be woken for it.
func (t *queueTable) fetched(queue string) (hosts []int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.fetching, queue)
	if t.byName[queue] == nil {
		return nil
	}
	return t.deaf(queue)
}

// busy says that somebody waits for the queue.
func (t *queueTable) busy(queue string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.byName[queue] != nil
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
		if t.fetching[queue] {
			continue
		}
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

// fail ends the wait of all receivers of a queue.
func (t *queueTable) fail(queue string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if line := t.byName[queue]; line != nil {
		for _, w := range line.waiters {
			w.err = err
			close(w.came)
		}
		delete(t.byName, queue)
	}
}

// refuse finds the keys that hold something else than messages, so that one of them does not keep all others from being read.
func (c *core) refuse(ctx context.Context, s *shard, keys []string) error {
	for _, key := range keys {
		kind, err := s.Do(ctx, s.B().Type().Key(key).Build()).ToString()
		switch {
		case err != nil:
			return err
		case kind == "zset" || kind == "none":
		case key == c.ownKey():
			c.complain(key, fmt.Errorf("the key holds a %s, and is removed", kind))
			if err := s.Do(ctx, s.B().Unlink().Key(key).Build()).Error(); err != nil {
				return err
			}
		default:
			err := fmt.Errorf("its key %q holds a %s of another program, not messages", key, kind)
			c.queues.fail(strings.TrimPrefix(key, c.keys.prefix), err)
		}
	}
	return nil
}

// takeQueue hands out what was popped from a queue, or puts it back where it was when nobody waits any more.
func (c *core) takeQueue(s *shard, p *popped) {
	queue := strings.TrimPrefix(p.key, c.keys.prefix)
	if !c.queues.busy(queue) {
		c.putBack(s, p)
		return
	}
	m := c.decode(queue, p)
	if m == nil {
		return
	}
	if c.queues.hand(queue, m) {
		c.host.Delivered(1)
	} else {
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
