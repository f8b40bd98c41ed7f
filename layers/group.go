package layers

import (
	"context"
	"fmt"

	"github.com/tideway-go/tideway/layers/driver"
)

// GroupAdd makes a channel, of any process or a queue, a member of a group. A GroupSend that happens after it returned
// is offered to the member. Adding twice is adding once. The membership ends with the channel and with its process.
func (l *Layer) GroupAdd(ctx context.Context, group, channel string) error {
	g, err := l.groups(ctx)
	if err != nil {
		return err
	}
	if err = checkMembership(group, channel); err == nil {
		err = l.checkAddress(channel)
	}
	if err == nil {
		err = g.GroupAdd(ctx, group, channel)
	}
	return l.membershipFailed("add %s to group", group, channel, err)
}

// GroupDiscard ends a membership. A GroupSend that happens after it returned is not offered to the channel. Discarding
// a stranger is no error.
func (l *Layer) GroupDiscard(ctx context.Context, group, channel string) error {
	g, err := l.groups(ctx)
	if err != nil {
		return err
	}
	if err = checkMembership(group, channel); err == nil {
		err = g.GroupDiscard(ctx, group, channel)
	}
	return l.membershipFailed("discard %s from group", group, channel, err)
}

// GroupSend sends m to every member of a group. Members without room are skipped, counted in [Stats], reported to
// Options.OnDrop, and never make it fail. An empty group is no error.
func (l *Layer) GroupSend(ctx context.Context, group string, m Message) error {
	g, err := l.groups(ctx)
	if err != nil {
		return err
	}
	const op = "send to group"
	if err := l.sendable(checkGroup(group), m); err != nil {
		return &opError{op, group, err}
	}
	if l.opts.Propagator == nil && m.m.Trace() == "" {
		err = g.GroupSend(ctx, group, l.arrive(m.m))
	} else {
		err = l.trace(ctx, m, func(m *driver.Message) error { return g.GroupSend(ctx, group, m) })
	}
	if err != nil {
		return l.failed(op, group, err)
	}
	l.count.groupSent.Add(1)
	return nil
}

func checkMembership(group, channel string) error {
	if err := checkGroup(group); err != nil {
		return err
	}
	return checkChannel(channel)
}

// membershipFailed words an error with both names in it.
func (l *Layer) membershipFailed(op, group, channel string, err error) error {
	if err == nil {
		return nil
	}
	return l.failed(fmt.Sprintf(op, quote(channel)), group, err)
}
