package layertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tideway-go/tideway/layers"
)

var queues = rule{
	number: 11,
	promise: `A channel without "!" is a queue: each message goes to at most one receiver, and waits for one up to ` +
		"expiry and capacity",
	checks: []check{
		{name: "a message waits for a receiver", run: queueWaits},
		{name: "one receiver gets the messages in order", run: queueInOrder},
		{name: "of several receivers each message reaches one", run: queueShared},
		{name: "a full queue is ErrChannelFull and stores nothing", run: queueFull},
		{name: "an expired message is not received", clock: true, run: func(t *trial) { t.timed(t.queueExpires) }},
		{name: "a cancelled Receive loses nothing", run: queueCancelled},
		{name: "a queue that is a member of a group stores a group message once", run: queueInGroup},
		{name: "a receiver that waits survives a Flush", run: queueFlushed},
		{name: "Receive obeys its context", run: queueObeysContext},
	},
}

// withoutQueues says that the backend is excepted from queues, after demanding that it says so too.
func (t *trial) withoutQueues() bool {
	t.tb.Helper()
	if !t.b.Exceptions.NoQueues {
		return false
	}
	t.mustBe(t.node(0).Send(t.ctx(), "jobs", noteType.With(note{})), errors.ErrUnsupported, "Send to a queue without queues")
	_, err := t.node(0).Receive(t.ctx(), "jobs")
	t.mustBe(err, errors.ErrUnsupported, "Receive from a queue without queues")
	t.mustBe(t.node(0).GroupAdd(t.ctx(), "room", "jobs"), errors.ErrUnsupported, "GroupAdd of a queue without queues")
	return true
}

// Case 1.
func queueWaits(t *trial) {
	t.start(layers.Options{})
	if t.withoutQueues() {
		return
	}
	t.send(t.node(0), "jobs", 1)
	t.queue(1, "jobs").exactly(t.node(0), "a message that waited in a queue", 1)
	t.queue(2, "jobs").exactly(t.node(0), "the queue, after its message was received")
}

// Cases 2 and 7: what was received is gone, what was not is there.
func queueInOrder(t *trial) {
	t.start(layers.Options{})
	if t.withoutQueues() {
		return
	}
	t.send(t.node(0), "jobs", until(50)...)
	first := t.queue(1, "jobs").receive("the first of 50")
	if first != 1 && !t.b.Exceptions.Unordered {
		t.brokenf("the first message of a queue: got %d, want 1", first)
	}
	rest := slices.DeleteFunc(until(50), func(n int) bool { return n == first })
	t.queue(2, "jobs").exactly(t.node(0), "the rest of a queue", rest...)
}

// queueShared has two receivers in each instance, waiting before the first message is sent.
func queueShared(t *trial) {
	const total, receivers = 300, 6
	t.start(layers.Options{Capacity: 2 * total})
	if t.withoutQueues() {
		return
	}
	ctx, cancel := context.WithCancel(t.ctx())
	defer cancel()
	got := make(chan int, 2*total)
	ended := make(chan struct{}, receivers)
	for i := range receivers {
		m := t.queue(i, "jobs")
		go func() { // ends with ctx; waited for below
			defer func() { ended <- struct{}{} }()
			for {
				n, err := m.number(ctx)
				if err != nil {
					return
				}
				got <- n
			}
		}()
	}
	begin()
	for s := range 3 {
		t.send(t.node(s), "jobs", until(total)[s*total/3:(s+1)*total/3]...)
	}
	var all []int
	for range total {
		select {
		case n := <-got:
			all = append(all, n)
		case <-ctx.Done():
			t.brokenf("six receivers got %d of %d messages within %v", len(all), total, patience)
		}
	}
	cancel()
	for range receivers {
		<-ended
	}
	close(got)
	for n := range got {
		all = append(all, n)
	}
	slices.Sort(all)
	if !slices.Equal(all, until(total)) {
		t.brokenf("six receivers of one queue got %d messages, want each of %d once: %v", len(all), total, all)
	}
	t.queue(0, "jobs").exactly(t.node(0), "the queue, after everything was received")
}

// Cases 58 and 59 for queues.
func queueFull(t *trial) {
	t.start(layers.Options{Capacity: 3})
	if t.withoutQueues() {
		return
	}
	m := t.queue(1, "jobs")
	t.send(t.node(0), "jobs", 1, 2, 3)
	for from := range 3 {
		t.overfill(t.node(from), "jobs", "a fourth message to a queue of 3")
	}
	first := m.receive("making room")
	if first != 1 && !t.b.Exceptions.Unordered {
		t.brokenf("a full queue: got message %d, want 1", first)
	}
	t.send(t.node(2), "jobs", 4)
	t.overfill(t.node(0), "jobs", "a message to a queue that is full again")
	m.exactly(t.node(0), "a queue of 3", slices.DeleteFunc(until(4), func(n int) bool { return n == first })...)
}

// Cases 71 and 73 for queues.
func (t *trial) queueExpires(expiry time.Duration) error {
	t.start(layers.Options{Expiry: expiry})
	if t.withoutQueues() {
		return nil
	}
	t.send(t.node(0), "jobs", 1, 2)
	t.send(t.node(0), "other", 1)
	pause(expiry + slack(expiry))
	t.send(t.node(0), "jobs", 3)
	return errors.Join(
		t.expect(t.queue(1, "jobs"), "two expired messages and a new one in a queue", 3),
		t.expect(t.queue(1, "other"), "a queue whose message expired"))
}

// Cases 30 and 31.
func queueCancelled(t *trial) {
	t.start(layers.Options{})
	if t.withoutQueues() {
		return
	}
	t.cancelLosesNothing(t.queue(1, "jobs"), t.node(0))
	for i := range 50 {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_, err := t.node(0).Receive(ctx, fmt.Sprintf("fresh.%d", i))
		t.mustBe(err, context.Canceled, "Receive with a context that has ended")
	}
}

// Case 46. Two instances add the queue, and it hears each message once; each holds it until it discards it. A full
// queue is skipped like any full member.
func queueInGroup(t *trial) {
	t.start(layers.Options{Capacity: 3})
	if t.withoutQueues() {
		return
	}
	q, m := t.queue(1, "jobs"), t.mailbox(2)
	t.join("room", q, m)
	t.must(t.node(0).GroupAdd(t.ctx(), "room", "jobs"), "GroupAdd of a queue by a second instance")
	t.groupSend(t.node(0), "room", 1, 2, 3)
	m.exactly(t.node(0), "a mailbox of 3 beside a queue in a group", 1, 2, 3)
	t.groupSend(t.node(0), "room", 4, 5)
	t.eventually(func() bool { return t.drops.full("jobs") == 2 }, "two of five group messages to a queue of 3 are counted")
	q.exactly(t.node(0), "a queue of 3 in a group, after five messages", 1, 2, 3)
	m.exactly(t.node(0), "a mailbox of 3 beside a full queue in a group", 4, 5)
	for i := range t.nodes {
		t.must(t.node(i).GroupDiscard(t.ctx(), "room", "jobs"), "GroupDiscard of a queue")
	}
	t.groupSend(t.node(0), "room", 6)
	m.exactly(t.node(0), "a mailbox beside a queue that was discarded", 6)
	q.exactly(t.node(0), "a queue that was discarded")
}

// Case 6.
func queueFlushed(t *trial) {
	t.start(layers.Options{})
	if t.withoutQueues() {
		return
	}
	t.send(t.node(0), "other", 1)
	type result struct {
		n   int
		err error
	}
	got := make(chan result, 1)
	q, ctx := t.queue(1, "jobs"), t.ctx()
	go func() { // ends with ctx; waited for below
		n, err := q.number(ctx)
		got <- result{n, err}
	}()
	begin()
	t.must(t.node(0).Flush(t.ctx()), "Flush")
	t.send(t.node(0), "jobs", 2)
	if r := <-got; r.err != nil || r.n != 2 {
		t.brokenf("a receiver that waited during a Flush: got message %d and %s, want 2", r.n, quoted(r.err))
	}
	t.queue(1, "other").exactly(t.node(0), "a queue that was flushed")
}

func queueObeysContext(t *trial) {
	t.start(layers.Options{})
	if t.withoutQueues() {
		return
	}
	for _, m := range []*member{t.queue(1, "jobs"), t.mailbox(1)} {
		ctx, cancel := context.WithCancel(context.Background())
		waits := make(chan error, 1)
		go func() { // waited for below
			_, err := m.next(ctx)
			waits <- err
		}()
		begin()
		cancel()
		err := t.returns(func() error { return <-waits }, "Receive from %q after its context ended", m.channel)
		t.mustBe(err, context.Canceled, "Receive from %q after its context ended", m.channel)
	}
}
