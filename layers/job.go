package layers

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tideway-go/tideway/layers/driver"
)

// Job is one message of a durable queue, held by who took it ([Layer.Take]) until Done, Retry or Bury. Only the first of
// them counts, and later ones return nil, so that an early return may leave a job to a deferred Retry:
//
//	defer func() { _ = job.Retry(ctx, time.Minute) }() // nothing, after Done
//
// Consumers need none of this: consumers.Worker takes jobs and ends them by what their handlers return.
type Job struct {
	layer *Layer
	queue string
	job   driver.Job
	ended atomic.Bool
}

// Take waits for the next job of a durable queue (Options.Durables). It is the caller's for [Durable.Lease], and as long
// as [Job.Extend] renews that; then it is given to another. Jobs come in the order in which they were sent; those that
// come again do so when they are due. A Take whose ctx ends loses no job.
func (l *Layer) Take(ctx context.Context, queue string) (*Job, error) {
	if err := l.ready(ctx); err != nil {
		return nil, err
	}
	const op = "take from"
	if err := l.checkAddress(queue); err != nil {
		return nil, &opError{op, queue, err}
	}
	if _, ok := l.opts.durable(queue); !ok {
		return nil, &opError{op, queue, l.notDurable(queue)}
	}
	j, err := l.take(ctx, queue)
	if err != nil {
		return nil, l.failed(op, queue, err)
	}
	l.count.received.Add(1)
	return &Job{layer: l, queue: queue, job: j}, nil
}

// notDurable says what to write for a queue that cannot be taken from.
func (l *Layer) notDurable(queue string) error {
	if !isQueue(queue) {
		return errors.New("a channel with \"!\" in its name belongs to one connection and has no jobs: take from a queue")
	}
	return errors.New("it is no durable queue: declare it where the layer is made, here and where jobs are sent: " +
		"layers.Options{Durables: []layers.Durable{{Queues: " + quote(strings.TrimSuffix(queue, deadSuffix)) + "}}}")
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

// returnTime is what a Receive takes for giving back a job that it could not end.
const returnTime = time.Second

// receiveJob is Receive of a durable queue. What could not be ended is not handed out: it will come again.
func (l *Layer) receiveJob(ctx context.Context, queue string) (Message, error) {
	j, err := l.take(ctx, queue)
	if err != nil {
		return Message{}, err
	}
	if err = ctx.Err(); err == nil {
		err = j.Done(ctx)
	}
	if err != nil {
		back, cancel := context.WithTimeout(context.WithoutCancel(ctx), returnTime)
		defer cancel()
		_ = j.Retry(back, 0) // else it comes when its lease has passed
		return Message{}, err
	}
	return Message{m: j.Message()}, nil
}

// Message is what was sent. It says that it has expired after [Durable.MaxAge].
func (j *Job) Message() Message { return Message{m: j.job.Message()} }

// Queue is the name of the queue that the job was taken from.
func (j *Job) Queue() string { return j.queue }

// Attempt counts how often the job was taken from its queue, this time included: 1 at first. It begins anew in the queue
// of dead letters.
func (j *Job) Attempt() int { return j.job.Attempt() }

// Reason is why a dead letter was buried; empty for other jobs, and where the backend's format has no place for it.
func (j *Job) Reason() string {
	if b, ok := j.job.(driver.Buried); ok {
		return b.Reason()
	}
	return ""
}

// Done ends the job. An error means that it may come again. Where the hold had run out the work is done nevertheless, and
// so is the job, even if another has it now.
func (j *Job) Done(ctx context.Context) error {
	return j.end(ctx, "end job of", func() error { return j.job.Done(ctx) })
}

// Retry gives the job back, to be taken again when after has passed; less than 0 is 0.
func (j *Job) Retry(ctx context.Context, after time.Duration) error {
	return j.end(ctx, "return job of", func() error { return j.job.Retry(ctx, max(0, after)) })
}

// maxReason bounds the reason of a burial, which travels beside the message.
const maxReason = 1000

// Bury moves the job to [DeadLetters] of its queue, with a reason for whoever looks at it there: one line, of which 1,000
// bytes are kept. An error, such as [ErrChannelFull], means that the job is still held. A dead letter cannot be buried
// again.
func (j *Job) Bury(ctx context.Context, reason string) error {
	return j.end(ctx, "bury job of", func() error {
		if isDead(j.queue) {
			return errors.New("it is a dead letter already: end it by Done, or keep it by Retry")
		}
		return j.job.Bury(ctx, DeadLetters(j.queue), oneLine(reason))
	})
}

// oneLine makes a reason one that fits a header.
func oneLine(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	if len(text) > maxReason {
		text = strings.ToValidUTF8(text[:maxReason], "")
	}
	return text
}

// Extend renews the hold for another [Durable.Lease] from now. Call it more often than that while the work goes on, best
// three times as often. [ErrNotHeld] means that another has the job, or will have it. After the end of the job it does
// nothing.
func (j *Job) Extend(ctx context.Context) error {
	if err := j.layer.ready(ctx); err != nil || j.ended.Load() {
		return err
	}
	return j.layer.failed("extend job of", j.queue, j.job.Extend(ctx))
}

// end calls what ends the job, unless something has.
func (j *Job) end(ctx context.Context, op string, f func() error) error {
	if err := j.layer.ready(ctx); err != nil {
		return err
	}
	if j.ended.Swap(true) {
		return nil
	}
	err := f()
	if err != nil {
		j.ended.Store(false)
	}
	return j.layer.failed(op, j.queue, err)
}
