package memlayer

import (
	"context"
	"strings"

	"github.com/tideway-go/tideway/layers/driver"
)

// GroupAdd implements driver.Groups.
func (n *node) GroupAdd(_ context.Context, group, channel string) error {
	if err := n.cut(); err != nil {
		return err
	}
	if !strings.Contains(channel, "!") {
		n.bus.queues.join(n, group, channel)
		return nil
	}
	owner := n.bus.owner(channel)
	switch {
	case owner == nil:
		return driver.ErrNoChannel
	case owner.cut() != nil:
		return driver.ErrUncertain
	}
	_, err := owner.local.Join(group, channel)
	return err
}

// GroupDiscard implements driver.Groups.
func (n *node) GroupDiscard(_ context.Context, group, channel string) error {
	if !strings.Contains(channel, "!") {
		n.bus.queues.leave(group, channel)
		return nil
	}
	owner := n.bus.owner(channel)
	if owner == nil {
		return nil
	}
	if owner != n {
		if err := n.cut(); err != nil {
			return err
		}
		if owner.cut() != nil {
			return driver.ErrUncertain
		}
	}
	owner.local.Leave(group, channel)
	return nil
}

// GroupSend implements driver.Groups: each process gets the message once and hands it to its own members.
func (n *node) GroupSend(_ context.Context, group string, m *driver.Message) error {
	if err := n.cut(); err != nil {
		return err
	}
	for _, x := range n.bus.all() {
		switch {
		case x == n:
			n.local.DeliverGroup(group, m)
		case x.cut() == nil && x.local.Members(group) > 0:
			if m, ok := x.arrive("", m); ok {
				x.local.DeliverGroup(group, m)
			}
		}
	}
	n.bus.queues.putGroup(n, group, m)
	return nil
}
