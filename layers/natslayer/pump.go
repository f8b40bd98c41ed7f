package natslayer

import (
	"container/list"
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/tideway-go/tideway/layers/driver"
)

// A pump brings one queue's messages to those who wait for them in this process, the first to wait first. It asks the
// broker for as many as there are waiters, so that what nobody here waits for stays there for others. Where a message
// goes to at most one receiver, it is handed out only after the broker has confirmed that it is taken out of the queue.
//
// All of a pump's traffic arrives on one subscription: messages, confirmations, and what becomes of requests. The pump
// lives while somebody waits and a while longer.
type pump struct {
	store *store
	queue *queue
	inbox string
	sub   *nats.Subscription
	in    chan *nats.Msg
	wake  chan struct{} // holds a token when somebody has begun to wait

	mu       sync.Mutex
	waiters  list.List // of *waiter, those to whom no message is on its way
	ended    bool
	asked    int       // messages that the broker may still send
	askedTo  time.Time // when the last request ends
	retry    time.Time // no request before this
	broken   bool      // stream or consumer may be gone
	idleFrom time.Time // since when nothing is wanted or expected; zero: something is

	// What follows belongs to the pump's goroutine.
	claims  map[uint64]claim // messages on their way out of the queue
	claimNo uint64           // the last key of claims
	standstill
}

// waiter is one who waits for a message.
type waiter struct {
	c    chan taken // has room for one
	at   *list.Element
	left bool // it only waits to hear what became of the message that is on its way to it
}

type taken struct {
	msg   *nats.Msg
	since time.Time // it has not arrived before
	err   error
}

type claim struct {
	w    *waiter
	msg  *nats.Msg
	till time.Time // after this there will be no answer
}

const (
	pullTime   = 5 * time.Second        // how long a request waits at the broker
	pullGrace  = 500 * time.Millisecond // how much later its end may be heard of
	pullMost   = 256                    // messages that one pump asks for at once
	pumpRoom   = 4 * pullMost           // messages, confirmations and the rest that may wait to be read
	pumpLinger = time.Second            // how long a pump outlives its last waiter
	lostTime   = 100 * time.Millisecond // between attempts to make a lost consumer again
)

var (
	ackYes = []byte("+ACK")
	ackNo  = []byte("-NAK")
)

// wait enters the line of a queue, and begins its pump where there is none.
func (s *store) wait(q *queue) (*pump, *waiter, error) {
	w := &waiter{c: make(chan taken, 1)}
	q.mu.Lock()
	p := q.pump
	q.mu.Unlock()
	if p != nil && p.enter(w) {
		return p, w, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil, driver.ErrClosed
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.pump != nil && q.pump.enter(w) {
		return q.pump, w, nil
	}
	p, err := s.newPump(q)
	if err != nil {
		return nil, nil, err
	}
	q.pump = p
	p.enter(w)
	s.pumps.Add(1)
	go p.run() // ends when nobody has waited for a while, or with the store, whose close waits for it
	return p, w, nil
}

func (s *store) newPump(q *queue) (*pump, error) {
	p := &pump{
		store: s, queue: q,
		inbox:  s.nc.NewInbox(),
		in:     make(chan *nats.Msg, pumpRoom),
		wake:   make(chan struct{}, 1),
		claims: make(map[uint64]claim),
	}
	var err error
	if p.sub, err = s.nc.ChanSubscribe(p.inbox+".*", p.in); errors.Is(err, nats.ErrConnectionClosed) {
		err = driver.ErrClosed
	}
	return p, err
}

// enter adds a waiter. It fails when the pump has ended.
func (p *pump) enter(w *waiter) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return false
	}
	w.at = p.waiters.PushBack(w)
	p.idleFrom = time.Time{}
	if p.ask(time.Now()) {
		return true // the pump's goroutine need not know
	}
	select {
	case p.wake <- struct{}{}:
	default:
	}
	return true
}

// leave removes a waiter. It fails when a message or an error is on its way to it, which it must then take.
func (p *pump) leave(w *waiter) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w.at == nil {
		w.left = true
		return false
	}
	p.waiters.Remove(w.at)
	w.at = nil
	return true
}

// first takes the first waiter out of the line; nil if there is none.
func (p *pump) first() *waiter {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.waiters.Front()
	if e == nil {
		return nil
	}
	w := p.waiters.Remove(e).(*waiter)
	w.at = nil
	return w
}

// putBack puts a waiter whose message was lost at the head of the line, unless it waits for no other.
func (p *pump) putBack(w *waiter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w.left {
		w.c <- taken{err: context.Canceled}
		return
	}
	w.at = p.waiters.PushFront(w)
}

// giveBack lets the broker give a message to somebody else, at once.
func (p *pump) giveBack(msg *nats.Msg) { _ = p.store.nc.Publish(msg.Reply, ackNo) }

func (p *pump) run() {
	defer p.store.pumps.Done()
	status := p.store.nc.StatusChanged(nats.CONNECTED)
	defer p.store.nc.RemoveStatusListener(status)
	timer := time.NewTimer(pumpLinger)
	defer timer.Stop()
	for {
		now := time.Now()
		p.look(now)
		p.expire(now)
		p.request(now)
		if p.finished(now) {
			p.finish()
			return
		}
		timer.Reset(p.patience(now))
		select {
		case msg := <-p.in:
			p.handle(msg)
			for n := len(p.in); n > 0; n-- { // all that is there, before the next request
				p.handle(<-p.in)
			}
		case <-p.wake:
		case <-status: // a new connection: the requests may have been lost with the old one
			p.mu.Lock()
			p.asked, p.broken = 0, true
			p.mu.Unlock()
		case <-timer.C:
		case <-p.store.closing:
			p.fail(driver.ErrClosed)
			p.finish()
			return
		}
	}
}

// patience is how long the pump may sleep when nothing arrives.
func (p *pump) patience(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	next := now.Add(p.beat())
	sooner := func(t time.Time) {
		if t.Before(next) {
			next = t
		}
	}
	if p.asked > 0 {
		sooner(p.askedTo.Add(pullGrace))
	}
	if p.retry.After(now) && p.waiters.Len() > 0 {
		sooner(p.retry)
	}
	for _, c := range p.claims {
		sooner(c.till)
		break // any will do: a claim is looked at again soon enough
	}
	if !p.idleFrom.IsZero() {
		sooner(p.idleFrom.Add(pumpLinger))
	}
	return max(next.Sub(now), time.Millisecond)
}

// expire gives up what has had no answer for too long.
func (p *pump) expire(now time.Time) {
	p.mu.Lock()
	if p.asked > 0 && now.After(p.askedTo.Add(pullGrace)) {
		p.asked = 0
	}
	p.mu.Unlock()
	for n, c := range p.claims {
		if now.After(c.till) {
			delete(p.claims, n)
			p.unclaimed(c)
		}
	}
}

// request asks for what is wanted, after making again what is gone.
func (p *pump) request(now time.Time) {
	p.mu.Lock()
	mend := p.broken && p.waiters.Len() > 0 && !now.Before(p.retry)
	p.mu.Unlock()
	if mend {
		p.mend(now)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ask(now)
}

// ask requests a message for each waiter for whom none has been asked. It fails when that has to wait. The lock is held.
func (p *pump) ask(now time.Time) bool {
	want := min(p.waiters.Len(), pullMost) - p.asked
	if want <= 0 {
		return true
	}
	if p.broken || now.Before(p.retry) {
		return false
	}
	s := p.store
	request := append([]byte(`{"batch":`), strconv.Itoa(want)...)
	request = append(request, `,"expires":`...)
	request = strconv.AppendInt(request, int64(pullTime), 10)
	request = append(request, '}')
	// The reply's last token is the size of the request: an end of it that does not say how much is open means all.
	to := jetstream.DefaultAPIPrefix + "CONSUMER.MSG.NEXT." + p.queue.stream + "." + p.queue.token
	if s.nc.PublishRequest(to, p.inbox+"."+strconv.Itoa(want), request) != nil {
		p.retry = now.Add(lostTime)
		return false
	}
	p.asked += want
	p.askedTo = now.Add(pullTime)
	return true
}

// mend makes stream and consumer again where they are gone. One attempt at a time, so that the pump goes on meanwhile.
func (p *pump) mend(now time.Time) {
	s := p.store
	p.mu.Lock()
	p.retry = now.Add(lostTime)
	p.mu.Unlock()
	if !s.nc.IsConnected() {
		return
	}
	s.lost(p.queue)
	ctx, cancel := context.WithTimeout(context.Background(), tryTime)
	defer cancel()
	err := s.prepare(ctx, p.queue, true)
	if err != nil {
		if ctx.Err() == nil && !errors.Is(err, driver.ErrClosed) {
			p.fail(err)
		}
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.broken, p.retry = false, time.Time{}
}

// fail gives an error to everybody who waits.
func (p *pump) fail(err error) {
	for w := p.first(); w != nil; w = p.first() {
		w.c <- taken{err: err}
	}
}

// handle takes one message of the pump's subscription.
func (p *pump) handle(msg *nats.Msg) {
	token := strings.TrimPrefix(msg.Subject, p.inbox+".")
	switch {
	case len(token) == len(msg.Subject):
		p.arrived(msg)
	case token[0] == claimMark:
		p.confirmed(token[1:], msg)
	case token[0] == fenceMark:
		p.fenced = p.fenced && token[1:] != strconv.FormatUint(p.fence, 10)
	default:
		p.requestEnded(token, msg)
	}
}

// What begins the last token of the subject on which a claim is confirmed, and of a message of the pump to itself.
const (
	claimMark = 'c'
	fenceMark = 'f'
)

// arrived takes a message of the queue.
func (p *pump) arrived(msg *nats.Msg) {
	p.mu.Lock()
	p.asked = max(0, p.asked-1)
	p.mu.Unlock()
	if p.queue.shape.durable && time.Since(p.since) >= p.queue.lease {
		return // another has it, or will have it: giving it back would take it from that one
	}
	w := p.first()
	switch {
	case w == nil:
		p.giveBack(msg)
	case p.queue.shape.durable:
		w.c <- taken{msg: msg, since: p.since}
	default:
		p.claimNo++
		c := claim{w, msg, time.Now().Add(answerTime)}
		if p.store.nc.PublishRequest(msg.Reply, p.inbox+"."+string(claimMark)+strconv.FormatUint(p.claimNo, 10), ackYes) != nil {
			p.putBack(w)
			return
		}
		p.claims[p.claimNo] = c
	}
}

// confirmed takes the broker's answer to a claim.
func (p *pump) confirmed(token string, answer *nats.Msg) {
	n, _ := strconv.ParseUint(token, 10, 64)
	c, ok := p.claims[n]
	if !ok {
		return
	}
	delete(p.claims, n)
	if answer.Header.Get("Status") != "" { // nobody heard it
		p.lost()
		p.unclaimed(c)
		return
	}
	c.w.c <- taken{msg: c.msg}
}

// unclaimed puts a waiter back whose message may or may not have left the queue: nobody gets that message, for a second
// claim could be the second receiver's.
func (p *pump) unclaimed(c claim) {
	if m, ok := p.store.host.Message(p.queue.name, c.msg.Data, time.Time{}); ok {
		p.store.host.Dropped(p.queue.name, "", m, driver.ErrUncertain)
	}
	p.putBack(c.w)
}

// requestEnded hears that a request has ended without all of its messages: its time is up, or its consumer is gone.
func (p *pump) requestEnded(size string, msg *nats.Msg) {
	open, err := strconv.Atoi(msg.Header.Get("Nats-Pending-Messages"))
	if err != nil {
		open, _ = strconv.Atoi(size)
	}
	switch msg.Header.Get("Status") {
	case "100": // a heartbeat
		return
	case "404", "408":
	default:
		p.lost()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = max(0, p.asked-open)
}

// lost says that stream or consumer may be gone.
func (p *pump) lost() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.broken = true
	p.retry = time.Now().Add(lostTime / 10)
}

// finished says that the pump has had nothing to do for long enough. Nobody can enter then.
func (p *pump) finished(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiters.Len() > 0 || p.asked > 0 || len(p.claims) > 0 {
		p.idleFrom = time.Time{}
		return false
	}
	if p.idleFrom.IsZero() {
		p.idleFrom = now
	}
	p.ended = now.Sub(p.idleFrom) >= pumpLinger
	return p.ended
}

// finish ends the subscription and gives back what still arrives.
func (p *pump) finish() {
	p.mu.Lock()
	p.ended = true
	p.mu.Unlock()
	p.fail(driver.ErrClosed)
	limit := time.NewTimer(answerTime)
	defer limit.Stop()
	closed := p.sub.StatusChanged(nats.SubscriptionClosed)
	if !p.store.nc.IsConnected() || p.sub.Drain() != nil { // nothing is on its way
		_ = p.sub.Unsubscribe()
	}
	for open := true; open; {
		select {
		case msg := <-p.in:
			p.handle(msg)
		case <-closed:
			open = false
		case <-limit.C:
			_ = p.sub.Unsubscribe()
			open = false
		}
	}
	for n := len(p.in); n > 0; n-- {
		p.handle(<-p.in)
	}
	for _, c := range p.claims { // only Close leaves any
		p.unclaimed(c)
	}
	p.fail(driver.ErrClosed)
	p.queue.mu.Lock()
	if p.queue.pump == p {
		p.queue.pump = nil
	}
	p.queue.mu.Unlock()
}
