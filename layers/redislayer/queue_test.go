package redislayer

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tideway-go/tideway/layers"
)

// Several hosts hold a queue's capacity together, and take turns.
func TestQueueOnThreeHosts(t *testing.T) {
	b := newBed(t, 3)
	p := b.process(func(o *Options) { o.Capacity = 4 })
	held := func() (all []int64) {
		for i := range 3 {
			n, err := do(t, b.client(i), "ZCARD", b.prefix+"jobs").AsInt64()
			must(t, err)
			all = append(all, n)
		}
		return all
	}
	p.send("jobs", "a", "b", "c")
	if got := held(); !slices.Equal(got, []int64{1, 1, 1}) {
		t.Errorf("L11: the hosts have %d of three messages", got)
	}
	p.send("jobs", "d")
	if err := p.Send(t.Context(), "jobs", note.With(text{"e"})); !errors.Is(err, layers.ErrChannelFull) {
		t.Errorf("L5: the fifth of 4 messages: %v", err)
	}
	if got := held(); !slices.Equal(got, []int64{2, 1, 1}) {
		t.Errorf("L5: the hosts have %d of a capacity of 4", got)
	}
	b.number("DEL", b.prefix+"jobs") // on the first; it is the turn of the last, which is full
	p.send("jobs", "f")
	if got := held(); !slices.Equal(got, []int64{1, 1, 1}) {
		t.Errorf("L5: the hosts have %d where one alone has room", got)
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
