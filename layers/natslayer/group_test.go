package natslayer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/tideway-go/tideway/layers"
)

// A group stays subscribed for a while after its last member has left, and one subscription serves them all.
func TestLinger(t *testing.T) {
	b := newBroker(t)
	p := b.processWith(nil, func(n *node) { n.linger = 50 * time.Millisecond })
	a, c := p.channel(), p.channel()
	p.join("room", a, c)
	if n := p.subscribed(); n != 1 {
		t.Fatalf("%d subscriptions for one group of two members", n)
	}
	p.must(p.GroupDiscard(t.Context(), "room", a))
	p.n.idle.add("room") // as if its last member had left, and another come meanwhile
	p.must(p.EndChannel(t.Context(), a))
	p.join("other", c)
	p.must(p.GroupDiscard(t.Context(), "other", c))
	eventually(t, func() bool { return p.subscribed() == 1 }, "a group without members is unsubscribed")
	p.groupSend("room", "still here")
	p.want(c, "still here")
	p.must(p.EndChannel(t.Context(), c))
	eventually(t, func() bool { return p.subscribed() == 0 }, "a group whose last channel has ended is unsubscribed")
	eventually(t, func() bool { return p.n.nc.NumSubscriptions() == 4 }, "%d subscriptions are left; want those of channels, marks, flush and control", p.n.nc.NumSubscriptions())
}

// A storm of joins and leaves does not thrash: the broker sees one subscription.
func TestStormKeepsOneSubscription(t *testing.T) {
	b := newBroker(t)
	p := b.process(nil)
	channel := p.channel()
	p.join("room", channel)
	p.n.groups.mu.Lock()
	first := p.n.groups.byName["room"].sub
	p.n.groups.mu.Unlock()
	for range 200 {
		p.must(p.GroupDiscard(t.Context(), "room", channel))
		p.must(p.n.settle(t.Context())) // time enough to unsubscribe, if it were done at once
		p.join("room", channel)
	}
	p.n.groups.mu.Lock()
	defer p.n.groups.mu.Unlock()
	if p.n.groups.byName["room"].sub != first {
		t.Error("the group was subscribed anew")
	}
}

// While many join and leave one group, whoever is in it gets each message once (L4, L8).
func TestJoinsAndLeavesRace(t *testing.T) {
	b := newBroker(t)
	p := b.processWith(nil, func(n *node) { n.linger = time.Microsecond }) // unsubscribes as often as it can
	q := b.process(nil)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			group := fmt.Sprint("room", i%2)
			for j := range 60 {
				channel, err := p.NewChannel(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				from := []*process{p, q}[j%2]
				if err := from.GroupAdd(t.Context(), group, channel); err != nil {
					t.Errorf("join: %v", err)
					return
				}
				want := fmt.Sprint(i, ".", j)
				if err := q.GroupSend(t.Context(), group, note.With(text{want})); err != nil {
					t.Error(err)
				}
				hears(t, p, channel, want)
				if j%3 == 0 {
					if err := from.GroupDiscard(t.Context(), group, channel); err != nil {
						t.Errorf("leave: %v", err)
					}
				}
				if err := p.EndChannel(t.Context(), channel); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// hears waits for a text among others, and demands that it comes once.
func hears(t *testing.T, p *process, channel, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := p.Send(ctx, channel, note.With(text{"end " + want})); err != nil {
		t.Errorf("send: %v", err)
	}
	heard := 0
	for ended := false; heard == 0 || !ended; {
		m, err := p.Receive(ctx, channel)
		if err != nil {
			t.Errorf("L8: a member waits for %q: %v", want, err)
			return
		}
		switch got, _ := note.Decode(m); got.Text {
		case want:
			heard++
		case "end " + want:
			ended = true
		}
	}
	if heard != 1 {
		t.Errorf("L4: %q came %d times", want, heard)
	}
}

// What was sent while a channel was out of a group is not delivered when it comes back, though it is on its way still.
func TestNothingOlderThanTheJoin(t *testing.T) {
	b := newBroker(t)
	p := b.process(nil)
	channel := p.channel()
	for range 100 {
		p.join("room", channel)
		p.must(p.GroupDiscard(t.Context(), "room", channel))
		p.groupSend("room", "while it was away")
	}
	p.empty(p, channel)
}

// A join whose ctx ends leaves nothing behind.
func TestJoinEnds(t *testing.T) {
	b := newBroker(t)
	p := b.processWith(nil, func(n *node) { n.linger = time.Millisecond })
	channel := p.channel()
	release := block(p)
	ctx, cancel := context.WithCancel(t.Context())
	joined := make(chan error, 1)
	go func() { joined <- p.GroupAdd(ctx, "room", channel) }() // ends with ctx; waited for below
	eventually(t, func() bool {
		p.n.marks.mu.Lock()
		defer p.n.marks.mu.Unlock()
		return len(p.n.marks.all) == 1
	}, "the join waits for its turn")
	cancel()
	if err := <-joined; err != context.Canceled {
		t.Errorf("a join whose ctx ended: %v", err)
	}
	release()
	p.groupSend("room", "too late")
	p.empty(p, channel)
	eventually(t, func() bool { return p.subscribed() == 0 }, "the group is not subscribed any more")
	if len(p.n.marks.all) != 0 {
		t.Error("a mark is left behind")
	}
}

// block holds up the delivery goroutine, which nothing else can, until release is called.
func block(p *process) (release func()) {
	p.Helper()
	held, free := make(chan struct{}), make(chan struct{})
	in := inbox(func(layers.Message) error { close(held); <-free; return nil })
	channel, err := p.Listen(p.Context(), in)
	p.must(err)
	subject, _ := p.n.subjects.channel(channel)
	p.must(p.n.nc.Publish(subject, hello))
	<-held
	return sync.OnceFunc(func() { close(free) })
}

type inbox func(layers.Message) error

// Deliver implements layers.Inbox.
func (f inbox) Deliver(m layers.Message) error { return f(m) }

// When the delivery channel is full, what the client drops is counted, and reported once for the episode.
func TestOverflow(t *testing.T) {
	const room = 10
	b := newBroker(t)
	p := b.processWith(&Options{Options: layers.Options{Capacity: 1000}}, func(n *node) { n.in = make(chan *nats.Msg, room) })
	q := b.process(nil)
	channel := p.channel()
	p.join("room", channel)
	release := block(p)
	for range 100 {
		q.groupSend("room", "flood")
	}
	subject, _ := p.n.subjects.channel(channel)
	p.must(q.n.nc.Publish(subject, hello))
	before := p.n.nc.Stats().InMsgs
	q.must(q.n.nc.Flush())
	eventually(t, func() bool { return p.n.nc.Stats().InMsgs >= before && dropped(p) == 91 }, "90 and 1 messages find no room, it is %d", dropped(p))
	release()
	for range room {
		p.want(channel, "flood")
	}
	eventually(t, func() bool { return p.Stats().Dropped[layers.DropFailed] == 91 }, "91 messages are told, it is %d", p.Stats().Dropped[layers.DropFailed])
	if n := p.logs.FilterMessage(errOverflow.Error()).Len(); n != 1 {
		t.Errorf("%d lines of one episode", n)
	}
	p.empty(q, channel)
}

// dropped is what the client has dropped.
func dropped(p *process) int {
	n := 0
	p.n.groups.mu.Lock()
	defer p.n.groups.mu.Unlock()
	for _, g := range p.n.groups.byName {
		d, _ := g.sub.Dropped()
		n += d
	}
	d, _ := p.n.groups.channels.sub.Dropped()
	return n + d
}

// While nothing is delivered, a direct send ends as uncertain, in time, and the message comes once.
func TestUncertain(t *testing.T) {
	b := newBroker(t)
	p, q := b.process(nil), b.process(nil)
	channel := p.channel()
	release := block(p)
	err := q.Send(t.Context(), channel, note.With(text{"slow"}))
	if !errors.Is(err, layers.ErrUncertain) {
		t.Errorf("L14: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go cancel() // ends at once; the send below waits for it
	if err := q.Send(ctx, channel, note.With(text{"slower"})); !errors.Is(err, layers.ErrUncertain) && err != context.Canceled {
		t.Errorf("L14: a send whose ctx ended: %v", err)
	}
	err = q.GroupAdd(t.Context(), "room", channel)
	if err == nil {
		t.Error("a join that was not answered succeeded")
	}
	release()
	p.want(channel, "slow")
}
