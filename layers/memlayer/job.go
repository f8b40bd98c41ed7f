package memlayer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tideway-go/tideway/layers/driver"
)

// held is a job while one worker holds it, or believes so (driver.Job). The lock of jobQueues guards what both have.
type held struct {
	node    *node
	job     *job
	m       *driver.Message
	attempt int
	lease   time.Duration
}

var (
	_ driver.Job    = (*held)(nil)
	_ driver.Buried = (*held)(nil)
)

// Take implements driver.Jobs.
func (n *node) Take(ctx context.Context, queue string) (driver.Job, error) {
	if err := n.cut(); err != nil {
		return nil, err
	}
	limits, _ := n.limits.Durable(queue)
	h, err := n.bus.jobs.take(ctx, n, queue, limits)
	if err != nil {
		return nil, err
	}
	return h, nil
}

// Message implements driver.Job.
func (h *held) Message() *driver.Message { return h.m }

// Attempt implements driver.Job.
func (h *held) Attempt() int { return h.attempt }

// Reason implements driver.Buried.
func (h *held) Reason() string { return h.job.reason }

// Done implements driver.Job: the work is done, whoever has the job by now.
func (h *held) Done(context.Context) error {
	err := h.change(func(q *jobQueue) error {
		q.remove(h.job)
		return nil
	})
	if err == driver.ErrNotHeld { // it has ended already, or was dropped
		return nil
	}
	return err
}

// Retry implements driver.Job.
func (h *held) Retry(_ context.Context, after time.Duration) error {
	return h.ifHeld(func(q *jobQueue) error {
		h.job.holder = nil
		q.delay(h.job, time.Now().Add(after))
		return nil
	})
}

// Extend implements driver.Job.
func (h *held) Extend(context.Context) error {
	return h.ifHeld(func(q *jobQueue) error {
		q.delay(h.job, time.Now().Add(h.lease))
		return nil
	})
}

// Bury implements driver.Job: both queues change under one lock.
func (h *held) Bury(_ context.Context, dead, reason string) error {
	limits, ok := h.node.limits.Durable(dead)
	if !ok {
		return fmt.Errorf("queue %q is not durable: %w", dead, errors.ErrUnsupported)
	}
	err := h.ifHeld(func(q *jobQueue) error {
		s, now := &h.node.bus.jobs, time.Now()
		letters := s.get(dead, limits)
		defer s.dispatch(letters, now)
		err := letters.put(&job{m: h.job.m, stored: now, reason: reason}, now, s, h.node)
		if err == nil {
			q.remove(h.job)
		}
		return err
	})
	if err == nil {
		h.node.host.Delivered(1)
	}
	return err
}

// ifHeld is change for what only the one who holds the job may do.
func (h *held) ifHeld(f func(*jobQueue) error) error {
	return h.change(func(q *jobQueue) error {
		if h.job.holder != h {
			return driver.ErrNotHeld
		}
		return f(q)
	})
}

// change runs f with the lock, and hands out what it has set free.
func (h *held) change(f func(*jobQueue) error) error {
	if err := h.node.cut(); err != nil {
		return err
	}
	s := &h.node.bus.jobs
	defer s.tell()
	s.mu.Lock()
	defer s.mu.Unlock()
	q := h.job.queue
	if q == nil {
		return driver.ErrNotHeld
	}
	err := f(q)
	s.dispatch(q, time.Now())
	return err
}
