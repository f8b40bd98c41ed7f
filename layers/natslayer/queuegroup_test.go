package natslayer

import (
	"context"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/tideway-go/tideway/layers"
)

// Case 46. Two processes hold the membership; the queue hears each message once, in order, until either discards it.
func TestQueueInGroup(t *testing.T) {
	b := newBroker(t)
	p, q, r := b.process(nil), b.process(nil), b.process(nil)
	p.join("room", "jobs")
	q.join("room", "jobs")
	q.join("room", "jobs")
	for i := range 50 {
		r.groupSend("room", fmt.Sprint(i))
	}
	for i := range 50 {
		q.want("jobs", fmt.Sprint(i))
	}
	r.empty(r, "jobs")
	r.must(r.GroupDiscard(t.Context(), "room", "jobs"))
	for _, from := range []*process{p, q, r} {
		from.groupSend("room", "too late")
		from.must(from.n.nc.Flush())
	}
	r.empty(r, "jobs")
	p.must(p.GroupDiscard(t.Context(), "room", "jobs")) // a stranger's is no error
	p.join("room", "jobs")
	r.groupSend("room", "again")
	r.want("jobs", "again")
}

// The membership ends with its last holder, however that ends; until then no message is lost where it ends well.
func TestQueueInGroupHolders(t *testing.T) {
	b := newBroker(t)
	p, q, r := b.process(nil), b.process(nil), b.process(nil)
	p.join("room", "jobs")
	q.join("room", "jobs")
	closed := make(chan error, 1)
	go func() { closed <- p.Close(context.Background()) }() // waited for below
	sent, seen, last := 0, map[string]bool{}, false
	for {
		select {
		case err := <-closed:
			p.must(err)
			last = true
		default:
		}
		for ; !last && sent < len(seen)+50; sent++ { // fewer than the queue holds
			r.groupSend("room", fmt.Sprint(sent))
		}
		if len(seen) == sent {
			break
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		m, err := r.Receive(ctx, "jobs")
		cancel()
		if err != nil {
			t.Fatalf("%v after %d of %d; dropped: %v, %v, %v", err, len(seen), sent, p.Stats().Dropped, q.Stats().Dropped, r.Stats().Dropped)
		}
		v, _ := note.Decode(m)
		if seen[v.Text] {
			t.Errorf("L4: group message %s came twice into the queue", v.Text)
		}
		seen[v.Text] = true
	}
	if q.Stats().GroupDelivered == 0 {
		t.Error("the second holder put nothing into the queue")
	}
	q.must(q.Close(context.Background()))
	r.groupSend("room", "nobody holds it")
	r.must(r.n.nc.Flush())
	r.empty(r, "jobs")
}

// A holder whose process dies is replaced by one that stands by.
func TestQueueInGroupCrash(t *testing.T) {
	b := newBroker(t)
	p, q, r := b.process(nil), b.process(nil), b.process(nil)
	p.join("room", "jobs")
	q.join("room", "jobs")
	p.cable.cut()
	eventually(t, func() bool {
		r.groupSend("room", "probe")
		return q.Stats().GroupDelivered > 0
	}, "L10: the second holder takes over")
	p.cable.mend()
	eventually(t, func() bool { return p.n.nc.IsConnected() }, "the first is back")
	eventually(t, func() bool { return p.forwards("room", "jobs") != q.forwards("room", "jobs") }, "one forwards")
	r.holdersIdle("room", "jobs", 2)
	for i := range 50 {
		r.groupSend("room", fmt.Sprint(i))
	}
	for i := 0; i < 50; {
		switch got := r.next("jobs"); got {
		case "probe":
		case fmt.Sprint(i):
			i++
		default:
			t.Fatalf("got %q, want %d", got, i)
		}
	}
	r.empty(r, "jobs")
}

// holdersIdle waits until the n holders of a queue's membership have done what they were told. One that stops to forward
// still puts what the broker had given to it, beside the other's.
func (p *process) holdersIdle(group, queue string, n int) {
	p.Helper()
	inbox := nats.NewInbox()
	answers, err := p.n.nc.SubscribeSync(inbox)
	p.must(err)
	p.must(p.n.nc.PublishRequest(p.n.store.holders(membership{group, queue}), inbox, nil))
	for range n {
		_, err := answers.NextMsg(patience)
		p.must(err)
	}
	p.must(answers.Unsubscribe())
}

// forwards says that this process puts a group's messages into a queue.
func (p *process) forwards(group, queue string) bool {
	s := p.n.store
	s.mu.Lock()
	h := s.members[membership{group, queue}]
	s.mu.Unlock()
	if h == nil {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.forwards != nil
}

// A full queue is skipped like any full member, and counted.
func TestQueueInGroupFull(t *testing.T) {
	b := newBroker(t)
	opts := &Options{Options: layers.Options{Capacity: 3}}
	p, q := b.process(opts), b.process(opts)
	p.join("room", "jobs")
	q.groupSend("room", "1", "2", "3", "4", "5")
	eventually(t, func() bool { return p.Stats().Dropped[layers.DropFull] == 2 }, "L5: two of five are counted")
	q.want("jobs", "1", "2", "3")
	q.groupSend("room", "6")
	q.want("jobs", "6")
}

// Flush ends memberships in all processes, and empties queues.
func TestQueueFlush(t *testing.T) {
	b := newBroker(t)
	opts := &Options{Options: layers.Options{Durables: []layers.Durable{{Queues: "durable"}}}}
	p, q := b.process(opts), b.process(opts)
	q.join("room", "jobs")
	q.send("jobs", "old")
	q.send("durable", "old")
	p.must(p.Flush(t.Context()))
	p.groupSend("room", "nobody holds it")
	p.must(p.n.nc.Flush())
	q.empty(p, "jobs", "durable")
}
