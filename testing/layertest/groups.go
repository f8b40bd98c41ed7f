package layertest

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/tideway-go/tideway/layers"
)

var joining = rule{
	number: 8,
	promise: "A GroupSend that happens after GroupAdd returned is offered to the member (L5 and L6 apply); one after " +
		"GroupDiscard returned is not. Between nodes of a cluster a backend states how long it takes",
	checks: []check{
		{name: "members hear the group and those who left do not", run: membersHear},
		{name: "a group of 1, 10 and 100 members is heard by all", run: groupSizes},
		{name: "the first group message after GroupAdd arrives", run: firstMessage},
		{name: "an instance may add and discard the channel of another", run: foreignMember},
		{name: "no group message after GroupDiscard arrives", run: noneAfterDiscard},
		{name: "joining and leaving under fire misses nothing inside and hears nothing outside", run: underFire},
	},
}

var forgiveness = rule{
	number:  9,
	promise: "Adding twice is adding once; discarding a stranger, or sending to an empty group, is no error",
	checks: []check{
		{name: "a member that was added twice hears once and leaves once", run: addedTwice},
		{name: "discarding a stranger is no error", run: strangerDiscarded},
		{name: "sending to a group without members is no error and stores nothing", run: emptyGroup},
	},
}

var membership = rule{
	number: 10,
	promise: "Membership ends with its channel, and with its process within 10 s when that dies; a live member stays, " +
		"however long",
	checks: []check{
		{name: "a channel that has ended hears nothing more", run: endedChannel},
		{name: "a Receive that waits ends with its channel", run: receiveEnded},
		{name: "ending an unknown channel is no error", run: unknownEnded},
		{name: "a process that died leaves the group and slows nobody", cluster: true, clock: true, run: crashed},
		{name: "a queue leaves the group with the process that added it", cluster: true, clock: true, run: adderCrashed},
		{name: "a live member stays", clock: true, run: liveMember},
	},
}

// Case 43.
func membersHear(t *trial) {
	for _, k := range kinds {
		t.start(layers.Options{})
		one, two, three := k.open(t, 0), k.open(t, 1), k.open(t, 2)
		t.join("room", one, two, three)
		t.must(two.node.GroupDiscard(t.ctx(), "room", two.channel), "GroupDiscard")
		t.groupSend(t.node(0), "room", 1)
		one.exactly(t.node(0), k.name+" 1, a member", 1)
		two.silent(t.node(0), k.name+" 2, which has left")
		three.exactly(t.node(0), k.name+" 3, a member", 1)
	}
}

// Case 45.
func groupSizes(t *trial) {
	for _, size := range []int{1, 10, 100} {
		t.start(layers.Options{})
		var members []*member
		for i := range size {
			members = append(members, t.mailbox(i))
		}
		t.join("room", members...)
		t.groupSend(t.node(0), "room", 1)
		for i, m := range members {
			m.exactly(t.node(0), fmt.Sprintf("member %d of %d", i+1, size), 1)
		}
	}
}

// Case 56. The owner's own instance has no interest delay.
func firstMessage(t *trial) {
	t.start(layers.Options{})
	for round := range 30 {
		group := fmt.Sprintf("room.%d", round)
		m := t.mailbox(round)
		t.must(m.node.GroupAdd(t.ctx(), group, m.channel), "GroupAdd")
		t.groupSend(m.node, group, 9)
		m.exactly(m.node, "the first message of the own instance after a join", 9)
		t.join(group, m)
		for i, from := range t.nodes {
			t.groupSend(from, group, i)
			m.exactly(from, fmt.Sprintf("the first message of instance %d after a join", i), i)
		}
	}
}

func foreignMember(t *trial) {
	t.start(layers.Options{})
	m, adder := t.mailbox(0), t.node(1)
	t.must(adder.GroupAdd(t.ctx(), "room", m.channel), "GroupAdd of another instance's channel")
	if t.delayed() {
		t.settle("room", m)
	}
	t.groupSend(t.node(2), "room", 1)
	m.exactly(t.node(2), "a channel that another instance added", 1)
	t.must(adder.GroupDiscard(t.ctx(), "room", m.channel), "GroupDiscard of another instance's channel")
	t.groupSend(t.node(2), "room", 2)
	m.silent(t.node(2), "a channel that another instance discarded")
}

func noneAfterDiscard(t *trial) {
	for _, k := range kinds {
		t.start(layers.Options{})
		m, stays := k.open(t, 0), k.open(t, 0)
		t.join("room", m, stays)
		for round := 1; round <= 20; round++ {
			t.must(m.node.GroupDiscard(t.ctx(), "room", m.channel), "GroupDiscard")
			for _, from := range t.nodes {
				t.groupSend(from, "room", round)
				m.silent(from, fmt.Sprintf("a %s that has left, round %d", k.name, round))
				stays.exactly(from, fmt.Sprintf("a %s that has stayed, round %d", k.name, round), round)
			}
			t.join("room", m)
			t.drain(stays) // it heard the probes of the join, if there were any
		}
	}
}

// drain makes m forget the probes that it holds.
func (t *trial) drain(m *member) {
	t.tb.Helper()
	if t.delayed() {
		m.silent(t.node(0), "a member after probes")
	}
}

// underFire lets one goroutine send to the group without pause while a member joins and leaves. The numbers of the
// messages tell which of them began after the join returned, and which after the leave returned. The leaver asks the
// same goroutine for a marker, so what was sent before it has arrived before it.
func underFire(t *trial) {
	for _, k := range kinds {
		t.start(layers.Options{Capacity: 50_000})
		m, from := k.open(t, 1), t.node(0)
		var begun atomic.Int64
		marks := make(chan chan error)
		stop := t.repeat(func() {
			select {
			case done := <-marks:
				done <- from.Send(t.ctx(), m.channel, noteType.With(note{N: marker}))
			default:
				t.fire(from, int(begun.Add(1)))
			}
		})
		for round := 1; round <= 20; round++ {
			t.must(m.node.GroupAdd(t.ctx(), "room", m.channel), "GroupAdd")
			joined := int(begun.Load())
			t.contiguous(m, joined, fmt.Sprintf("a %s that joined after message %d had begun", k.name, joined))
			t.must(m.node.GroupDiscard(t.ctx(), "room", m.channel), "GroupDiscard")
			left := int(begun.Load())
			t.eventually(func() bool { return int(begun.Load()) > left+5 }, "sending goes on")
			done := make(chan error, 1)
			marks <- done
			t.must(<-done, "sending a marker")
			heard, err := m.upToMarker(t.ctx())
			t.must(err, "waiting for a marker")
			for _, n := range heard {
				if n > left {
					stop()
					t.brokenf("a %s heard message %d after it had left, when %d had begun", k.name, n, left)
				}
			}
		}
		stop()
	}
}

// fire sends one numbered message to "room" and gives way now and then.
func (t *trial) fire(from node, n int) {
	_ = from.GroupSend(t.ctx(), "room", noteType.With(note{N: n})) // an error shows as a gap
	if n%10 == 0 {
		pause(100 * time.Microsecond)
	}
}

// contiguous demands 20 messages without a gap, beginning with the first that began after joined, or, under an interest
// delay, with the first to arrive.
func (t *trial) contiguous(m *member, joined int, what string) {
	t.tb.Helper()
	first := joined + 1
	heard := map[int]bool{}
	for want := first; want < first+20; {
		got := m.receive(what)
		switch {
		case got <= joined: // began before the join returned: either way is right
			continue
		case len(heard) == 0 && t.delayed():
			first, want = got, got
		}
		if heard[got] = true; !heard[want] && !t.b.Exceptions.Unordered {
			t.brokenf("%s: got message %d, want %d", what, got, want)
		}
		for heard[want] {
			want++
		}
	}
}

// Case 48.
func addedTwice(t *trial) {
	t.start(layers.Options{})
	m := t.mailbox(1)
	t.join("room", m)
	t.join("room", m)
	t.must(t.node(2).GroupAdd(t.ctx(), "room", m.channel), "GroupAdd, the third time, by another instance")
	t.groupSend(t.node(0), "room", 1)
	m.exactly(t.node(0), "a member that was added three times", 1)
	t.must(m.node.GroupDiscard(t.ctx(), "room", m.channel), "GroupDiscard")
	t.groupSend(t.node(0), "room", 2)
	m.silent(t.node(0), "a member that was added three times and discarded once")
	t.join("room", m)
	t.groupSend(t.node(0), "room", 3)
	m.exactly(t.node(0), "a member that came back", 3)
}

// Case 47.
func strangerDiscarded(t *trial) {
	t.start(layers.Options{})
	m, stranger := t.mailbox(1), t.mailbox(1)
	t.join("room", m)
	t.must(stranger.node.GroupDiscard(t.ctx(), "room", stranger.channel), "GroupDiscard of a stranger")
	t.must(stranger.node.GroupDiscard(t.ctx(), "nowhere", stranger.channel), "GroupDiscard from an unknown group")
	t.must(m.node.GroupDiscard(t.ctx(), "room", m.channel), "GroupDiscard of the member")
	t.must(m.node.GroupDiscard(t.ctx(), "room", m.channel), "GroupDiscard for the second time")
	t.join("room", m)
	t.groupSend(t.node(0), "room", 1)
	m.exactly(t.node(0), "a member beside a discarded stranger", 1)
	stranger.silent(t.node(0), "a discarded stranger")
}

// Case 49. A send has passed when its sender's next message has come: until then a backend that buffers may still have it
// on its way, and it is no fault if it meets a member that joins meanwhile.
func emptyGroup(t *trial) {
	t.start(layers.Options{})
	m := t.mailbox(1)
	t.groupSend(t.node(0), "room", 1)
	m.silent(t.node(0), "a channel in no group")
	t.join("room", m)
	m.silent(t.node(0), "a member that joined after the send")
	t.must(m.node.GroupDiscard(t.ctx(), "room", m.channel), "GroupDiscard")
	t.groupSend(t.node(0), "room", 2)
	m.silent(t.node(0), "a channel that has left the group")
	t.join("room", m)
	m.silent(t.node(0), "a member that was away at the send")
}

func endedChannel(t *trial) {
	for _, k := range kinds {
		t.start(layers.Options{})
		ended, stays := k.open(t, 1), k.open(t, 1)
		t.join("room", ended, stays)
		t.groupSend(t.node(0), "room", 1)
		ended.exactly(t.node(0), "a member before its end", 1)
		stays.exactly(t.node(0), "a member before its neighbour's end", 1)
		t.must(ended.node.EndChannel(t.ctx(), ended.channel), "EndChannel")
		t.must(ended.node.EndChannel(t.ctx(), ended.channel), "EndChannel for the second time")
		t.groupSend(t.node(0), "room", 2, 3, 4)
		stays.exactly(t.node(0), "a member whose neighbour has ended", 2, 3, 4) // the same way as to the ended one
		if ended.inbox != nil {
			if n := ended.inbox.count(); n > 0 {
				t.brokenf("an Inbox whose channel has ended was given %d messages", n)
			}
			continue
		}
		_, err := ended.node.Receive(t.ctx(), ended.channel)
		t.mustBe(err, layers.ErrNoChannel, "Receive from a channel that has ended")
	}
}

func receiveEnded(t *trial) {
	t.start(layers.Options{})
	m, waits, ctx := t.mailbox(1), make(chan error, 2), t.ctx()
	for range cap(waits) {
		go func() { // ends with the channel, or with ctx; waited for below
			_, err := m.next(ctx)
			waits <- err
		}()
	}
	begin()
	t.must(m.node.EndChannel(t.ctx(), m.channel), "EndChannel")
	for range cap(waits) {
		t.mustBe(<-waits, layers.ErrNoChannel, "a Receive that waits when its channel ends")
	}
}

func unknownEnded(t *trial) {
	t.start(layers.Options{})
	m := t.mailbox(1)
	t.must(t.node(0).EndChannel(t.ctx(), m.channel+"x"), "EndChannel of a channel that never was")
	t.send(t.node(0), m.channel, 1)
	m.exactly(t.node(0), "a channel beside one that never was", 1)
}

// Case 54.
func crashed(t *trial) {
	t.start(layers.Options{})
	dead, alive := t.mailbox(1), t.mailbox(2)
	t.join("room", dead, alive)
	t.b.Crash(t.tb, t.layer(1))
	died := time.Now()
	for n := 1; n <= 10; n++ {
		t.groupSend(t.node(0), "room", n)
	}
	alive.exactly(t.node(0), "a live member beside a dead process", until(10)...)
	if took := time.Since(died); t.b.Bubble && took > 2*time.Second {
		t.brokenf("ten group sends beside a dead process took %v", took)
	}
	pause(10*time.Second - time.Since(died))
	err := t.node(0).Send(t.ctx(), dead.channel, noteType.With(note{N: 11}))
	if !t.b.Exceptions.NoErrNoChannel || err != nil {
		t.mustBe(err, layers.ErrNoChannel, "Send to a channel of a process that died 10 s ago")
	}
	t.groupSend(t.node(0), "room", 12)
	alive.exactly(t.node(0), "a live member 10 s after its neighbour died", 12)
}

// adderCrashed: a queue belongs to no process, so its membership belongs to the one that added it.
func adderCrashed(t *trial) {
	t.start(layers.Options{})
	if t.withoutQueues() {
		return
	}
	q := t.queue(1, "jobs")
	t.join("room", q)
	t.groupSend(t.node(0), "room", 1)
	t.queue(2, "jobs").exactly(t.node(0), "a queue in a group", 1)
	t.b.Crash(t.tb, t.layer(1))
	pause(10 * time.Second)
	t.groupSend(t.node(0), "room", 2)
	t.queue(2, "jobs").silent(t.node(0), "a queue 10 s after the process that added it to the group died")
}

// Case 55. It also beats case 75: there is no group expiry for the living.
func liveMember(t *trial) {
	stay := t.b.Stay
	if stay == 0 && t.b.Bubble {
		stay = 48 * time.Hour
	} else if stay == 0 {
		stay = 3 * time.Second
	}
	for _, k := range kinds {
		t.start(layers.Options{})
		m := k.open(t, 1)
		t.join("room", m)
		pause(stay)
		for i, from := range t.nodes {
			t.groupSend(from, "room", i)
			m.exactly(from, fmt.Sprintf("a %s that joined %v ago", k.name, stay), i)
		}
	}
}
