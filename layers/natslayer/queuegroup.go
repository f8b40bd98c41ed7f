package natslayer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/tideway-go/tideway/layers/driver"
)

// membership is a queue that is a member of a group. The processes that made it one hold it: one of them, the forwarder,
// subscribes the group and puts its messages into the queue; the others stand by and see every second whether it is still
// there. The membership ends with its last holder.
//
// The forwarder's subscription is of a queue group of the broker, so that where there are two forwarders, for a moment or
// after a partition, each message is still put into the queue by one.
type membership struct{ group, queue string }

const (
	holdTick   = time.Second            // between two looks of a holder at the others
	holdMisses = 2                      // looks without an answer after which a forwarder counts as dead
	handTime   = 100 * time.Millisecond // both forward so long while one hands over to another
	holdRoom   = 1024                   // group messages that may wait to be put into one queue; more are dropped and counted
)

// What holders say to each other.
const (
	sayLeave = "leave" // to all holders: end the membership
	sayTake  = "take"  // to all holders: the forwarder ends, forward
	sayLook  = "look"  // to forwarders, by one who stands by: is there one?
	sayHere  = "here " // to forwarders, by a forwarder, with its process: one is enough
)

// holder is this process's part in a membership.
type holder struct {
	store *store
	m     membership
	queue *queue
	work  chan *nats.Msg // messages of the group
	told  chan *nats.Msg // what other holders say, and flushes

	once   sync.Once
	ending chan struct{} // closed when the membership has ended here and nothing more will come

	mu       sync.Mutex
	fixed    []*nats.Subscription // of told
	forwards []*nats.Subscription // of a forwarder: the first is the group's
	dropped  int                  // messages that the client had no room for
	misses   int                  // looks that had no answer
}

// holders and forwarders are the subjects on which holders talk.
func (s *store) holders(m membership) string {
	return s.prefix + ".holder." + token(m.group) + "." + token(m.queue)
}

func (s *store) forwarders(m membership) string {
	return s.prefix + ".forwarder." + token(m.group) + "." + token(m.queue)
}

// join makes a queue a member of a group, held by this process.
func (s *store) join(ctx context.Context, group, queue string) error {
	q, err := s.queue(queue)
	if err != nil {
		return err
	}
	patience := s.patience(q)
	limit, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := s.prepare(limit, q, false); err != nil {
		return s.late(ctx, patience, err)
	}
	h, begun, err := s.holder(membership{group, queue}, q)
	if err != nil {
		return err
	}
	if begun {
		err = h.begin(limit)
	} else {
		err = s.nc.FlushWithContext(limit)
	}
	if err != nil && begun {
		h.end(false)
	}
	if err != nil {
		return s.late(ctx, patience, err)
	}
	return nil
}

// holder finds this process's part in a membership, or begins it.
func (s *store) holder(m membership, q *queue) (h *holder, begun bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.leaving {
		return nil, false, driver.ErrClosed
	}
	if h := s.members[m]; h != nil {
		return h, false, nil
	}
	h = &holder{
		store: s, m: m, queue: q,
		work:   make(chan *nats.Msg, holdRoom),
		told:   make(chan *nats.Msg, 64),
		ending: make(chan struct{}),
	}
	for _, subject := range []string{s.holders(m), s.names.flush()} {
		sub, err := s.nc.ChanSubscribe(subject, h.told)
		if err != nil {
			h.unsubscribe(h.fixed)
			return nil, false, err
		}
		h.fixed = append(h.fixed, sub)
	}
	s.members[m] = h
	s.holds.Add(2)
	go h.keep()    // ends with the membership, which close ends; close waits for it
	go h.forward() // ends so too
	return h, true, nil
}

// begin finds out whether there is a forwarder, and becomes it if not.
func (h *holder) begin(ctx context.Context) error {
	if h.forwarded(ctx) {
		return h.store.nc.FlushWithContext(ctx)
	}
	return h.take(ctx)
}

// forwarded says whether there is a forwarder. One that does not answer is believed to be there at first.
func (h *holder) forwarded(ctx context.Context) bool {
	try, cancel := context.WithTimeout(ctx, tryTime)
	defer cancel()
	_, err := h.store.nc.RequestWithContext(try, h.store.forwarders(h.m), []byte(sayLook))
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case err == nil:
		h.misses = 0
	case errors.Is(err, nats.ErrNoResponders):
		return false
	case h.store.nc.IsConnected():
		h.misses++
	}
	return h.misses < holdMisses
}

// take makes this process the forwarder.
func (h *holder) take(ctx context.Context) error {
	h.mu.Lock()
	err := h.subscribe()
	h.mu.Unlock()
	if err != nil {
		return err
	}
	return h.store.nc.FlushWithContext(ctx)
}

func (h *holder) subscribe() error {
	select {
	case <-h.ending:
		return driver.ErrClosed
	default:
	}
	if h.forwards != nil {
		return nil
	}
	h.misses = 0
	s := h.store
	group, err := s.nc.ChanQueueSubscribe(s.names.group(h.m.group), token(h.m.queue), h.work)
	if err != nil {
		return err
	}
	here, err := s.nc.ChanSubscribe(s.forwarders(h.m), h.told)
	if err != nil {
		h.unsubscribe([]*nats.Subscription{group})
		return err
	}
	h.forwards, h.dropped = []*nats.Subscription{group, here}, 0
	return nil
}

func (h *holder) unsubscribe(subs []*nats.Subscription) {
	for _, sub := range subs {
		_ = sub.Unsubscribe() // fails only when the connection is closed, and the subscription with it
	}
}

// stop ends forwarding: what the broker has given to this process is still put into the queue.
func (h *holder) stop() {
	h.mu.Lock()
	subs := h.forwards
	h.forwards = nil
	h.mu.Unlock()
	if subs == nil {
		return
	}
	h.unsubscribe(subs[1:])
	h.countDropped(subs[0])
	closed := subs[0].StatusChanged(nats.SubscriptionClosed)
	if !h.store.nc.IsConnected() || subs[0].Drain() != nil { // nothing is on its way
		_ = subs[0].Unsubscribe()
		return
	}
	limit := time.NewTimer(answerTime)
	defer limit.Stop()
	select {
	case <-closed:
	case <-limit.C:
		_ = subs[0].Unsubscribe()
	}
}

// handOver lets one that stands by forward too, for a while. A publish that the broker is at work on still goes by the
// subscriptions of a moment ago: where it knows of this one alone, and finds it ended, it drops the message.
func (h *holder) handOver() {
	ctx, cancel := context.WithTimeout(context.Background(), tryTime)
	defer cancel()
	s := h.store
	if _, err := s.nc.RequestWithContext(ctx, s.holders(h.m), []byte(sayTake)); err != nil {
		return // nobody stands by, or the look of one finds out
	}
	<-time.After(handTime)
}

// end ends this process's part. With handOver, one that stands by forwards before this one stops.
func (h *holder) end(handOver bool) {
	h.once.Do(func() {
		s := h.store
		s.mu.Lock()
		if s.members[h.m] == h {
			delete(s.members, h.m)
		}
		s.mu.Unlock()
		h.unsubscribe(h.fixed)
		h.mu.Lock()
		forwards := h.forwards != nil
		h.mu.Unlock()
		if handOver && forwards && s.nc.IsConnected() {
			h.handOver()
		}
		h.stop()
		close(h.ending)
		h.stop() // if it took over meanwhile
	})
}

// keep does what other holders say, and looks at them now and then.
func (h *holder) keep() {
	defer h.store.holds.Done()
	tick := time.NewTicker(holdTick)
	defer tick.Stop()
	for {
		select {
		case msg := <-h.told:
			h.obey(msg)
		case <-tick.C:
			h.look()
		case <-h.ending:
			return
		}
	}
}

func (h *holder) obey(msg *nats.Msg) {
	s := h.store
	what := string(msg.Data)
	switch {
	case msg.Subject == s.names.flush() || what == sayLeave:
		h.end(false)
	case what == sayTake:
		ctx, cancel := context.WithTimeout(context.Background(), tryTime)
		defer cancel()
		if h.take(ctx) != nil {
			return
		}
	case strings.HasPrefix(what, sayHere) && what[len(sayHere):] < s.names.process:
		h.stop()
		return
	}
	if msg.Reply != "" {
		_ = msg.Respond(nil)
	}
}

// look sees to it that there is one forwarder.
func (h *holder) look() {
	if !h.store.nc.IsConnected() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), tryTime)
	defer cancel()
	h.mu.Lock()
	subs := h.forwards
	h.mu.Unlock()
	if subs != nil {
		h.countDropped(subs[0])
		_ = h.store.nc.Publish(h.store.forwarders(h.m), []byte(sayHere+h.store.names.process))
		return
	}
	if !h.forwarded(ctx) {
		_ = h.take(ctx)
	}
}

// countDropped tells of messages that came faster than the queue's stream took them.
func (h *holder) countDropped(sub *nats.Subscription) {
	total, err := sub.Dropped()
	if err != nil {
		return
	}
	h.mu.Lock()
	lost := total - h.dropped
	h.dropped = total
	h.mu.Unlock()
	for range lost {
		h.store.host.Dropped(h.m.queue, h.m.group, driver.NewMessage("", nil), driver.ErrFull)
	}
}

// forward puts the group's messages into the queue, one after the other, so that their order stays.
func (h *holder) forward() {
	defer h.store.holds.Done()
	for {
		select {
		case msg := <-h.work:
			h.put(msg)
			continue
		case <-h.ending:
		}
		for n := len(h.work); n > 0; n-- {
			h.put(<-h.work)
		}
		return
	}
}

func (h *holder) put(msg *nats.Msg) {
	s := h.store
	m, ok := s.host.Message(h.m.queue, msg.Data, time.Time{})
	if !ok {
		return
	}
	if err := s.put(context.Background(), &nats.Msg{Data: msg.Data}, h.m.queue); err != nil {
		s.host.Dropped(h.m.queue, h.m.group, m, err)
		return
	}
	s.host.GroupDelivered(1)
}

// leave ends a queue's membership in all processes that hold it.
func (s *store) leave(ctx context.Context, group, queue string) error {
	m := membership{group, queue}
	limit, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	s.mu.Lock()
	h := s.members[m]
	s.mu.Unlock()
	if h != nil {
		h.end(false)
	}
	for {
		if err := s.connected(limit); err != nil {
			return s.unheard(ctx, err)
		}
		try, cancelTry := context.WithTimeout(limit, tryTime)
		_, err := s.nc.RequestWithContext(try, s.holders(m), []byte(sayLeave))
		cancelTry()
		switch {
		case errors.Is(err, nats.ErrNoResponders):
			return nil
		case errors.Is(err, nats.ErrConnectionClosed):
			return driver.ErrClosed
		case limit.Err() != nil:
			return s.unheard(ctx, limit.Err())
		}
	}
}

func (s *store) unheard(ctx context.Context, err error) error {
	if ctx.Err() != nil || err == driver.ErrClosed {
		return err
	}
	return fmt.Errorf("other processes that hold the membership do not answer: %w", driver.ErrUncertain)
}

// forget ends what this process holds, within ctx.
func (s *store) forget(ctx context.Context, handOver bool) error {
	s.mu.Lock()
	all := slices.Collect(maps.Values(s.members))
	s.mu.Unlock()
	done := make(chan struct{})
	go func() { // ends with the memberships, each of which has a time limit; waited for below
		defer close(done)
		var ends sync.WaitGroup
		for _, h := range all {
			ends.Go(func() { h.end(handOver) })
		}
		ends.Wait()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
