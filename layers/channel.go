package layers

import (
	"context"
	"errors"
)

// NewChannel opens a process-local channel and returns its name, unique across processes. Messages wait in a mailbox
// for [Layer.Receive], up to the capacity of the name. End it with [Layer.EndChannel].
func (l *Layer) NewChannel(ctx context.Context) (channel string, err error) {
	if err := l.ready(ctx); err != nil {
		return "", err
	}
	b := &mailbox{layer: l}
	channel, err = l.open(ctx, b)
	if err != nil {
		return "", err
	}
	b.begin(channel, l.Capacity(channel))
	l.mu.Lock()
	l.boxes[channel] = b
	l.mu.Unlock()
	if l.closed.Load() { // Close may have looked at boxes before
		b.end()
		return "", ErrClosed
	}
	return channel, nil
}

// Listen opens a process-local channel whose messages are pushed to in: nobody polls, and an idle channel costs no
// goroutine. It is what consumers use. No message can be sent to the channel before Listen returns its name; only
// [Down] and [Up] may come at any time.
func (l *Layer) Listen(ctx context.Context, in Inbox) (channel string, err error) {
	if err := l.ready(ctx); err != nil {
		return "", err
	}
	if in == nil {
		return "", errors.New("layers: listen: the inbox is nil")
	}
	return l.open(ctx, in)
}

func (l *Layer) open(ctx context.Context, in Inbox) (string, error) {
	channel, err := l.driver.Open(ctx, port{in})
	return channel, l.failed("open channel", "", err)
}

// EndChannel ends a channel that NewChannel or Listen of this layer returned, with its memberships and unread
// messages. Sends to it return [ErrNoChannel] from then on, where the backend can know, and waiting Receives return
// it too. Any other name is no error.
func (l *Layer) EndChannel(ctx context.Context, channel string) error {
	if l == nil {
		return ErrNoLayer
	}
	if l.closed.Load() {
		return ErrClosed
	}
	const op = "end channel"
	if err := checkChannel(channel); err != nil {
		return &opError{op, channel, err}
	}
	err := l.driver.Shut(ctx, channel)
	l.mu.Lock()
	b := l.boxes[channel]
	delete(l.boxes, channel)
	l.mu.Unlock()
	if b != nil {
		b.end()
	}
	return l.failed(op, channel, err)
}

// Receive waits for the next message of a channel that NewChannel of this layer returned, or of a queue, which is a
// channel without "!" (L11). Any number of goroutines may wait for one channel: each message goes to one, in the
// order in which they began to wait. A Receive whose ctx ends loses no message. Expired messages are
// dropped and counted.
//
// From a durable queue Receive takes a job and says that it is done, at once: it comes to nobody else, even if the
// caller fails. [Layer.Take] leaves that to the caller.
func (l *Layer) Receive(ctx context.Context, channel string) (Message, error) {
	if err := l.ready(ctx); err != nil {
		return Message{}, err
	}
	const op = "receive from"
	if err := l.checkAddress(channel); err != nil {
		return Message{}, &opError{op, channel, err}
	}
	l.mu.Lock()
	b := l.boxes[channel]
	l.mu.Unlock()
	m, err := l.receive(ctx, channel, b)
	if err != nil {
		return Message{}, l.failed(op, channel, err)
	}
	l.count.received.Add(1)
	return m, nil
}

func (l *Layer) receive(ctx context.Context, channel string, b *mailbox) (Message, error) {
	if b != nil {
		return b.receive(ctx)
	}
	if !isQueue(channel) {
		return Message{}, errNotMine
	}
	if _, ok := l.opts.durable(channel); ok {
		return l.receiveJob(ctx, channel)
	}
	q, err := l.queues()
	if err != nil {
		return Message{}, err
	}
	waiting, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	defer context.AfterFunc(l.life, func() { stop(ErrClosed) })()
	m, err := q.Receive(waiting, channel)
	if err != nil {
		return Message{}, err
	}
	return Message{m: m}, nil
}

// errNotMine explains the two ways to get here: another owner's channel, and one that is pushed.
var errNotMine = &notMineError{}

type notMineError struct{}

func (*notMineError) Error() string {
	return "only the layer that made a channel with \"!\" in its name with NewChannel can receive from it: " +
		"this one belongs to another process, or is pushed to an Inbox by Listen, or has ended"
}

func (*notMineError) Is(target error) bool { return target == ErrNoChannel }
