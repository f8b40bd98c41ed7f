package layertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/tideway-go/tideway/layers"
)

// note is what most checks send: a number.
type note struct {
	N    int    `json:"n"`
	Text string `json:"text"`
}

const (
	noteType  layers.Type[note] = "layertest.note"
	probeType layers.Type[note] = "layertest.probe" // asks whether a member is reached yet; checks never see it
)

// marker is the number of the message that is sent last; checks count from 1.
const marker = -1

// A member is a process-local channel and a way to read it.
type member struct {
	trial   *trial
	node    node
	channel string
	inbox   *inbox               // nil: a mailbox that the layer keeps, read with Receive
	taken   func(layers.Message) // if not nil, called with every message that was taken
}

// A kind is one of the two ways of reading a process-local channel.
type kind struct {
	name string
	open func(t *trial, i int) *member
}

var kinds = []kind{{"mailbox", (*trial).mailbox}, {"Inbox", (*trial).listener}}

// mailbox makes a channel of node i that is read with Receive.
func (t *trial) mailbox(i int) *member {
	t.tb.Helper()
	channel, err := t.node(i).NewChannel(t.ctx())
	t.must(err, "NewChannel")
	return &member{trial: t, node: t.node(i), channel: channel}
}

// listener makes a channel of node i that is pushed to an Inbox with room for everything.
func (t *trial) listener(i int) *member {
	t.tb.Helper()
	in := newInbox(-1)
	channel, err := t.node(i).Listen(t.ctx(), in)
	t.must(err, "Listen")
	return &member{trial: t, node: t.node(i), channel: channel, inbox: in}
}

// queue is a channel without "!" as node i sees it.
func (t *trial) queue(i int, name string) *member {
	return &member{trial: t, node: t.node(i), channel: name}
}

// next returns the next message that was sent by a check.
func (m *member) next(ctx context.Context) (layers.Message, error) {
	for {
		msg, err := m.take(ctx)
		if err != nil || !msg.Local() && msg.Type() != probeType.String() {
			return msg, err
		}
	}
}

// take returns the next message of any kind.
func (m *member) take(ctx context.Context) (msg layers.Message, err error) {
	if m.inbox != nil {
		msg, err = m.inbox.take(ctx)
	} else {
		msg, err = m.node.Receive(ctx, m.channel)
	}
	if err == nil && m.taken != nil {
		m.taken(msg)
	}
	return msg, err
}

// number returns the next message's number.
func (m *member) number(ctx context.Context) (int, error) {
	msg, err := m.next(ctx)
	if err != nil {
		return 0, err
	}
	v, err := noteType.Decode(msg)
	return v.N, err
}

// receive returns the number of the next message, which has to come.
func (m *member) receive(what string) int {
	t := m.trial
	t.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	n, err := m.number(ctx)
	t.must(err, "%s: receiving from %q", what, m.channel)
	return n
}

// straggler is how long a message that was overtaken by its marker may be late, where there is no order.
const straggler = 25 * time.Millisecond

// upToMarker returns the numbers that arrive before the marker or, where there is no order, soon after it.
func (m *member) upToMarker(ctx context.Context) ([]int, error) {
	var got []int
	marked := false
	for {
		n, err := m.number(ctx)
		switch {
		case marked && errors.Is(err, context.DeadlineExceeded):
			return got, nil
		case err != nil:
			return got, fmt.Errorf("after %v: %w", got, err)
		case n != marker:
			got = append(got, n)
		case !m.trial.b.Exceptions.Unordered:
			return got, nil
		default:
			marked = true
			late, cancel := context.WithTimeout(ctx, straggler)
			defer cancel()
			ctx = late
		}
	}
}

// same compares numbers, in their order unless order is excepted.
func (t *trial) same(got, want []int) bool {
	if t.b.Exceptions.Unordered {
		got, want = slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))
	}
	return slices.Equal(got, want)
}

// exactly demands that the member has heard want and nothing else. The messages must have been sent by this goroutine
// through from: what arrives before a marker sent now is all there is.
func (m *member) exactly(from node, what string, want ...int) {
	t := m.trial
	t.tb.Helper()
	var got []int
	for range want { // first, for a full channel takes no marker
		got = append(got, m.receive(fmt.Sprintf("%s: got %v, want %v", what, got, want)))
	}
	t.must(from.Send(t.ctx(), m.channel, noteType.With(note{N: marker})), "%s: sending a marker", what)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	more, err := m.upToMarker(ctx)
	t.must(err, "%s: waiting for a marker", what)
	got = append(got, more...)
	if !t.same(got, want) {
		t.brokenf("%s: got %v, want %v", what, got, want)
	}
}

// silent demands that the member has heard nothing.
func (m *member) silent(from node, what string) {
	m.trial.tb.Helper()
	m.exactly(from, what)
}

// send sends numbers from one node to one channel, which has room.
func (t *trial) send(from node, channel string, numbers ...int) {
	t.tb.Helper()
	for _, n := range numbers {
		t.must(from.Send(t.ctx(), channel, noteType.With(note{N: n})), "Send %d to %q", n, channel)
	}
}

// groupSend sends numbers from one node to a group.
func (t *trial) groupSend(from node, group string, numbers ...int) {
	t.tb.Helper()
	for _, n := range numbers {
		t.must(from.GroupSend(t.ctx(), group, noteType.With(note{N: n})), "GroupSend %d to %q", n, group)
	}
}

// join adds members to a group and returns when the group sends of every node reach them. Without an interest delay
// that is at once, and the checks see whether it is true.
func (t *trial) join(group string, members ...*member) {
	t.tb.Helper()
	for _, m := range members {
		t.must(m.node.GroupAdd(t.ctx(), group, m.channel), "GroupAdd of %q to %q", m.channel, group)
	}
	if t.delayed() {
		t.settle(group, members...)
	}
}

// delayed says that a new member is not known everywhere at once.
func (t *trial) delayed() bool { return t.b.InterestDelay > 0 && t.n > 1 }

// settle probes from every node until all the members are reached, and leaves nothing behind in them. Errors of the
// probes are borne until patience ends: a link that was just mended may still be on its way up.
func (t *trial) settle(group string, members ...*member) {
	t.tb.Helper()
	for i, from := range t.nodes {
		limit := time.Now().Add(patience + t.b.InterestDelay)
		for probe := 1; ; probe++ {
			err := from.GroupSend(t.ctx(), group, probeType.With(note{N: probe}))
			reached := 0
			for _, m := range members {
				if err == nil && m.hears(probe, t.b.InterestDelay+100*time.Millisecond) {
					reached++
				}
			}
			if reached == len(members) {
				break
			}
			if time.Now().After(limit) {
				t.brokenf("probes from instance %d reach %d of %d members of %q after %v, the last GroupSend returned %s",
					i, reached, len(members), group, patience, quoted(err))
			}
			pause(10 * time.Millisecond)
		}
	}
}

// hears waits up to d for a probe of this number. What comes before it must be older probes, unless the check looks at
// what is taken by itself.
func (m *member) hears(probe int, d time.Duration) bool {
	m.trial.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	for {
		msg, err := m.take(ctx)
		if err != nil {
			return false
		}
		if msg.Type() == noteType.String() && m.taken == nil {
			m.trial.brokenf("a member heard a message that was sent before it joined, or twice")
		}
		if v, err := probeType.Decode(msg); err == nil && v.N == probe {
			return true
		}
	}
}

// until is 1, 2, ... n.
func until(n int) []int {
	s := make([]int, n)
	for i := range s {
		s[i] = i + 1
	}
	return s
}

// An inbox is the suite's layers.Inbox: it keeps what it is given, in order.
type inbox struct {
	room int   // messages it holds at most; negative: any number
	ends error // what Deliver returns for everything; nil: it works

	mu       sync.Mutex
	messages []layers.Message
	arrived  chan struct{} // holds a token when messages may not be empty
}

func newInbox(room int) *inbox { return &inbox{room: room, arrived: make(chan struct{}, 1)} }

// Deliver keeps m if there is room.
func (b *inbox) Deliver(m layers.Message) error {
	if b.ends != nil {
		return b.ends
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.room >= 0 && len(b.messages) >= b.room && !m.Local() {
		return layers.ErrChannelFull
	}
	b.messages = append(b.messages, m)
	select {
	case b.arrived <- struct{}{}:
	default:
	}
	return nil
}

// take waits for a message. One goroutine at a time.
func (b *inbox) take(ctx context.Context) (layers.Message, error) {
	for {
		b.mu.Lock()
		if len(b.messages) > 0 {
			m := b.messages[0]
			b.messages = b.messages[1:]
			b.mu.Unlock()
			return m, nil
		}
		b.mu.Unlock()
		select {
		case <-b.arrived:
		case <-ctx.Done():
			return layers.Message{}, ctx.Err()
		}
	}
}

// count is the number of messages that nobody has taken.
func (b *inbox) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.messages)
}
