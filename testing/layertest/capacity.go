package layertest

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/tideway-go/tideway/layers"
)

var capacity = rule{
	number: 5,
	promise: "Capacity is per channel (default 100, patterns override; 0 is the default, negative panics). A direct " +
		"send to a full channel is ErrChannelFull and stores nothing, also when the owner is another process. A " +
		"group send skips full members, counts them, and never fails for them",
	checks: []check{
		{name: "a direct send to a full channel is ErrChannelFull and stores nothing", run: fullChannel},
		{name: "a full channel takes a message again after one was received", run: roomAgain},
		{name: "an Inbox without room is a full channel", run: fullInbox},
		{name: "the bound is per channel, not per process", run: boundPerChannel},
		{name: "the default is 100, and 0 is the default", run: defaultCapacity},
		{name: "a negative capacity panics", run: negativeCapacity},
		{name: "patterns override, the first match wins", run: capacityPatterns},
		{name: "2 MiB of payload are full too", run: fullOfBytes},
		{name: "a group send skips full members, counts them and does not fail", run: groupSkipsFull},
		{name: "a group whose members are all full is no error", run: allFull},
	},
}

// overfill sends one message to a channel that must be full: the sender is told, or, where the backend cannot, the drop
// is counted where the channel lives.
func (t *trial) overfill(from node, channel, what string) {
	t.tb.Helper()
	t.overfillWith(from, channel, note{N: 1000}, what)
}

func (t *trial) overfillWith(from node, channel string, v note, what string) {
	t.tb.Helper()
	before := t.drops.full(channel)
	err := from.Send(t.ctx(), channel, noteType.With(v))
	if t.b.Exceptions.FullUnseen && err == nil {
		t.eventually(func() bool { return t.drops.full(channel) > before }, "%s: the drop is counted", what)
		return
	}
	t.mustBe(err, layers.ErrChannelFull, "%s", what)
}

// Case 58, first half.
func fullChannel(t *trial) {
	t.start(layers.Options{Capacity: 3})
	for owner := range 2 {
		m := t.mailbox(owner)
		t.send(t.node(0), m.channel, 1, 2, 3)
		for range 3 {
			t.overfill(t.node(0), m.channel, "a direct send to a channel with 3 unread of 3")
		}
		m.exactly(t.node(0), "a channel of 3, after refused sends", 1, 2, 3)
	}
}

// Case 58, second half.
func roomAgain(t *trial) {
	t.start(layers.Options{Capacity: 3})
	m, from := t.mailbox(1), t.node(0)
	t.send(from, m.channel, 1, 2, 3)
	t.overfill(from, m.channel, "a fourth message to a channel of 3")
	var got []int
	for n := 4; n <= 10; n++ {
		got = append(got, m.receive("making room"))
		t.send(from, m.channel, n)
		t.overfill(from, m.channel, "a message after the one that took the free place")
	}
	for range 3 {
		got = append(got, m.receive("a channel of 3 that was filled again and again"))
	}
	if !t.same(got, until(10)) {
		t.brokenf("a channel of 3 that was filled again and again: got %v, want %v", got, until(10))
	}
	m.silent(from, "a channel of 3 that was filled again and again")
}

func fullInbox(t *trial) {
	t.start(layers.Options{})
	in := newInbox(2)
	channel, err := t.node(1).Listen(t.ctx(), in)
	t.must(err, "Listen")
	m := &member{trial: t, node: t.node(1), channel: channel, inbox: in}
	t.send(t.node(0), channel, 1, 2)
	t.overfill(t.node(0), channel, "a direct send to an Inbox that returns ErrChannelFull")
	m.exactly(t.node(0), "an Inbox with room for 2, after a refused send", 1, 2)
}

// Cases 63 and 64.
func boundPerChannel(t *trial) {
	t.start(layers.Options{Capacity: 2})
	full, same, other := t.mailbox(1), t.mailbox(1), t.mailbox(2)
	t.send(t.node(0), full.channel, 1, 2)
	t.overfill(t.node(0), full.channel, "a third message to a channel of 2")
	for _, m := range []*member{same, other} {
		t.send(t.node(0), m.channel, 3, 4)
		m.exactly(t.node(0), "a channel beside a full one", 3, 4)
	}
	full.exactly(t.node(0), "the full channel", 1, 2)
}

// Case 67 is beaten by the promise: 0 is the default, not "unlimited".
func defaultCapacity(t *trial) {
	t.start(layers.Options{})
	m := t.mailbox(1)
	if got := t.node(0).Capacity(m.channel); got != 100 {
		t.brokenf("Capacity of a channel under zero options: got %d, want 100", got)
	}
	t.send(t.node(0), m.channel, until(100)...)
	t.overfill(t.node(0), m.channel, "message 101 to a channel under zero options")
	m.exactly(t.node(0), "a channel under zero options", until(100)...)
}

func negativeCapacity(t *trial) {
	defer func() {
		if r := recover(); r == nil {
			t.brokenf("making a layer with capacity -1: no panic")
		} else if !strings.Contains(strings.ToLower(fmt.Sprint(r)), "capacity") {
			t.brokenf("making a layer with capacity -1: the panic does not name the capacity: %v", r)
		}
	}()
	t.start(layers.Options{Capacity: -1})
}

// Cases 59 and 66 for channels of any backend; case 60 as a table is the layer's own.
func capacityPatterns(t *trial) {
	t.start(layers.Options{Capacity: 5, Capacities: []layers.Capacity{
		layers.Glob("one", 1),
		layers.Regexp(regexp.MustCompile(`^two$`), 2),
		layers.Glob("*!*", 3),
		layers.Glob("*!?*", 4),
	}})
	m := t.mailbox(1)
	for name, want := range map[string]int{"one": 1, "two": 2, m.channel: 3, "other": 5} {
		if got := t.node(0).Capacity(name); got != want {
			t.brokenf("Capacity of %q: got %d, want %d", name, got, want)
		}
	}
	t.send(t.node(0), m.channel, 1, 2, 3)
	t.overfill(t.node(0), m.channel, "a fourth message to a channel whose pattern says 3")
	m.exactly(t.node(0), "a channel whose pattern says 3", 1, 2, 3)
	if t.withoutQueues() {
		return
	}
	for name, n := range map[string]int{"one": 1, "two": 2, "other": 5} {
		t.send(t.node(0), name, until(n)...)
		t.overfill(t.node(0), name, fmt.Sprintf("message %d to queue %q of %d", n+1, name, n))
		t.queue(1, name).exactly(t.node(0), fmt.Sprintf("queue %q of %d", name, n), until(n)...)
	}
}

func fullOfBytes(t *trial) {
	const part = 900_000 // 2 MiB hold two
	t.start(layers.Options{})
	m, from := t.mailbox(1), t.node(0)
	big := strings.Repeat("x", part)
	for n := 1; n <= 2; n++ {
		t.must(from.Send(t.ctx(), m.channel, noteType.With(note{N: n, Text: big})), "message %d of %d bytes", n, part)
	}
	t.overfillWith(from, m.channel, note{N: 1000, Text: big}, "a third message of 900,000 bytes to a channel that holds two")
	var got []int
	for n := 3; n <= 5; n++ {
		got = append(got, m.receive("making room in a channel full of bytes"))
		t.must(from.Send(t.ctx(), m.channel, noteType.With(note{N: n, Text: big})), "a large message in the place of another")
		t.overfillWith(from, m.channel, note{N: 1000, Text: big}, "a large message to a channel that is full of bytes again")
	}
	for range 2 {
		got = append(got, m.receive("a channel full of bytes"))
	}
	if !t.same(got, until(5)) {
		t.brokenf("a channel that was filled with bytes again and again: got %v, want %v", got, until(5))
	}
	m.silent(from, "a channel that was full of bytes")
}

// Cases 61 and 62.
func groupSkipsFull(t *trial) {
	t.start(layers.Options{Capacity: 3})
	busy, idle := t.mailbox(1), t.mailbox(2)
	t.join("room", busy, idle)
	t.send(t.node(0), busy.channel, 9)
	t.groupSend(t.node(0), "room", 1, 2, 3)
	idle.exactly(t.node(0), "an empty member of 3 places, after 3 group messages", 1, 2, 3)
	t.eventually(func() bool { return t.drops.full(busy.channel) == 1 }, "a member without room for one group message is counted once")
	busy.exactly(t.node(0), "a member that held 1 of 3, after 3 group messages", 9, 1, 2)
	if n := t.drops.full(idle.channel); n != 0 {
		t.brokenf("a member with room for all was counted as full %d times", n)
	}
	counted := uint64(0)
	for _, l := range t.raw {
		counted += l.Stats().Dropped[layers.DropFull]
	}
	if counted != 1 {
		t.brokenf("the Stats of all instances count %d drops for want of room, want 1", counted)
	}
	t.groupSend(t.node(0), "room", 4)
	busy.exactly(t.node(0), "a member that was full and has been read", 4)
}

func allFull(t *trial) {
	t.start(layers.Options{Capacity: 1})
	members := []*member{t.mailbox(0), t.mailbox(1), t.mailbox(2)}
	t.join("room", members...)
	t.groupSend(t.node(0), "room", 1, 2, 3, 4)
	for i, m := range members {
		t.eventually(func() bool { return t.drops.full(m.channel) == 3 }, "three group messages beyond the capacity of member %d are counted", i+1)
		m.exactly(t.node(0), fmt.Sprintf("member %d with room for one", i+1), 1)
	}
}
