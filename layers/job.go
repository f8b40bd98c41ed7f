package layers

import (
	"context"
	"errors"
	"time"

	"github.com/tideway-go/tideway/layers/driver"
)

// Job is one message of a durable queue, held by who took it until Done, Retry or Bury; only the first of them counts.
// consumers.Worker calls them; others take jobs by [Layer.Take].
type Job struct {
	layer *Layer
	queue string
	job   driver.Job
}

// Take waits for the next job of a durable queue (Options.Durables). Another worker gets it when this one neither ends it
// nor extends its hold for [Durable.Lease]. A Take whose ctx ends loses no job.
func (l *Layer) Take(ctx context.Context, queue string) (*Job, error) {
	if err := l.ready(ctx); err != nil {
		return nil, err
	}
	const op = "take from"
	if err := checkChannel(queue); err != nil {
		return nil, &opError{op, queue, err}
	}
	if _, ok := l.opts.durable(queue); !ok {
		return nil, &opError{op, queue, errors.New("it is no durable queue: declare it in Options.Durables, here and where jobs are sent")}
	}
	j, err := l.take(ctx, queue)
	if err != nil {
		return nil, l.failed(op, queue, err)
	}
	l.count.received.Add(1)
	return &Job{l, queue, j}, nil
}

func (l *Layer) take(ctx context.Context, queue string) (driver.Job, error) {
	d, err := l.jobs()
	if err != nil {
		return nil, err
	}
	waiting, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	defer context.AfterFunc(l.life, func() { stop(ErrClosed) })()
	return d.Take(waiting, queue)
}

// Message is what was sent.
func (j *Job) Message() Message { return Message{m: j.job.Message()} }

// Attempt counts how often the job was taken, this time included.
func (j *Job) Attempt() int { return j.job.Attempt() }

// Done ends the job. An error means that it may come again.
func (j *Job) Done(ctx context.Context) error {
	return j.layer.failed("end job of", j.queue, j.job.Done(ctx))
}

// Retry gives the job back, to be taken again when after has passed.
func (j *Job) Retry(ctx context.Context, after time.Duration) error {
	return j.layer.failed("return job of", j.queue, j.job.Retry(ctx, max(0, after)))
}

// Bury moves the job to [DeadLetters] of its queue, with a reason for whoever looks at it there. An error, such as
// [ErrChannelFull], means that it is still held.
func (j *Job) Bury(ctx context.Context, reason string) error {
	return j.layer.failed("bury job of", j.queue, j.job.Bury(ctx, DeadLetters(j.queue), reason))
}

// Extend renews the hold for another [Durable.Lease]. Call it more often than that while the work goes on.
func (j *Job) Extend(ctx context.Context) error {
	return j.layer.failed("extend job of", j.queue, j.job.Extend(ctx))
}
