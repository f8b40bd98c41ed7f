package natslayer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// closeTime bounds Close when its ctx has no deadline.
const closeTime = 5 * time.Second

// Close implements driver.Driver.
func (n *node) Close(ctx context.Context) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, closeTime)
		defer cancel()
	}
	err := n.store.close(ctx)
	err = errors.Join(err, n.sendKept(ctx))
	n.unsubscribeAll()
	err = errors.Join(err, n.sendBuffered(ctx))
	n.end()
	n.nc.RemoveStatusListener(n.events)
	n.in <- theEnd // the delivery goroutine still reads
	n.running.Wait()
	if n.dialer != nil {
		n.nc.Close()
		n.dialer.wait()
	}
	return err
}

// unsubscribeAll refuses new members and ends what arrives. A connection of the layer's own ends its groups by itself.
func (n *node) unsubscribeAll() {
	t := &n.groups
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	subs := n.fixed
	if n.dialer == nil {
		for _, g := range t.byName {
			subs = append(subs, g.sub)
		}
	}
	clear(t.byName)
	for _, sub := range subs {
		_ = sub.Unsubscribe() // fails only when the connection is closed
	}
}

// sendKept waits for the end of an outage in which messages were kept, or says how many were.
func (n *node) sendKept(ctx context.Context) error {
	o := n.link.lost.Load()
	kept := n.outbox.len()
	if o == nil || kept == 0 {
		return nil
	}
	why := o.err
	if !o.final {
		select {
		case <-o.over:
		case <-ctx.Done():
			why = fmt.Errorf("%w: %w", o.err, ctx.Err())
		}
		if kept = n.outbox.len(); kept == 0 {
			return nil
		}
	}
	return fmt.Errorf("%d messages that were sent without a connection were not sent on: %w", kept, why)
}

// sendBuffered waits until the broker has all that was sent, or says what it has not.
func (n *node) sendBuffered(ctx context.Context) error {
	if !n.nc.IsConnected() && n.unsent.Load() == 0 {
		return nil
	}
	err := n.nc.FlushWithContext(ctx)
	for errors.Is(err, nats.ErrConnectionClosed) && !n.nc.IsClosed() { // lost meanwhile
		err = n.nc.FlushWithContext(ctx)
	}
	unsent := n.unsent.Load()
	switch {
	case err == nil:
		return nil
	case unsent > 0:
		return fmt.Errorf("%d messages that were sent without a connection were not sent on: %w", unsent, err)
	default:
		return fmt.Errorf("what was sent last may not have left: %w", err)
	}
}
