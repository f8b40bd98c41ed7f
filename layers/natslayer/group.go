package natslayer

import (
	"context"
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
	err := n.pass(limited, &mark{group: group, channel: channel})
	if err == errNoBroker {
		return ended(ctx, err)
	}
	return err
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

var errNoBroker = fmt.Errorf("no answer from the broker for %v", answerTime)
