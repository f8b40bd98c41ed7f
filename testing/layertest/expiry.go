package layertest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tideway-go/tideway/layers"
)

var expiry = rule{
	number: 6,
	promise: "A message unread for longer than Options.Expiry (default 60 s) is never handled: measured from its " +
		"arrival in the process that holds the mailbox, or from the sender's stamp where the format has one; " +
		"checked when the handler starts",
	checks: []check{
		{name: "of messages sent over time only the young arrive", clock: true, run: func(t *trial) { t.timed(t.youngArrive(t.sendOne)) }},
		{name: "of group messages sent over time only the young arrive", clock: true, run: func(t *trial) { t.timed(t.youngArrive(t.groupSendOne)) }},
		{name: "an expired message leaves later group messages intact for everybody", clock: true, run: func(t *trial) { t.timed(t.oldBesideNew) }},
		{name: "after the expiry a Receive waits", clock: true, run: func(t *trial) { t.timed(t.receiveWaits) }},
		{name: "after one was read and the rest expired the next is the newest", clock: true, run: func(t *trial) { t.timed(t.newestNext) }},
		{name: "a member whose message expired stays a member", clock: true, run: func(t *trial) { t.timed(t.staysMember) }},
		{name: "a message that an Inbox holds says when it has expired", run: expiredInInbox},
		{name: "the default is 60 s", run: defaultExpiry},
	},
}

// slack is what is added to an expiry before a message must have expired.
func slack(expiry time.Duration) time.Duration { return expiry / 6 }

// sendOne sends to m directly, groupSendOne through its group.
func (t *trial) sendOne(m *member, n int)      { t.send(t.node(0), m.channel, n) }
func (t *trial) groupSendOne(_ *member, n int) { t.groupSend(t.node(0), "room", n) }

// Cases 68 and 69: of three messages, sent at 0, 2/3 and a little more than 1 expiry, the last two arrive.
func (t *trial) youngArrive(send func(*member, int)) func(time.Duration) error {
	return func(expiry time.Duration) error {
		t.start(layers.Options{Expiry: expiry})
		m := t.mailbox(1)
		t.join("room", m)
		send(m, 1)
		pause(expiry * 2 / 3)
		send(m, 2)
		pause(expiry/3 + slack(expiry))
		send(m, 3)
		return t.expect(m, "messages sent at 0, 2/3 and 7/6 of the expiry", 2, 3)
	}
}

// expect is exactly as an error, for attempts that may be made again.
func (t *trial) expect(m *member, what string, want ...int) error {
	t.tb.Helper()
	t.send(t.node(0), m.channel, marker)
	got, err := m.upToMarker(t.ctx())
	if err != nil {
		return fmt.Errorf("%s: waiting for the marker: %w", what, err)
	}
	if !t.same(got, want) {
		return fmt.Errorf("%s: got %v, want %v", what, got, want)
	}
	return nil
}

// Case 70.
func (t *trial) oldBesideNew(expiry time.Duration) error {
	t.start(layers.Options{Expiry: expiry})
	old, other := t.mailbox(1), t.mailbox(2)
	t.join("room", old, other)
	t.send(t.node(0), old.channel, 1)
	pause(expiry * 2 / 3)
	t.groupSend(t.node(0), "room", 2, 3)
	pause(expiry/3 + slack(expiry))
	t.groupSend(t.node(0), "room", 4)
	return errors.Join(
		t.expect(old, "the member with an expired message", 2, 3, 4),
		t.expect(other, "the member without one", 2, 3, 4))
}

// Cases 71, 72 and 76: an expired message is not there for a Receive that comes late, or later still.
func (t *trial) receiveWaits(expiry time.Duration) error {
	t.start(layers.Options{Expiry: expiry})
	m, other := t.mailbox(1), t.mailbox(1)
	t.send(t.node(0), m.channel, 1)
	t.send(t.node(0), other.channel, 2)
	pause(expiry + slack(expiry))
	ctx, cancel := context.WithTimeout(context.Background(), slack(expiry))
	defer cancel()
	if n, err := m.number(ctx); !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("a Receive after the expiry: got message %d and %s, want to wait", n, quoted(err))
	}
	return errors.Join(t.expect(m, "a channel after its message expired"), t.expect(other, "a channel nobody looked at"))
}

// Case 73.
func (t *trial) newestNext(expiry time.Duration) error {
	t.start(layers.Options{Expiry: expiry})
	m := t.mailbox(1)
	t.send(t.node(0), m.channel, 1, 2, 3)
	if n, err := m.number(t.ctx()); n != 1 || err != nil {
		return fmt.Errorf("the first of three: got message %d and %s", n, quoted(err))
	}
	pause(expiry + slack(expiry))
	t.send(t.node(0), m.channel, 4)
	return t.expect(m, "two expired messages and a new one", 4)
}

// Case 74 is beaten by the promises: L10, a live member stays.
func (t *trial) staysMember(expiry time.Duration) error {
	t.start(layers.Options{Expiry: expiry})
	m := t.mailbox(1)
	t.join("room", m)
	t.groupSend(t.node(0), "room", 1)
	pause(expiry + slack(expiry))
	t.groupSend(t.node(0), "room", 2)
	return t.expect(m, "a member whose first group message expired", 2)
}

func expiredInInbox(t *trial) {
	const expiry = 20 * time.Second // never waited for
	t.start(layers.Options{Expiry: expiry})
	m := t.listener(1)
	t.join("room", m)
	t.must(t.node(0).Send(t.ctx(), m.channel, noteType.With(note{N: 1})), "Send")
	t.must(t.node(0).GroupSend(t.ctx(), "room", noteType.With(note{N: 2})), "GroupSend")
	for _, way := range []string{"direct", "group"} {
		t.expiresAfter(m, expiry, way)
	}
}

// Case 76 as far as an Inbox goes: the one who starts the handler asks the message.
func (t *trial) expiresAfter(m *member, expiry time.Duration, way string) {
	t.tb.Helper()
	before := time.Now()
	msg, err := m.next(t.ctx())
	t.must(err, "a %s message", way)
	if took := time.Since(before); took < expiry/2 && msg.Expired(time.Now()) {
		t.brokenf("a %s message that has just arrived says that it has expired", way)
	}
	if msg.Expired(before.Add(expiry / 2)) {
		t.brokenf("a %s message says that it has expired after half of its expiry of %v", way, expiry)
	}
	if !msg.Expired(time.Now().Add(expiry + time.Second)) {
		t.brokenf("a %s message says that it has not expired one second after its expiry of %v", way, expiry)
	}
}

func defaultExpiry(t *trial) {
	t.start(layers.Options{})
	m := t.listener(1)
	t.send(t.node(0), m.channel, 1)
	t.expiresAfter(m, 60*time.Second, "direct")
}
