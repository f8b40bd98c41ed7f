package redislayer

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/tideway-go/tideway/layers"
)

// held is how many messages of a queue each host holds.
func (b *bed) held(queue string) (all []int64) {
	b.Helper()
	for i := range b.hosts {
		n, err := do(b, b.client(i), "ZCARD", b.prefix+queue).AsInt64()
		must(b, err)
		all = append(all, n)
	}
	return all
}

// Several hosts hold a queue's capacity together, and take turns.
func TestQueueOnThreeHosts(t *testing.T) {
	b := newBed(t, 3)
	p := b.process(func(o *Options) { o.Capacity = 4 })
	p.send("jobs", "a", "b", "c")
	if got := b.held("jobs"); !slices.Equal(got, []int64{1, 1, 1}) {
		t.Errorf("L11: the hosts have %d of three messages", got)
	}
	p.send("jobs", "d")
	if err := p.Send(t.Context(), "jobs", note.With(text{"e"})); !errors.Is(err, layers.ErrChannelFull) {
		t.Errorf("L5: the fifth of 4 messages: %v", err)
	}
	if got := b.held("jobs"); !slices.Equal(got, []int64{2, 1, 1}) {
		t.Errorf("L5: the hosts have %d of a capacity of 4", got)
	}
	b.number("DEL", b.prefix+"jobs") // on the first; it is the turn of the last, which is full
	p.send("jobs", "f")
	if got := b.held("jobs"); !slices.Equal(got, []int64{1, 1, 1}) {
		t.Errorf("L5: the hosts have %d where one alone has room", got)
	}
}

// What one host cannot take the next one does, as long as it is certain that the first has not.
func TestQueueWithoutSomeHosts(t *testing.T) {
	var hosts []string
	var servers []*ownRedis
	for range 3 {
		r := startOwnRedis(t, plain)
		servers = append(servers, r)
		hosts = append(hosts, "redis://127.0.0.1:"+r.port)
	}
	b := newBed(t, 1)
	p := b.process(func(o *Options) { o.Hosts, o.Capacity = hosts, 9 }) // 3 on each
	eventually(t, func() bool { return p.listening("") == 3 }, "all readers are there")
	first, last := client(t, hosts[0]), client(t, hosts[2])
	holds := func(c rueidis.Client, want int64) {
		t.Helper()
		if n, err := do(t, c, "ZCARD", b.prefix+"jobs").AsInt64(); err != nil || n != want {
			t.Errorf("L15: a host that takes messages has %d, %v, want %d", n, err, want)
		}
	}
	do(t, first, "ACL", "SETUSER", "default", "-evalsha") // it refuses, and says so
	p.send("jobs", "to the second", "to the second", "to the third")
	servers[1].kill()
	eventually(t, func() bool { return p.c.link.isLost(1) }, "L15: the outage is noticed")
	p.send("jobs", "to the third", "to the third")
	holds(last, 3)
	for range 3 { // whoever is asked first
		var err error
		eventually(t, func() bool { // the first may be written to a connection that is not yet known to be lost
			err = p.Send(t.Context(), "jobs", note.With(text{"to nobody"}))
			return !errors.Is(err, layers.ErrUncertain)
		}, "L15: the error of a message that no host takes is certain")
		if err == nil || errors.Is(err, layers.ErrChannelFull) {
			t.Errorf("L15: a message that no host takes, one of them for want of room: %v, want the error of another", err)
		}
	}
	do(t, first, "ACL", "SETUSER", "default", "+evalsha")
	p.send("jobs", "to the first", "to the first", "to the first")
	holds(first, 3)
	for range 6 {
		_, err := p.Receive(t.Context(), "jobs")
		must(t, err)
	}
}

// listening is how many of the readers wait for messages of a queue, or, for none, of the process.
func (p *process) listening(queue string) (n int) {
	p.c.queues.mu.Lock()
	defer p.c.queues.mu.Unlock()
	for _, heard := range p.c.queues.heard {
		if heard[queue] || queue == "" && heard != nil {
			n++
		}
	}
	return n
}

// Hosts that are known to be lost are asked last: what is sent to one that says nothing has an error that is not certain.
func TestLostLast(t *testing.T) {
	c := newCore(Options{}, make([]*shard, 4))
	c.link.lost = map[int]error{1: errLost, 3: errLost}
	if got := c.lostLast([]int{3, 0, 1, 2}); !slices.Equal(got, []int{0, 2, 3, 1}) {
		t.Errorf("L15: the hosts are asked in the order %v, want those that are lost last", got)
	}
}

// A message that a host may have goes to no other.
func TestQueueIsNotSentTwice(t *testing.T) {
	b := newBed(t, 3)
	cable := NewCable(t, 1) // to the first; the others can take the message
	p := b.process(func(o *Options) {
		o.Capacity = 3 * warm
		o.Hosts = append(cable.URLs(), "unix://"+Socket(t, 1), "unix://"+Socket(t, 2))
	})
	p.send("known", make([]string, 3*warm)...) // in turn, so that the first host's is the next
	flow := cable.StallAnswers(t)
	sent := make(chan error, 1)
	go func() { sent <- p.Send(t.Context(), "jobs", note.With(text{"a"})) }() // ends with the cable; waited for below
	eventually(t, func() bool { return slices.Equal(b.held("jobs"), []int64{1, 0, 0}) }, "the first host has the message")
	cable.Cut()
	flow()
	if err := <-sent; !errors.Is(err, layers.ErrUncertain) {
		t.Errorf("L15: a message whose answer is lost: %v, want ErrUncertain", err)
	}
	if got := b.held("jobs"); !slices.Equal(got, []int64{1, 0, 0}) {
		t.Errorf("L4: the hosts have %d of one message", got)
	}
}

// Case 76: who receives from a queue does not get what has expired.
func TestExpiredInQueue(t *testing.T) {
	b := newBed(t, 1)
	p := b.process(nil)
	b.put(b.prefix+"jobs", entry(noteA), time.Now().Add(-61*time.Second))
	b.put(b.prefix+"jobs", "another one!"+entry(strings.Replace(noteA, "a161", "a162", 1))[12:], time.Now())
	p.want("jobs", "b")
	p.dropped(layers.DropExpired, 1)
}

// Neither a busy process nor a busy queue is served first for ever.
func TestListenTakesTurns(t *testing.T) {
	c := newCore(Options{}, []*shard{{}})
	c.queues.byName["jobs"] = &waitLine{}
	for turn, want := range []int{0, 1, 0, 1} {
		keys, ok := c.queues.listen(0, c, turn)
		if !ok || len(keys) != 2 || keys[want] != c.ownKey() {
			t.Errorf("turn %d: %q, want the own key at %d", turn, keys, want)
		}
	}
}

// A process whose own key is something else removes it, when its pop has ended.
func TestOwnKeyOfWrongType(t *testing.T) {
	Long(t)
	t.Parallel()
	b := newBed(t, 1)
	p, q := b.process(nil), b.process(nil)
	channel := p.channel()
	do(t, b.redis, "SET", p.c.ownKey(), "x")
	eventually(t, func() bool { return q.Send(t.Context(), channel, note.With(text{"a"})) == nil }, "the key is free")
	p.want(channel, "a")
}
