package memlayer

import (
	"container/heap"
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tideway-go/tideway/layers/driver"
)

// queues are the channels that belong to no process, and their memberships. A queue exists while a message or a
// receiver waits in it. All messages of a bus have one expiry, so those that are due are found by a heap of their
// queues, at every use of any queue: nobody has to come back to a queue for its memory to be freed.
type queues struct {
	mu     sync.Mutex // not held while a host is called
	byName map[string]*queue
	due    dueHeap
	groups map[string]map[string]holders // group, queue
	joined atomic.Int64                  // memberships, so that a group send without any takes no lock
}

// holders are the processes that made a queue a member of a group: it ends with the last of them.
type holders map[*node]struct{}

// queue is one of them.
type queue struct {
	name string
	box  driver.Mailbox
	due  time.Time // when its oldest message expires, while it is in the heap
	at   int       // its place in the heap, or -1
}

// dropped is a message that expired in a queue, to be told of when the lock is released.
type dropped struct {
	queue string
	m     *driver.Message
}

func (q *queues) put(n *node, name string, m *driver.Message) error {
	var gone []dropped
	q.mu.Lock()
	err := q.putLocked(n, name, m, &gone)
	q.mu.Unlock()
	n.report(gone)
	if err == nil {
		n.host.Delivered(1)
	}
	return err
}

func (q *queues) putLocked(n *node, name string, m *driver.Message, gone *[]dropped) error {
	now := time.Now()
	q.expire(now, gone)
	x := q.get(name)
	err := x.box.Put(m, n.limits.Capacity(name), now, func(m *driver.Message) { *gone = append(*gone, dropped{name, m}) })
	q.settle(x, n.limits.Expiry)
	return err
}

// receive waits for the next message. n is the process that receives.
func (q *queues) receive(ctx context.Context, n *node, name string) (*driver.Message, error) {
	var gone []dropped
	q.mu.Lock()
	now := time.Now()
	q.expire(now, &gone)
	x := q.get(name)
	m := x.box.Get(now, func(m *driver.Message) { gone = append(gone, dropped{name, m}) })
	var w *driver.Waiter
	if m == nil {
		w = x.box.Wait()
	}
	q.settle(x, n.limits.Expiry)
	q.mu.Unlock()
	n.report(gone)
	if m != nil {
		return m, nil
	}
	select {
	case m := <-w.C:
		q.mu.Lock()
		q.settle(x, n.limits.Expiry)
		q.mu.Unlock()
		return m, nil
	case <-ctx.Done():
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	m = x.box.Leave(w)
	q.settle(x, n.limits.Expiry)
	if m != nil {
		return m, nil
	}
	return nil, ctx.Err()
}

// get finds a queue or begins it.
func (q *queues) get(name string) *queue {
	x := q.byName[name]
	if x == nil {
		if q.byName == nil {
			q.byName = make(map[string]*queue)
		}
		x = &queue{name: name, at: -1}
		q.byName[name] = x
	}
	return x
}

// settle puts a queue in its place after its mailbox has changed, and forgets one in which nothing waits.
func (q *queues) settle(x *queue, expiry time.Duration) {
	oldest := x.box.Oldest()
	if oldest != nil {
		x.due = oldest.Arrived().Add(expiry)
	}
	switch {
	case oldest == nil && x.at >= 0:
		heap.Remove(&q.due, x.at)
	case oldest != nil && x.at < 0:
		heap.Push(&q.due, x)
	case oldest != nil:
		heap.Fix(&q.due, x.at)
	}
	if x.box.Idle() && q.byName[x.name] == x {
		delete(q.byName, x.name)
	}
}

// expire drops what is due, in all queues.
func (q *queues) expire(now time.Time, gone *[]dropped) {
	for len(q.due) > 0 && !q.due[0].due.After(now) {
		x := q.due[0]
		expiry := x.due.Sub(x.box.Oldest().Arrived())
		x.box.Expire(now, func(m *driver.Message) { *gone = append(*gone, dropped{x.name, m}) })
		q.settle(x, expiry)
	}
}

// report tells of expired messages, without the lock.
func (n *node) report(gone []dropped) {
	for _, d := range gone {
		n.host.Dropped(d.queue, "", d.m, driver.ErrExpired)
	}
}

// flush drops all messages and memberships. Receivers wait on.
func (q *queues) flush() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.groups = nil
	q.joined.Store(0)
	for _, x := range q.byName {
		x.box.Clear()
		q.settle(x, 0)
	}
}

// Receive implements driver.Queues.
func (n *node) Receive(ctx context.Context, name string) (*driver.Message, error) {
	if err := n.cut(); err != nil {
		return nil, err
	}
	m, err := n.bus.queues.receive(ctx, n, name)
	if err != nil {
		return nil, err
	}
	// A message of its own: only bytes pass from the sender's process to this one.
	return m.Copy().Arrive(m.Arrived(), n.limits.Expiry), nil
}

// dueHeap orders queues by the moment at which their oldest message expires (container/heap).
type dueHeap []*queue

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i, j
}

// Push adds a queue at the end.
func (h *dueHeap) Push(x any) {
	q := x.(*queue)
	q.at = len(*h)
	*h = append(*h, q)
}

// Pop takes the last queue off.
func (h *dueHeap) Pop() any {
	last := len(*h) - 1
	q := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	q.at = -1
	return q
}
