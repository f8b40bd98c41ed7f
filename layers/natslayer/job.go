package natslayer

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/tideway-go/tideway/layers/driver"
)

// The headers of a dead letter: why it is one, and the queue that it was a job of.
const (
	reasonHeader = "Tideway-Reason"
	queueHeader  = "Tideway-Queue"
)

// job is a message of a durable queue that is held.
type job struct {
	store    *store
	queue    *queue
	msg      *nats.Msg
	id       string // unique among jobs
	m        *driver.Message
	attempt  int
	sequence uint64       // in the stream
	till     atomic.Int64 // nanoseconds since 1970: the hold's end unless it is extended
}

var (
	_ driver.Job    = (*job)(nil)
	_ driver.Buried = (*job)(nil)
)

// take waits for the next job of a durable queue.
func (s *store) take(ctx context.Context, name string) (driver.Job, error) {
	for {
		t, q, err := s.next(ctx, name)
		if err != nil {
			return nil, err
		}
		meta, err := t.msg.Metadata()
		if err != nil {
			return nil, err
		}
		j := &job{
			store: s, queue: q, msg: t.msg,
			id:      q.token + "." + strconv.FormatUint(meta.Sequence.Stream, 10) + "." + strconv.FormatInt(meta.Timestamp.UnixNano(), 10),
			attempt: int(meta.NumDelivered), sequence: meta.Sequence.Stream,
		}
		j.till.Store(t.since.Add(q.lease).UnixNano())
		at := s.here(meta.Timestamp)
		m, ok := s.host.Message(name, t.msg.Data, at)
		if ok {
			if j.m = m.Arrive(at, q.shape.age); !j.m.Expired(time.Now()) {
				return j, nil
			}
			s.host.Dropped(name, "", j.m, driver.ErrExpired)
		}
		// Nobody can handle it, now or later. If the broker does not hear that, it gives it out once more.
		if j.end(ctx, ackTerm) != nil && ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
}

var (
	ackTerm     = []byte("+TERM")
	ackProgress = []byte("+WPI")
)

// Message implements driver.Job.
func (j *job) Message() *driver.Message { return j.m }

// Attempt implements driver.Job.
func (j *job) Attempt() int { return j.attempt }

// Reason implements driver.Buried.
func (j *job) Reason() string { return j.msg.Header.Get(reasonHeader) }

// Done implements driver.Job. It waits for the broker's word, some 50 us: of an acknowledgement that was only sent, nobody
// would know that it was lost, and the job would run again although Done had returned nil.
func (j *job) Done(ctx context.Context) error { return j.end(ctx, ackYes) }

// end takes the job out of the queue.
func (j *job) end(ctx context.Context, what []byte) error {
	err := j.confirm(ctx, what)
	if err == nil {
		j.store.vacate(ctx, j.queue, j.sequence)
	}
	return err
}

// Retry implements driver.Job.
func (j *job) Retry(ctx context.Context, after time.Duration) error {
	if !j.held() {
		return driver.ErrNotHeld
	}
	if after <= 0 {
		return j.confirm(ctx, ackNo)
	}
	return j.confirm(ctx, fmt.Appendf(nil, `-NAK {"delay": %d}`, after))
}

// Bury implements driver.Job. The id lets the broker store the letter once, however often a Bury is tried within its window
// for duplicates, two minutes.
func (j *job) Bury(ctx context.Context, dead, reason string) error {
	if !j.held() {
		return driver.ErrNotHeld
	}
	if _, ok := j.store.limits.Durable(dead); !ok {
		return fmt.Errorf("queue %q is not durable: %w", dead, errors.ErrUnsupported)
	}
	letter := &nats.Msg{Data: j.msg.Data, Header: nats.Header{
		nats.MsgIdHdr: {j.id},
		reasonHeader:  {headerText(reason)},
		queueHeader:   {j.queue.name},
	}}
	if err := j.store.put(ctx, letter, dead); err != nil {
		return err
	}
	if err := j.end(ctx, ackTerm); err != nil {
		return err
	}
	j.store.host.Delivered(1)
	return nil
}

// headerText is a text as a header can carry it.
func headerText(s string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return ' '
		}
		return c
	}, s)
}

// Extend implements driver.Job.
func (j *job) Extend(ctx context.Context) error {
	begun := time.Now()
	if !j.held() {
		return driver.ErrNotHeld
	}
	if err := j.confirm(ctx, ackProgress); err != nil {
		return err
	}
	j.till.Store(begun.Add(j.queue.lease).UnixNano())
	return nil
}

// held says that nobody else can have the job yet. The broker would not tell: it takes every word about a job that exists.
func (j *job) held() bool { return time.Now().UnixNano() < j.till.Load() }

// confirm tells the broker what becomes of the job until it confirms that. All that is told may be told twice. Without an
// answer it gives up when the hold has ended.
func (j *job) confirm(ctx context.Context, what []byte) error {
	s := j.store
	end := time.Unix(0, j.till.Load())
	if soon := time.Now().Add(answerTime); end.Before(soon) {
		end = soon
	}
	limit, cancel := context.WithDeadline(ctx, end)
	defer cancel()
	for {
		err := s.connected(limit)
		if err == nil {
			try, cancelTry := context.WithTimeout(limit, tryTime)
			_, err = s.nc.RequestWithContext(try, j.msg.Reply, what)
			cancelTry()
		}
		switch {
		case err == nil:
			return nil
		case err == driver.ErrClosed || errors.Is(err, nats.ErrConnectionClosed):
			return driver.ErrClosed
		case ctx.Err() != nil:
			return ctx.Err()
		case limit.Err() != nil:
			return driver.ErrNotHeld
		}
		_ = s.pause(limit, tryPause)
	}
}
