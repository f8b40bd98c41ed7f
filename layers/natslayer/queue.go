package natslayer

import (
	"context"
	"sync"
	"time"

	"github.com/tideway-go/tideway/layers/driver"
)

// queue is what this process knows of one queue.
type queue struct {
	name    string
	token   string // the name as one token: also the name of its consumer
	shape   shape
	lease   time.Duration // of a durable queue
	stream  string
	subject string

	preparing chan struct{} // holds a token while somebody prepares

	mu       sync.Mutex
	used     time.Time
	checked  time.Time // when it was last looked for in other streams
	consumer bool      // it has its consumer, as far as known
	pump     *pump     // nil while nobody receives
}

// queue finds what is known of a queue, or begins it.
func (s *store) queue(name string) (*queue, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, driver.ErrClosed
	}
	q := s.queues[name]
	if q == nil {
		q = s.newQueue(name)
		if len(s.queues) >= s.sweepAt {
			s.sweep()
		}
		s.queues[name] = q
	}
	q.mu.Lock()
	q.used = time.Now()
	q.mu.Unlock()
	return q, nil
}

func (s *store) newQueue(name string) *queue {
	q := &queue{name: name, token: token(name), preparing: make(chan struct{}, 1)}
	if d, ok := s.limits.Durable(name); ok {
		q.shape, q.lease = shape{true, d.Capacity, d.MaxAge}, d.Lease
	} else {
		q.shape = shape{false, s.limits.Capacity(name), s.limits.Expiry}
	}
	q.stream, q.subject = s.streamOf(q.shape), s.subjectOf(q.shape, name)
	return q
}

// sweep forgets queues that have not been used for a while, so that a process that sends to ever new ones does not grow.
func (s *store) sweep() {
	now := time.Now()
	for name, q := range s.queues {
		q.mu.Lock()
		if q.pump == nil && now.Sub(q.used) > rivalTime {
			delete(s.queues, name)
		}
		q.mu.Unlock()
	}
	s.sweepAt = max(firstSweep, 2*len(s.queues))
}

// prepare makes what a queue needs in the broker, where it is not known to be there, and looks now and then whether another
// process gives the queue another shape.
func (s *store) prepare(ctx context.Context, q *queue, receive bool) error {
	if s.prepared(q, receive) {
		return nil
	}
	select {
	case q.preparing <- struct{}{}:
		defer func() { <-q.preparing }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if s.prepared(q, receive) {
		return nil
	}
	if err := s.ask(ctx, func(ctx context.Context) error { return s.rival(ctx, q) }); err != nil {
		return err
	}
	s.mu.Lock()
	there := s.streams[q.shape]
	s.mu.Unlock()
	if !there {
		if err := s.makeStream(ctx, q.shape); err != nil {
			return err
		}
		s.mu.Lock()
		s.streams[q.shape] = true
		s.mu.Unlock()
	}
	if receive {
		if err := s.makeConsumer(ctx, q); err != nil {
			return err
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.checked, q.consumer = time.Now(), q.consumer || receive
	return nil
}

// prepared says that a queue is ready, as far as known. Who receives has a consumer that senders find, so it is enough
// that senders look again.
func (s *store) prepared(q *queue, receive bool) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if receive {
		return q.consumer
	}
	return time.Since(q.checked) < s.again
}

// lost says that a queue's stream or consumer may be gone.
func (s *store) lost(q *queue) {
	s.mu.Lock()
	delete(s.streams, q.shape)
	s.mu.Unlock()
	q.mu.Lock()
	defer q.mu.Unlock()
	q.checked, q.consumer = time.Time{}, false
}

// receive waits for the next message of a queue. It was taken out of the queue before it is returned.
func (s *store) receive(ctx context.Context, name string) (*driver.Message, error) {
	for {
		t, q, err := s.next(ctx, name)
		if err != nil {
			return nil, err
		}
		meta, err := t.msg.Metadata()
		if err != nil {
			return nil, err
		}
		s.vacate(ctx, q, meta.Sequence.Stream)
		m, ok := s.host.Message(name, t.msg.Data, s.here(meta.Timestamp))
		switch {
		case !ok: // the host has counted it
		case m.Expired(time.Now()):
			s.host.Dropped(name, "", m, driver.ErrExpired)
		default:
			return m, nil
		}
	}
}

// here is a moment of the broker's clock on this process's clock.
func (s *store) here(t time.Time) time.Time { return t.Add(time.Duration(s.skew.Load())) }

// next waits for a queue's next message: one that is taken out of it or, of a durable queue, one that is held.
func (s *store) next(ctx context.Context, name string) (taken, *queue, error) {
	q, err := s.queue(name)
	if err != nil {
		return taken{}, nil, err
	}
	if err := s.prepare(ctx, q, true); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return taken{}, nil, err
	}
	p, w, err := s.wait(q)
	if err != nil {
		return taken{}, nil, err
	}
	select {
	case t := <-w.c:
		return t, q, t.err
	case <-ctx.Done():
	}
	if p.leave(w) {
		return taken{}, nil, ctx.Err()
	}
	// A message is on its way to w. It is taken out of the queue already, or nobody knows yet: better late than lost.
	switch t := <-w.c; {
	case t.err != nil:
		return taken{}, nil, ctx.Err()
	case q.shape.durable:
		p.giveBack(t.msg)
		return taken{}, nil, ctx.Err()
	default:
		return t, q, nil
	}
}
