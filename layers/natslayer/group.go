package natslayer

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/tideway-go/tideway/layers/driver"
)

// groupTable is which groups are subscribed. The delivery goroutine does not need it.
type groupTable struct {
	mu     sync.Mutex // held while a group is subscribed or unsubscribed, which may wait for the client's socket
	closed bool
	byName map[string]*groupSub

	channels groupSub // the one subscription of all channels of this process
}

// groupSub is one group's subscription. It stays while the group has a member here or somebody is joining, and a while
// longer (lingerTime).
type groupSub struct {
	sub     *nats.Subscription
	joining int // calls of join under way
	dropped int // messages that the overflow has told of
}

// join makes an own channel a member. The membership begins in the order of delivery, after all that the broker had
// passed on before the call: nothing older is delivered, as it would be to a channel that left and came back.
func (n *node) join(ctx context.Context, group, channel string) error {
	limited, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	if err := n.link.wait(limited); err != nil {
		return ended(ctx, err)
	}
	if err := n.hold(group); err != nil {
		return err
	}
	defer n.release(group)
	if err := n.settle(limited); err != nil {
		return ended(ctx, err)
	}
	return n.joins.join(ctx, n, group, channel)
}

// leave ends an own channel's membership.
func (n *node) leave(group, channel string) {
	if n.local.Leave(group, channel) {
		n.idle.add(group)
	}
}

// hold sees that a group is subscribed and stays so until release.
func (n *node) hold(group string) error {
	t := &n.groups
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return driver.ErrClosed
	}
	g := t.byName[group]
	if g == nil {
		sub, err := n.nc.ChanSubscribe(n.subjects.group(group), n.in)
		if err != nil {
			return fmt.Errorf("subscribe: %w", err)
		}
		g = &groupSub{sub: sub}
		if t.byName == nil {
			t.byName = make(map[string]*groupSub)
		}
		t.byName[group] = g
	}
	g.joining++
	return nil
}

func (n *node) release(group string) {
	t := &n.groups
	t.mu.Lock()
	defer t.mu.Unlock()
	g := t.byName[group]
	if g == nil { // closed meanwhile
		return
	}
	if g.joining--; g.joining == 0 && n.local.Members(group) == 0 {
		n.idle.add(group)
	}
}

// settle returns when the broker has done all that this process asked of it before, and what it passed on before that
// is in the delivery channel. During an outage it waits for the connection. ctx has a deadline.
func (n *node) settle(ctx context.Context) error {
	for {
		switch err := n.nc.FlushWithContext(ctx); {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return errNoBroker
		case n.nc.IsClosed() || !errors.Is(err, nats.ErrConnectionClosed):
			return err
		}
		// The connection was lost meanwhile; the next flush waits until it is back.
	}
}

var errNoBroker = fmt.Errorf("no answer from the broker for %v", answerTime)

// joinTable is the marks that are on their way through the delivery channel.
type joinTable struct {
	mu     sync.Mutex
	byMark map[*nats.Msg]*joining
}

// joining is one membership that begins when its mark is met.
type joining struct {
	mark           nats.Msg
	group, channel string
	done           chan error
}

func (t *joinTable) join(ctx context.Context, n *node, group, channel string) error {
	j := &joining{group: group, channel: channel, done: make(chan error, 1)}
	t.add(j)
	select {
	case n.in <- &j.mark:
	case <-ctx.Done():
		t.take(&j.mark)
		return ctx.Err()
	case <-n.stopped:
		t.take(&j.mark)
		return driver.ErrClosed
	}
	err := driver.ErrClosed
	select {
	case err := <-j.done:
		return err
	case <-ctx.Done():
		err = ctx.Err()
	case <-n.stopped:
	}
	if t.take(&j.mark) != nil { // nobody will join it now
		return err
	}
	return <-j.done
}

func (t *joinTable) add(j *joining) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byMark == nil {
		t.byMark = make(map[*nats.Msg]*joining)
	}
	t.byMark[&j.mark] = j
}

// take returns whose mark it is, once.
func (t *joinTable) take(mark *nats.Msg) *joining {
	t.mu.Lock()
	defer t.mu.Unlock()
	j := t.byMark[mark]
	delete(t.byMark, mark)
	return j
}

// joinNow runs on the delivery goroutine.
func (n *node) joinNow(mark *nats.Msg) {
	if j := n.joins.take(mark); j != nil {
		_, err := n.local.Join(j.group, j.channel)
		j.done <- err
	}
}
