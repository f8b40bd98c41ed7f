package natslayer

import (
	"context"
	"fmt"
	"testing"

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
	}
	p.must(p.n.nc.Flush())
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
	sent := make(chan error, 1)
	go func() { // waited for below
		var err error
		for i := 0; i < 90 && err == nil; i++ {
			err = r.GroupSend(t.Context(), "room", note.With(text{fmt.Sprint(i)}))
		}
		sent <- err
	}()
	p.must(p.Close(context.Background()))
	r.must(<-sent)
	seen := map[string]bool{}
	for range 90 {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		m, err := r.Receive(ctx, "jobs")
		cancel()
		r.must(err)
		v, _ := note.Decode(m)
		if seen[v.Text] {
			t.Errorf("L4: group message %s came twice into the queue", v.Text)
		}
		seen[v.Text] = true
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
	r.must(r.n.store.purge(t.Context()))
	p.cable.mend()
	eventually(t, func() bool { return p.n.nc.IsConnected() }, "the first is back")
	eventually(t, func() bool { return p.forwards("room", "jobs") != q.forwards("room", "jobs") }, "one forwards")
	for i := range 50 {
		r.groupSend("room", fmt.Sprint(i))
	}
	for i := range 50 {
		r.want("jobs", fmt.Sprint(i))
	}
	r.empty(r, "jobs")
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
