package natslayer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"
)

// link says whether the connection is up.
type link struct {
	lost atomic.Pointer[outage]    // nil while it is up
	back atomic.Pointer[time.Time] // when the last outage ended; nil if there was none

	// What the server has said of itself at the last connection: the client tells it behind its lock.
	maxPayload atomic.Int64
	clustered  atomic.Bool

	// server is the last that the connection led to, without secrets: the client forgets it in an outage.
	server atomic.Pointer[string]
}

// remember notes the server of the connection, for the log.
func (n *node) remember() string {
	server := redact(n.nc.ConnectedUrl())
	if n.nc.Opts.InProcessServer != nil {
		server = "the one inside the process"
	}
	if server != "" {
		n.link.server.Store(&server)
	}
	return server
}

// returnTime is how long after an outage other processes may still be on their way back: who has lost the same broker
// tries again after 3 s at most.
const returnTime = 5 * time.Second

// returning says that an outage ended a moment ago, so that processes nobody hears of may only be late.
func (l *link) returning() bool {
	back := l.back.Load()
	return back != nil && time.Since(*back) < returnTime
}

// outage is one episode without a connection.
type outage struct {
	err   error
	since time.Time
	over  chan struct{} // closed at its end
	final bool          // the connection is closed: it has none
}

// learn asks the client what the server has said of itself.
func (l *link) learn(nc *nats.Conn) {
	l.maxPayload.Store(nc.MaxPayload())
	l.clustered.Store(nc.ConnectedClusterName() != "")
}

// wait returns nil when the connection is up. At the beginning of an outage it waits a while, since most are a change of
// server; later it says at once what is wrong.
func (l *link) wait(ctx context.Context) error {
	o := l.lost.Load()
	if o == nil {
		return nil
	}
	left := answerTime - time.Since(o.since)
	if o.final || left <= 0 {
		return o.err
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-o.over:
		return nil
	case <-timer.C:
	case <-ctx.Done():
	}
	return o.err
}

// watch tells local channels when the connection is lost and when it is back. It ends when the listener is removed; Close
// waits for it.
func (n *node) watch(events <-chan nats.Status) {
	defer n.running.Done()
	for status := range events {
		switch status {
		case nats.CONNECTED:
		case nats.CLOSED:
			n.down(true)
		default:
			n.down(false)
		}
		if n.nc.Status() == nats.CONNECTED { // asked, since the client drops events that nobody has read for long
			n.up()
		}
	}
}

// What channels are told, and callers. The client says why a connection ended to a handler only, which is the
// application's.
var (
	errLost   = errors.New("the connection to NATS is lost")
	errClosed = errors.New("the connection to NATS is closed")
)

func (n *node) down(final bool) {
	if n.life.Err() != nil {
		return // Close is at work
	}
	before := n.link.lost.Load()
	if before != nil && (before.final || !final) {
		return
	}
	o := &outage{err: errLost, since: time.Now(), over: make(chan struct{}), final: final}
	if final {
		o.err = fmt.Errorf("%w: %w", errClosed, cmp.Or(n.nc.LastError(), nats.ErrConnectionClosed))
	}
	n.link.lost.Store(o)
	if before != nil { // it was down before, and everybody knows
		close(before.over)
	} else {
		n.local.DeliverAll(n.host.Outage(o.err))
	}
	var fields []zap.Field
	if server := n.link.server.Load(); server != nil {
		fields = append(fields, zap.String("server", *server))
	}
	n.log.Warn("natslayer: "+o.err.Error(), fields...)
}

// up ends an outage when the broker has taken all subscriptions again.
func (n *node) up() {
	o := n.link.lost.Load()
	if o == nil || o.final {
		return
	}
	if !n.settleAgain() {
		return // the next event says more
	}
	end := func() {
		n.unsent.Store(0)
		now := time.Now()
		n.link.back.Store(&now)
		n.link.lost.Store(nil)
	}
	for kept := n.outbox.take(end); len(kept) > 0; kept = n.outbox.take(end) {
		if !n.sendOn(kept) {
			return
		}
	}
	close(o.over)
	n.local.DeliverAll(n.host.Outage(nil))
	n.log.Warn("natslayer: the connection to NATS is back", zap.String("server", n.remember()), zap.Duration("after", time.Since(o.since)))
}

// settleAgain waits until the broker has answered on a new connection. It fails when that is lost again, or the layer ends.
func (n *node) settleAgain() bool {
	for {
		ctx, cancel := context.WithTimeout(n.life, answerTime)
		err := n.settle(ctx)
		cancel()
		if err == nil {
			n.link.learn(n.nc)
			return true
		}
		if n.life.Err() != nil || n.nc.Status() != nats.CONNECTED {
			return false
		}
	}
}

// sendOn sends what was kept, and waits until the broker has it. What is on its way when the connection is lost once more is
// not sent again: it may have arrived.
func (n *node) sendOn(kept []letter) bool {
	for i, l := range kept {
		if err := n.nc.Publish(l.subject, l.data); err != nil {
			n.outbox.giveBack(kept[i:])
			return false
		}
	}
	return n.settleAgain()
}
