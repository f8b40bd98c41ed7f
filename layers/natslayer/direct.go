package natslayer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/tideway-go/tideway/layers/driver"
)

// What a process answers.
var (
	answerOK      = []byte("ok")
	answerFull    = []byte("full")
	answerGone    = []byte("gone")
	answerInvalid = []byte("invalid")
	answerFailed  = []byte("failed ")
)

// failed answers with an error; the first line is enough for somebody else's process.
func failed(err error) []byte {
	text, _, _ := bytes.Cut([]byte(err.Error()), []byte("\n"))
	return append(bytes.Clone(answerFailed), text[:min(len(text), 200)]...)
}

// answer replies to whoever asked. It does not matter whether it arrives: without it the other side is uncertain.
func (n *node) answer(m *nats.Msg, text []byte) {
	if m.Reply != "" {
		_ = n.nc.Publish(m.Reply, text)
	}
}

// sendDirect asks the process that owns a channel to take a message. This process is asked in the same way: its own
// sends must not overtake what it sent to groups.
func (n *node) sendDirect(ctx context.Context, channel string, m *driver.Message) error {
	subject, ok := n.subjects.channel(channel)
	if !ok {
		return driver.ErrNoChannel
	}
	if err := n.fits(m); err != nil {
		return err
	}
	err := n.request(ctx, subject, m.Data())
	if errors.Is(err, driver.ErrUncertain) && ctx.Err() == nil && n.gone(ctx, channel) {
		return driver.ErrNoChannel
	}
	return err
}

// goneTime is how much of answerTime a process that did not answer is given to say that it is there.
const goneTime = 250 * time.Millisecond

// gone says that the process of a channel that did not answer has ended meanwhile, and the channel with it. In a cluster the
// news that a process has ended travels, and what is sent to it before the news gets lost on the way without an answer.
func (n *node) gone(ctx context.Context, channel string) bool {
	process, _ := driver.Owner(channel)
	limited, cancel := context.WithTimeout(ctx, goneTime)
	defer cancel()
	_, err := n.nc.RequestWithContext(limited, n.subjects.control(process), nil)
	return errors.Is(err, nats.ErrNoResponders)
}

// headroom is what a message's subject, reply and headers may take of the server's limit.
const headroom = 4096

// fits holds a message to the limit of the server to which the process is connected now.
func (n *node) fits(m *driver.Message) error {
	if limit := n.link.maxPayload.Load() - headroom; int64(len(m.Data())) > limit {
		return fmt.Errorf("%w: %d bytes, the server takes %d (its max_payload less %d)", driver.ErrTooLarge, len(m.Data()), limit, headroom)
	}
	return nil
}

// request publishes data once and waits for the answer of the process that listens. Where nobody listened, nobody can have
// taken it, and it is published again for a while: after an outage, since the other process may have lost the same broker, and in
// a cluster, since the news that it listens travels from server to server.
func (n *node) request(ctx context.Context, subject string, data []byte) error {
	limited, cancel := context.WithTimeout(ctx, answerTime-goneTime)
	defer cancel()
	if err := n.link.wait(limited); err != nil {
		return ended(ctx, err)
	}
	reply, err := n.nc.RequestWithContext(limited, subject, data)
	for begun := time.Now(); errors.Is(err, nats.ErrNoResponders) && n.mayBeLate(begun) && n.store.pause(limited, latePause) == nil; {
		reply, err = n.nc.RequestWithContext(limited, subject, data)
	}
	switch {
	case err == nil:
		return answered(reply.Data)
	case errors.Is(err, nats.ErrNoResponders):
		return driver.ErrNoChannel
	case errors.Is(err, nats.ErrMaxPayload):
		return driver.ErrTooLarge
	case errors.Is(err, nats.ErrReconnectBufExceeded), errors.Is(err, nats.ErrConnectionDraining):
		return fmt.Errorf("nothing was sent: %w", err)
	default:
		return fmt.Errorf("%w (%w)", driver.ErrUncertain, err)
	}
}

// latePause is the time between two looks for a process that may be late, newsTime how long the news of one that listens may
// travel in a cluster, as the tests allow.
const (
	latePause = 10 * time.Millisecond
	newsTime  = 50 * time.Millisecond
)

// mayBeLate says that a process that was not heard of when a send began may still be.
func (n *node) mayBeLate(begun time.Time) bool {
	return n.link.returning() || n.link.clustered.Load() && time.Since(begun) < n.news
}

// answered reads an answer.
func answered(text []byte) error {
	switch {
	case bytes.Equal(text, answerOK):
		return nil
	case bytes.Equal(text, answerFull):
		return driver.ErrFull
	case bytes.Equal(text, answerGone):
		return driver.ErrNoChannel
	case bytes.Equal(text, answerInvalid):
		return errors.New("the channel's process could not read the message")
	default:
		return fmt.Errorf("the channel's process answered %q", text[:min(len(text), 200)])
	}
}

// ended returns ctx's error if it has one: what went wrong then is of no interest.
func ended(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// GroupSend implements driver.Groups. Members of this process get the message from the broker like all others.
func (n *node) GroupSend(_ context.Context, group string, m *driver.Message) error {
	if err := n.fits(m); err != nil {
		return err
	}
	subject := n.subjects.group(group)
	if kept, err := n.outbox.keep(&n.link, subject, m); kept || err != nil {
		return err
	}
	switch err := n.nc.Publish(subject, m.Data()); {
	case err == nil:
		if !n.nc.IsConnected() {
			n.unsent.Add(1)
		}
		return nil
	case errors.Is(err, nats.ErrMaxPayload):
		return driver.ErrTooLarge
	case errors.Is(err, nats.ErrReconnectBufExceeded):
		return fmt.Errorf("the connection is lost, and what may wait for it is used up: %w", err)
	default:
		return err
	}
}
