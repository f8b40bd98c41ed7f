package layertest

import (
	"fmt"

	"github.com/tideway-go/tideway/layers"
)

var order = rule{
	number: 3,
	promise: "One goroutine's sends through one Layer, each begun after the last returned, direct or by group, reach " +
		"one process-local channel in that order; reconnects excepted",
	checks: []check{
		{name: "three messages arrive in the order of their sends", run: threeInOrder},
		{name: "10,000 messages, direct and by group in turns, arrive in order", run: mixedInOrder},
		{name: "each of several senders keeps its order", run: sendersInOrder},
	},
}

// Case 2.
func threeInOrder(t *trial) {
	for _, k := range kinds {
		t.start(layers.Options{})
		m := k.open(t, 1)
		t.send(t.node(0), m.channel, 1, 2, 3)
		m.exactly(t.node(0), "three direct messages to a "+k.name, 1, 2, 3)
		t.join("room", m)
		t.groupSend(t.node(0), "room", 1, 2, 3)
		m.exactly(t.node(0), "three group messages to a "+k.name, 1, 2, 3)
	}
}

// Case 57, with direct messages and a second group between the group messages.
func mixedInOrder(t *trial) {
	const total = 10_000
	for _, k := range kinds {
		t.start(layers.Options{Capacity: 2 * total})
		m, from := k.open(t, 1), t.node(0)
		t.join("room", m)
		t.join("hall", m)
		sent := make(chan error, 1)
		ctx := t.ctx()
		go func() { // ends when all is sent or ctx does; waited for below
			for n := 1; n <= total; n++ {
				msg := noteType.With(note{N: n})
				var err error
				switch {
				case n%3 == 0:
					err = from.Send(ctx, m.channel, msg)
				case n%7 < 3:
					err = from.GroupSend(ctx, "hall", msg)
				default:
					err = from.GroupSend(ctx, "room", msg)
				}
				if err != nil {
					sent <- fmt.Errorf("sending %d: %w", n, err)
					return
				}
			}
			sent <- nil
		}()
		t.follow(m, total, k.name)
		t.must(<-sent, "%d mixed messages", total)
		m.silent(from, "after the last of the mixed messages")
	}
}

// follow receives 1, 2, ... total, in this order unless order is excepted.
func (t *trial) follow(m *member, total int, who string) {
	t.tb.Helper()
	seen := make(map[int]bool, total)
	for want := 1; want <= total; want++ {
		got := m.receive(fmt.Sprintf("a %s waiting for message %d of %d", who, want, total))
		if got != want && !t.b.Exceptions.Unordered {
			t.brokenf("a %s: got message %d, want %d", who, got, want)
		}
		if seen[got] {
			t.brokenf("a %s: got message %d twice", who, got)
		}
		seen[got] = true
	}
}

func sendersInOrder(t *trial) {
	const senders, total = 4, 300
	for _, k := range kinds {
		t.start(layers.Options{Capacity: 2 * senders * total})
		m := k.open(t, 1)
		t.join("room", m)
		sent := make(chan error, senders)
		ctx := t.ctx()
		for s := range senders {
			from := t.node(s)
			go func() { // ends when all is sent or ctx does; waited for below
				for n := 1; n <= total; n++ {
					if err := from.GroupSend(ctx, "room", noteType.With(note{N: s*total + n})); err != nil {
						sent <- fmt.Errorf("sender %d: %w", s, err)
						return
					}
				}
				sent <- nil
			}()
		}
		var last [senders]int
		for range senders * total {
			got := m.receive("messages of four senders to a " + k.name)
			s, n := (got-1)/total, (got-1)%total+1
			if s < 0 || s >= senders || n <= last[s] && !t.b.Exceptions.Unordered {
				t.brokenf("a %s: got message %d of sender %d after message %d", k.name, n, s, last[s])
			}
			last[s] = n
		}
		for range senders {
			t.must(<-sent, "sending")
		}
	}
}
