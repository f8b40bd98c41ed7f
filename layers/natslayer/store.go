package natslayer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/tideway-go/tideway/layers/driver"
)

// store keeps queues in JetStream. Streams and consumers are made when a queue is first used, and made again when they are
// gone, as after a restart of a broker that kept them in memory.
type store struct {
	nc     *nats.Conn
	js     jetstream.JetStream
	opts   Options
	prefix string
	names  *subjects
	host   driver.Host
	limits driver.Limits

	begun   time.Time
	again   time.Duration  // how often a queue in use is looked for in other streams
	closing chan struct{}  // closed by close
	pumps   sync.WaitGroup // goroutines of pumps, and requests that must not be left alone
	holds   sync.WaitGroup // goroutines of holders of memberships
	skew    atomic.Int64   // see skew
	seen    atomic.Bool    // JetStream has answered before
	outage  atomic.Int64   // when somebody first found the connection lost, nanoseconds since 1970; 0: it is up

	mu      sync.Mutex
	leaving bool // no membership begins any more
	closed  bool
	queues  map[string]*queue
	sweepAt int // how many queues there may be before unused ones are forgotten
	streams map[shape]bool
	members map[membership]*holder
}

func newStore(nc *nats.Conn, o Options, names *subjects, host driver.Host, limits driver.Limits) *store {
	s := &store{
		nc: nc, opts: o, prefix: names.prefix, names: names, host: host, limits: limits,
		begun:   time.Now(),
		again:   rivalTime,
		closing: make(chan struct{}),
		queues:  make(map[string]*queue),
		sweepAt: firstSweep,
		streams: make(map[shape]bool),
		members: make(map[membership]*holder),
	}
	s.js, _ = jetstream.New(nc) // fails for options only, and there are none
	return s
}

const (
	tryTime    = 500 * time.Millisecond // for one request to JetStream, which drops them while it elects a leader
	tryPause   = 50 * time.Millisecond  // between two
	rivalTime  = 10 * time.Second       // between two looks for a queue in other streams
	firstSweep = 1024
)

// Why JetStream cannot serve.
var errNoJetStream = fmt.Errorf("the NATS server has no JetStream, which queues need: start nats-server with -js, "+
	"use natslayer/embedded, which has it when it runs alone, or set Cluster.JetStreamPeers on 3 or 5 nodes of a cluster of it: %w", errors.ErrUnsupported)

// lacks says what is missing for queues, or nil.
func (s *store) lacks(ctx context.Context) error {
	return s.ask(ctx, func(ctx context.Context) error {
		_, err := s.js.AccountInfo(ctx)
		return err
	})
}

// ask calls f, which asks JetStream for something that can be asked again, until there is an answer.
func (s *store) ask(ctx context.Context, f func(context.Context) error) error {
	var last error // the last answer; that there was none says less than any
	for {
		if err := s.connected(ctx); err != nil {
			return err
		}
		try, cancel := context.WithTimeout(ctx, tryTime)
		err := f(try)
		cancel()
		if last == nil || !errors.Is(err, context.DeadlineExceeded) {
			last = err
		}
		switch {
		case err == nil:
			s.seen.Store(true)
			return nil
		case ctx.Err() != nil:
			return &unanswered{ctx.Err(), last}
		case errors.Is(err, nats.ErrConnectionClosed):
			return driver.ErrClosed
		case !s.passing(err):
			if absent(err) {
				return errNoJetStream
			}
			return err
		}
		switch ended := s.pause(ctx, tryPause); {
		case ended == nil:
		case ctx.Err() != nil:
			return &unanswered{ctx.Err(), last}
		default:
			return ended
		}
	}
}

// whole is ask for what must not be left alone half done: when ctx ends, the request under way is answered or times out
// before close returns. A server that shuts down while it makes a stream leaves goroutines behind.
func (s *store) whole(ctx context.Context, f func(context.Context) error) error {
	return s.ask(ctx, func(ctx context.Context) error {
		done := make(chan error, 1)
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			return driver.ErrClosed
		}
		s.pumps.Add(1)
		s.mu.Unlock()
		go func() { // has a time limit; close waits for it
			defer s.pumps.Done()
			try, cancel := context.WithTimeout(context.WithoutCancel(ctx), tryTime)
			defer cancel()
			done <- f(try)
		}()
		select {
		case err := <-done:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	})
}

// unanswered is the end of a ctx before JetStream gave an answer that counts, with the last one that did not.
type unanswered struct{ ended, last error }

func (e *unanswered) Error() string { return e.ended.Error() }
func (e *unanswered) Unwrap() error { return e.ended }

// absent says that there is no JetStream, or not for this account.
func absent(err error) bool {
	return errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) ||
		errors.Is(err, nats.ErrNoResponders)
}

// passing says that an error is one of a broker that starts or elects a leader. A JetStream that was there once comes back,
// and that of a cluster is found when the routes to it are up.
func (s *store) passing(err error) bool {
	if absent(err) {
		return s.seen.Load() || time.Since(s.begun) < answerTime
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout) {
		return true
	}
	var api *jetstream.APIError
	return errors.As(err, &api) && (api.Code == 503 || offline(api))
}

// offline says that servers of a cluster are known and cannot be reached, which passes; that there are too few of them does not.
func offline(api *jetstream.APIError) bool {
	return api.ErrorCode == codeNoPeers && strings.Contains(api.Description, "peer offline")
}

// linked is connected for those who have no time: it waits during the first two seconds of an outage, and fails at once later.
func (s *store) linked(ctx context.Context) error {
	if s.nc.IsConnected() {
		s.outage.Store(0)
		return nil
	}
	s.outage.CompareAndSwap(0, time.Now().UnixNano())
	left := answerTime - time.Since(time.Unix(0, s.outage.Load()))
	if left <= 0 {
		return errNoLink
	}
	limit, cancel := context.WithTimeout(ctx, left)
	defer cancel()
	err := s.connected(limit)
	switch {
	case err == nil:
		s.outage.Store(0)
	case limit.Err() != nil && ctx.Err() == nil:
		return errNoLink
	}
	return err
}

var errNoLink = errors.New("nothing was stored: there is no connection to NATS")

// connected waits until there is a connection.
func (s *store) connected(ctx context.Context) error {
	if s.nc.IsConnected() {
		return nil
	}
	changed := s.nc.StatusChanged(nats.CONNECTED, nats.CLOSED)
	defer s.nc.RemoveStatusListener(changed)
	for !s.nc.IsConnected() {
		if s.nc.IsClosed() {
			return driver.ErrClosed
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-s.closing:
			return driver.ErrClosed
		}
	}
	return nil
}

func (s *store) pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-s.closing:
		return driver.ErrClosed
	}
}

// send stores m in a queue.
func (s *store) send(ctx context.Context, queue string, m *driver.Message) error {
	if err := s.put(ctx, &nats.Msg{Data: m.Data()}, queue); err != nil {
		return err
	}
	s.host.Delivered(1)
	return nil
}

// vacate sees that a message that was taken out of a queue has left its place to the next. Where messages are kept on several
// servers, the broker confirms an acknowledgement a moment before, and a sender that hears of it would be refused as if
// the queue were full. An answer to a deletion comes after that moment, whatever it says.
func (s *store) vacate(ctx context.Context, q *queue, sequence uint64) {
	if s.opts.Replicas <= 1 {
		return
	}
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), tryTime)
	defer cancel()
	request := fmt.Appendf(nil, `{"seq":%d,"no_erase":true}`, sequence)
	_, _ = s.nc.RequestWithContext(limit, jetstream.DefaultAPIPrefix+"STREAM.MSG.DELETE."+q.stream, request)
}

// electionTime is for a stream that may have to be made on several servers. They elect a leader first, and when the first
// election fails, as on busy machines, the next one begins four to nine seconds later.
const electionTime = 12 * time.Second

// patience is how long a call waits for what a queue needs in the broker.
func (s *store) patience(q *queue) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.opts.Replicas > 1 && !s.streams[q.shape] {
		return electionTime
	}
	return answerTime
}

// put publishes a message to a queue's stream and waits for the answer, as long as [store.patience] says. It publishes again
// only when nobody was there to hear it.
func (s *store) put(ctx context.Context, msg *nats.Msg, name string) error {
	q, err := s.queue(name)
	if err != nil {
		return err
	}
	patience := s.patience(q)
	limit, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		if err := s.linked(limit); err != nil {
			return s.late(ctx, patience, err)
		}
		if err := s.prepare(limit, q, false); err != nil {
			return s.late(ctx, patience, err)
		}
		msg.Subject = q.subject
		answer, err := s.nc.RequestMsgWithContext(limit, msg)
		switch {
		case err == nil:
			return stored(answer)
		case errors.Is(err, nats.ErrNoResponders): // the stream is gone, or has no leader at the moment
			s.lost(q)
			if err := s.pause(limit, tryPause); err != nil {
				return s.late(ctx, patience, err)
			}
		case errors.Is(err, nats.ErrMaxPayload):
			return driver.ErrTooLarge
		case errors.Is(err, nats.ErrConnectionClosed):
			return driver.ErrClosed
		default:
			return fmt.Errorf("%w (%w)", driver.ErrUncertain, err)
		}
	}
}

// late tells the end of the caller's ctx from that of our own patience: nothing has been stored either way.
func (s *store) late(ctx context.Context, patience time.Duration, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var u *unanswered
	switch {
	case errors.Is(err, context.DeadlineExceeded) && !s.nc.IsConnected():
		return errNoLink
	case errors.As(err, &u) && absent(u.last) && !s.seen.Load():
		return errNoJetStream
	case errors.As(err, &u) && !errors.Is(u.last, context.DeadlineExceeded):
		return fmt.Errorf("nothing was stored: JetStream could not serve within %v: %w", patience, u.last)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("nothing was stored: no answer from JetStream within %v", patience)
	default:
		return err
	}
}

// Codes of JetStream's errors that nats.go does not name.
const (
	codeNotStored = 10077 // for several reasons, which only the text tells
	textFull      = "maximum messages per subject exceeded"
	codeTooLarge  = 10054

	codeNotClustered = 10074 // replicas on a single server
	codeNoPeers      = 10005 // too few servers
)

// stored reads the answer to a publication.
func stored(answer *nats.Msg) error {
	var a struct {
		Stream string              `json:"stream"`
		Error  *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(answer.Data, &a); err != nil {
		return fmt.Errorf("JetStream's answer cannot be read: %w (%w)", driver.ErrUncertain, err)
	}
	switch {
	case a.Error == nil && a.Stream != "":
		return nil
	case a.Error == nil:
		return fmt.Errorf("JetStream's answer names no stream: %w", driver.ErrUncertain)
	case a.Error.ErrorCode == codeNotStored && strings.Contains(a.Error.Description, textFull):
		return driver.ErrFull
	case a.Error.ErrorCode == codeTooLarge:
		return driver.ErrTooLarge
	default:
		return fmt.Errorf("JetStream refused it: %w", a.Error)
	}
}

// purge drops the messages of all queues of the prefix.
func (s *store) purge(ctx context.Context) error {
	var names []string
	err := s.ask(ctx, func(ctx context.Context) error {
		names = names[:0]
		list := s.js.StreamNames(ctx, jetstream.WithStreamListSubject(s.prefix+".queue.>"))
		for name := range list.Name() {
			names = append(names, name)
		}
		return list.Err()
	})
	if err != nil {
		return err
	}
	for _, name := range names {
		err := s.ask(ctx, func(ctx context.Context) error {
			st, err := s.js.Stream(ctx, name)
			if err == nil {
				err = st.Purge(ctx)
			}
			if errors.Is(err, jetstream.ErrStreamNotFound) {
				return nil
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("purging stream %q: %w", name, err)
		}
	}
	return nil
}

// flush drops all messages, where there are any, and the memberships that this process holds.
func (s *store) flush(ctx context.Context) error {
	if err := s.forget(ctx, false); err != nil {
		return err
	}
	if err := s.purge(ctx); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}

// close ends everything that this process does for queues, within ctx: memberships are handed over, group messages on their
// way into a queue get there, queue messages on their way to a receiver here go back.
func (s *store) close(ctx context.Context) error {
	s.mu.Lock()
	s.leaving = true
	s.mu.Unlock()
	err := s.forget(ctx, true)
	err = errors.Join(err, within(ctx, &s.holds))
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.closing)
	}
	s.mu.Unlock()
	return errors.Join(err, within(ctx, &s.pumps))
}

// within waits for goroutines, each of which has a time limit, until ctx ends.
func within(ctx context.Context, work *sync.WaitGroup) error {
	done := make(chan struct{})
	go func() { // ends with work, at the latest soon after ctx; waited for below
		work.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("queues: %w", ctx.Err())
	}
}
