package redislayer

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/tideway-go/tideway/layers"
)

func TestPubSubProcesses(t *testing.T) {
	for name, change := range both {
		for _, hosts := range []int{1, 3} {
			t.Run(fmt.Sprint(name, " on ", hosts), func(t *testing.T) {
				b := newBed(t, hosts)
				change := func(o *Options) {
					if change != nil {
						change(o)
					}
					o.RandomPrefix = 0
				}
				p, q := b.pubsub(change), b.pubsub(change)
				mine, theirs := p.channel(), q.channel()
				p.join("room", mine)
				q.join("room", theirs)
				p.groupSend("room", "one")
				q.want(theirs, "one")
				p.send(theirs, "two")
				q.want(theirs, "two")
				p.want(mine, "one")
				p.join("foreign", theirs)
				p.groupSend("foreign", "three")
				q.want(theirs, "three")
				must(t, p.GroupDiscard(t.Context(), "foreign", theirs))
				p.groupSend("foreign", "four")
				q.groupSend("room", "five")
				q.want(theirs, "five")
				p.want(mine, "five")
			})
		}
	}
}

// Case 50, and what PubSub cannot do.
func TestPubSubErrors(t *testing.T) {
	b := newBed(t, 1)
	p, q := b.pubsub(nil), b.pubsub(nil)
	theirs := q.channel()
	if !strings.HasPrefix(theirs, b.prefix+"specific.") || strings.Count(theirs, "!") != 1 {
		t.Errorf("a channel is %s", theirs)
	}
	python := b.prefix + "specific.0123456789abcdef0123456789abcdef"
	for _, c := range []struct {
		name string
		err  error
		want error
	}{
		{"send to a queue", p.Send(t.Context(), "jobs", note.With(text{"a"})), errors.ErrUnsupported},
		{"add a queue", p.GroupAdd(t.Context(), "room", "jobs"), errors.ErrUnsupported},
		{"case 50: add a channel of Python", p.GroupAdd(t.Context(), "room", python), errors.ErrUnsupported},
		{"case 37: send to a channel of Python that is gone", p.Send(t.Context(), python, note.With(text{"a"})), layers.ErrNoChannel},
		{"send to a process that is gone", p.Send(t.Context(), "specific.nobody!1", note.With(text{"a"})), layers.ErrNoChannel},
		{"add a channel of a process that is gone", p.GroupAdd(t.Context(), "room", "specific.nobody!1"), layers.ErrNoChannel},
		{"add a channel that is gone", p.GroupAdd(t.Context(), "room", theirs+"x"), layers.ErrNoChannel},
		{"discard a channel of a process that is gone", p.GroupDiscard(t.Context(), "room", "specific.nobody!1"), nil},
		{"discard a channel of Python", p.GroupDiscard(t.Context(), "room", python), nil},
		{"queues", p.Require(t.Context(), layers.Queues), errors.ErrUnsupported},
		{"groups", p.Require(t.Context(), layers.Groups, layers.Flush), nil},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, c.err, c.want)
		}
	}
}

// Case 53: what nobody here is a member of is not heard.
func TestPubSubUnsubscribes(t *testing.T) {
	b := newBed(t, 1)
	p := b.pubsub(nil)
	channel := b.prefix + "__group__room"
	heard := func() int64 {
		counts, err := do(t, b.redis, "PUBSUB", "NUMSUB", channel).AsIntMap()
		must(t, err)
		return counts[channel]
	}
	first, second := p.channel(), p.channel()
	for round := range 3 {
		p.join("room", first, second)
		must(t, p.GroupDiscard(t.Context(), "room", first))
		if n := heard(); n != 1 {
			t.Fatalf("round %d: a group with a member is heard by %d, want 1", round, n)
		}
		must(t, p.GroupDiscard(t.Context(), "room", second))
		if n := heard(); n != 0 {
			t.Fatalf("case 53: round %d: a group without members is heard by %d", round, n)
		}
	}
	p.join("room", first)
	must(t, p.EndChannel(t.Context(), first))
	if n := heard(); n != 0 {
		t.Errorf("case 53: a group whose last member ended is heard by %d", n)
	}
	p.join("room", second)
	p.cable.Cut()
	must(t, p.EndChannel(t.Context(), second))
	p.cable.Mend()
	third := p.channel()
	eventually(t, func() bool { return p.GroupAdd(t.Context(), "hall", third) == nil }, "the layer is back")
	eventually(t, func() bool { return heard() == 0 }, "case 53: a group that was left during an outage is not heard after it")
}

// Case 31 for PubSub.
func TestPubSubNothingIsLeft(t *testing.T) {
	b := newBed(t, 1)
	b.direct = true
	p := b.pubsub(nil)
	var workers sync.WaitGroup
	for worker := range 4 {
		workers.Go(func() { // as often as connections come and go
			for i := range 2500 {
				channel, err := p.Listen(t.Context(), nothing{})
				if err == nil {
					err = p.GroupAdd(t.Context(), fmt.Sprint("room", (worker+i)%7), channel)
				}
				if err == nil {
					err = p.EndChannel(t.Context(), channel)
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	workers.Wait()
	heard, err := do(t, b.redis, "PUBSUB", "CHANNELS", b.prefix+"*").AsStrSlice()
	must(t, err)
	if len(heard) != 1 || heard[0] != p.ps.keys.all() {
		t.Errorf("L16, case 31: %v is still heard", heard)
	}
	if n := len(p.ps.groups.byName) + len(p.ps.asked.byID); n > 0 {
		t.Errorf("L16, case 31: %d subscriptions and questions are left in the process", n)
	}
	for channel := range p.ps.local.Memberships() {
		t.Errorf("L16: %s is left in a group", channel)
	}
}

// Cases 33 and 35.
func TestPubSubFlush(t *testing.T) {
	b := newBed(t, 1)
	p, q := b.pubsub(nil), b.pubsub(nil)
	mine, theirs := p.channel(), q.channel()
	p.join("room", mine)
	q.join("room", theirs)
	must(t, p.Flush(t.Context()))
	p.groupSend("room", "a")
	p.send(theirs, "b")
	q.want(theirs, "b")
	p.send(mine, "c")
	p.want(mine, "c")
	q.join("room", theirs)
	p.groupSend("room", "d")
	q.want(theirs, "d")
}

// Case 24: what cannot be read harms nobody.
func TestPubSubUnreadable(t *testing.T) {
	b := newBed(t, 1)
	p, q := b.pubsub(func(o *Options) { o.Keys = []string{"k"} }), b.pubsub(func(o *Options) { o.Keys = []string{"wrong"} })
	mine := p.channel()
	p.join("room", mine)
	q.send(mine, "a")
	q.groupSend("room", "b")
	do(t, b.redis, "PUBLISH", b.prefix+"__group__room", "\xc1")
	do(t, b.redis, "PUBLISH", strings.SplitAfter(mine, "!")[0]+".ask", "\xc1")
	p.send(mine, "c")
	p.want(mine, "c")
	p.dropped(layers.DropInvalid, 4)
	if n := p.logs.FilterMessageSnippet("cannot be read").Len(); n != 1 {
		t.Errorf("case 24: %d lines for four messages that cannot be read, want 1", n)
	}
}
