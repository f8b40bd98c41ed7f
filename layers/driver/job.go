package driver

import (
	"context"
	"time"
)

// Jobs is implemented by a driver with durable queues: channels without "!" whose messages are kept until a worker says
// that they are done, at least once. Which queues are durable tells [Limits.Durable], alike in senders and workers; Send and
// a group's send store to them, and Receive of [Queues] is never called for them: the layer takes a job and says at once
// that it is done.
type Jobs interface {
	// Take waits for the next job of a durable queue. A Take that ends by ctx loses no job and holds none. What is stored
	// and cannot be read ([Host.Message] says no) is ended for good: nobody could ever handle it. Of a job that is
	// dropped because it is older than [Durable.MaxAge], [Host.Dropped] is told where the backend can know.
	Take(ctx context.Context, queue string) (Job, error)
}

// Job is one message of a durable queue while one worker holds it. The hold lasts for [Durable.Lease] and is renewed by Extend;
// when it ends otherwise than by the methods below, because the worker died, the job is given to another. Each of
// Done, Retry and Bury ends the hold, and only the first counts: the layer calls none of these four methods after one of
// the three has returned nil.
//
// Of a hold that has run out, Done ends the job nevertheless, whoever has it now. The others are [ErrNotHeld] where the
// backend can know. Extend may be called beside another.
type Job interface {
	// Message is what was sent, its Arrived the moment at which it was stored. It expires after [Durable.MaxAge].
	Message() *Message

	// Attempt counts how often the job was given to a worker, this time included: 1 at first.
	Attempt() int

	// Done says that the job is done: it is given to nobody any more. An error means that it may come again.
	Done(ctx context.Context) error

	// Retry gives the job back, to be taken again by any worker when after has passed.
	Retry(ctx context.Context, after time.Duration) error

	// Bury stores the message in the durable queue named dead first, and then ends the job: it is lost at no moment. reason,
	// one line of at most 1,000 bytes, is kept with it where the format has a place ([Buried]). An error means that the job
	// is still held; [ErrFull], that the other queue has no room.
	Bury(ctx context.Context, dead, reason string) error

	// Extend renews the hold for another [Durable.Lease] from now.
	Extend(ctx context.Context) error
}

// Buried is implemented by a [Job] that knows why it was buried.
type Buried interface {
	// Reason is what Bury was told; empty for a job that nobody buried.
	Reason() string
}

// Durable is what a driver needs to know of a durable queue.
type Durable struct {
	Capacity int           // how many jobs wait or are held, at least 1: more are [ErrFull]
	MaxAge   time.Duration // a job older than this is dropped
	Lease    time.Duration // how long after its worker's last sign of life a job is given to another
}
