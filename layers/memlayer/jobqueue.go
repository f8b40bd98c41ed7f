package memlayer

import (
	"container/heap"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/tideway-go/tideway/layers/driver"
)

// jobBytes bounds what one durable queue holds, beside its capacity. One job always fits.
const jobBytes = 64 << 20

// jobQueues are the durable queues of a bus. A queue exists while there is a job or a worker in it. Workers are handed
// their jobs; a queue has a timer only while a worker waits for a job that another holds, or that is to be tried later.
type jobQueues struct {
	mu      sync.Mutex // not held while a host is called
	byName  map[string]*jobQueue
	stored  uint64   // jobs, ever: the order of those that are due at the same moment
	dropped []tooOld // to be told of without the lock
}

// tooOld is a job that was dropped, in a process that shall count it.
type tooOld struct {
	node  *node
	queue string
	m     *driver.Message
}

// jobQueue is one of them.
type jobQueue struct {
	name    string
	limits  driver.Durable
	fresh   []*job   // taken by nobody yet, the oldest first
	delayed jobHeap  // held, or to be tried again
	waiting []*taker // in the order in which they began
	bytes   int
	wake    *time.Timer // while somebody waits and something is delayed
}

// job is one message of a durable queue, in it until it is done.
type job struct {
	queue   *jobQueue // nil: done, buried, or dropped
	m       *driver.Message
	stored  time.Time
	number  uint64
	reason  string
	attempt int
	due     time.Time // while delayed: when its hold ends, or when it may be taken again
	at      int       // its place among the delayed, or -1
	holder  *held     // nil: nobody
}

// taker is one waiting Take. A job that was handed to it is its own.
type taker struct {
	node *node
	c    chan *held // one at most
}

// put stores a job that was sent to its queue, or returns driver.ErrFull.
func (s *jobQueues) put(n *node, name string, m *driver.Message, limits driver.Durable) error {
	err := s.store(n, name, m, limits)
	if err == nil {
		n.host.Delivered(1)
	}
	return err
}

// store is put without the count.
func (s *jobQueues) store(n *node, name string, m *driver.Message, limits driver.Durable) error {
	defer s.tell() // without the lock
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	q := s.get(name, limits)
	err := q.put(&job{m: m, stored: now}, now, s, n)
	s.dispatch(q, now)
	return err
}

// take waits for the next job. n is the process of the worker.
func (s *jobQueues) take(ctx context.Context, n *node, name string, limits driver.Durable) (*held, error) {
	t := &taker{n, make(chan *held, 1)}
	s.mu.Lock()
	if n.closed { // else a job could be handed to who can never end it
		s.mu.Unlock()
		return nil, driver.ErrClosed
	}
	q := s.get(name, limits)
	q.waiting = append(q.waiting, t)
	s.dispatch(q, time.Now())
	s.mu.Unlock()
	s.tell()
	select {
	case h := <-t.c: // before a ctx that has ended meanwhile
		return h, nil
	default:
	}
	select {
	case h := <-t.c:
		return h, nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case h := <-t.c:
		return h, nil
	default:
	}
	q.waiting = slices.DeleteFunc(q.waiting, func(x *taker) bool { return x == t })
	s.settle(q)
	return nil, ctx.Err()
}

// get finds a queue or begins it.
func (s *jobQueues) get(name string, limits driver.Durable) *jobQueue {
	q := s.byName[name]
	if q == nil {
		if s.byName == nil {
			s.byName = make(map[string]*jobQueue)
		}
		q = &jobQueue{name: name, limits: limits}
		s.byName[name] = q
	}
	return q
}

// dispatch hands what is due to those who wait, and settles the queue.
func (s *jobQueues) dispatch(q *jobQueue, now time.Time) {
	for i := 0; i < len(q.waiting); {
		t := q.waiting[i]
		if t.node.cut() != nil {
			i++ // Mend comes back to it
			continue
		}
		h := q.next(now, t.node, s)
		if h == nil {
			break
		}
		q.waiting = slices.Delete(q.waiting, i, i+1)
		t.c <- h
	}
	s.settle(q)
}

// settle sets the timer, and forgets a queue in which there is nothing.
func (s *jobQueues) settle(q *jobQueue) {
	if q.wake != nil {
		q.wake.Stop()
		q.wake = nil
	}
	served := slices.ContainsFunc(q.waiting, func(t *taker) bool { return t.node.cut() == nil })
	switch {
	case served && len(q.delayed) > 0:
		q.wake = time.AfterFunc(max(0, time.Until(q.delayed[0].due)), func() {
			s.mu.Lock()
			s.dispatch(q, time.Now())
			s.mu.Unlock()
			s.tell()
		})
	case len(q.waiting)+len(q.delayed)+len(q.fresh) == 0 && s.byName[q.name] == q:
		delete(s.byName, q.name)
	}
}

// dispatchAll looks at all queues, after a layer has come back.
func (s *jobQueues) dispatchAll() {
	s.mu.Lock()
	for _, q := range s.byName {
		s.dispatch(q, time.Now())
	}
	s.mu.Unlock()
	s.tell()
}

// release gives back what a process holds that leaves the bus, and hands nothing to it any more.
func (s *jobQueues) release(n *node) {
	s.mu.Lock()
	n.closed = true
	now := time.Now()
	for _, q := range s.byName {
		q.waiting = slices.DeleteFunc(q.waiting, func(t *taker) bool { return t.node == n })
		for _, j := range slices.Clone(q.delayed) {
			if j.holder != nil && j.holder.node == n {
				j.holder = nil
				q.delay(j, now)
			}
		}
		s.dispatch(q, now)
	}
	s.mu.Unlock()
	s.tell()
}

// flush drops all jobs. Who waits, waits on.
func (s *jobQueues) flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range s.byName {
		for _, j := range q.fresh {
			j.queue = nil
		}
		for _, j := range q.delayed {
			j.queue, j.holder, j.at = nil, nil, -1
		}
		q.fresh, q.delayed, q.bytes = nil, nil, 0
		s.settle(q)
	}
}

// tell reports what was dropped, without the lock.
func (s *jobQueues) tell() {
	s.mu.Lock()
	dropped := s.dropped
	s.dropped = nil
	s.mu.Unlock()
	for _, d := range dropped {
		d.node.host.Dropped(d.queue, "", d.m, driver.ErrExpired)
	}
}

// put stores a job behind the others, or returns driver.ErrFull. n is told of what is too old and has to make room.
func (q *jobQueue) put(j *job, now time.Time, s *jobQueues, n *node) error {
	if q.full(j) {
		q.expire(now, s, n)
		if q.full(j) {
			return driver.ErrFull
		}
	}
	s.stored++
	j.queue, j.number, j.at = q, s.stored, -1
	q.fresh = append(q.fresh, j)
	q.bytes += len(j.m.Data())
	return nil
}

func (q *jobQueue) full(j *job) bool {
	n := len(q.fresh) + len(q.delayed)
	return n >= q.limits.Capacity || n > 0 && q.bytes+len(j.m.Data()) > jobBytes
}

// next gives the next job to a worker in n, or returns nil. What comes again is due before what has not come yet.
func (q *jobQueue) next(now time.Time, n *node, s *jobQueues) *held {
	for {
		var j *job
		switch {
		case len(q.delayed) > 0 && !q.delayed[0].due.After(now):
			j = q.delayed[0]
		case len(q.fresh) > 0:
			j = q.fresh[0]
		default:
			return nil
		}
		if j.tooOld(now) {
			q.drop(j, s, n)
			continue
		}
		if j.at < 0 {
			q.shift()
		}
		j.attempt++
		j.holder = &held{node: n, job: j, attempt: j.attempt, lease: q.limits.Lease,
			// A message of its own: only bytes pass from the sender's process to this one.
			m: j.m.Copy().Arrive(j.stored, q.limits.MaxAge)}
		q.delay(j, now.Add(q.limits.Lease))
		return j.holder
	}
}

// shift takes the first of the fresh ones off.
func (q *jobQueue) shift() {
	q.fresh[0] = nil
	if q.fresh = q.fresh[1:]; len(q.fresh) == 0 {
		q.fresh = nil
	}
}

// delay puts a job where it waits for a moment.
func (q *jobQueue) delay(j *job, due time.Time) {
	j.due = due
	if j.at < 0 {
		heap.Push(&q.delayed, j)
	} else {
		heap.Fix(&q.delayed, j.at)
	}
}

// remove ends a job that is, or was, delayed.
func (q *jobQueue) remove(j *job) {
	heap.Remove(&q.delayed, j.at)
	j.queue, j.holder = nil, nil
	q.bytes -= len(j.m.Data())
}

// drop ends a job that is too old: the first of the fresh ones, or one that is delayed.
func (q *jobQueue) drop(j *job, s *jobQueues, n *node) {
	if j.at < 0 {
		q.shift()
		j.queue = nil
		q.bytes -= len(j.m.Data())
	} else {
		q.remove(j)
	}
	s.dropped = append(s.dropped, tooOld{n, q.name, j.m})
}

// expire drops what is too old, but for what somebody works at.
func (q *jobQueue) expire(now time.Time, s *jobQueues, n *node) {
	for len(q.fresh) > 0 && q.fresh[0].tooOld(now) {
		q.drop(q.fresh[0], s, n)
	}
	for _, j := range slices.Clone(q.delayed) {
		if j.tooOld(now) && (j.holder == nil || !j.due.After(now)) {
			q.drop(j, s, n)
		}
	}
}

func (j *job) tooOld(now time.Time) bool { return now.Sub(j.stored) >= j.queue.limits.MaxAge }

// jobHeap orders jobs by the moment at which they are due (container/heap).
type jobHeap []*job

func (h jobHeap) Len() int { return len(h) }
func (h jobHeap) Less(i, j int) bool {
	if h[i].due.Equal(h[j].due) {
		return h[i].number < h[j].number
	}
	return h[i].due.Before(h[j].due)
}
func (h jobHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i, j
}

// Push adds a job at the end.
func (h *jobHeap) Push(x any) {
	j := x.(*job)
	j.at = len(*h)
	*h = append(*h, j)
}

// Pop takes the last job off.
func (h *jobHeap) Pop() any {
	last := len(*h) - 1
	j := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	j.at = -1
	return j
}
