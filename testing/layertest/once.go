package layertest

import (
	"context"
	"fmt"

	"github.com/tideway-go/tideway/layers"
)

var atMostOnce = rule{
	number:  4,
	promise: "At most once: never twice. Jobs of durable queues (L18) excepted",
	checks: []check{
		{name: "a direct message comes once", run: directOnce},
		{name: "three members in one process hear a group message once each", run: neighboursOnce},
		{name: "a member of two groups hears each group once", run: twoGroups},
		{name: "with every instance sending, each member hears each message once", run: everybodyOnce},
		{name: "a broken link brings nothing twice", cluster: true, run: onceAcrossOutage},
	},
}

func directOnce(t *trial) {
	for _, k := range kinds {
		t.start(layers.Options{Capacity: 1000})
		m := k.open(t, 1)
		t.send(t.node(0), m.channel, until(100)...)
		m.exactly(t.node(0), "100 direct messages to a "+k.name, until(100)...)
	}
}

// Case 44.
func neighboursOnce(t *trial) {
	for _, k := range kinds {
		t.start(layers.Options{})
		members := []*member{k.open(t, 1), k.open(t, 1), k.open(t, 1)}
		t.join("room", members...)
		t.groupSend(t.node(0), "room", 1)
		for i, m := range members {
			m.exactly(t.node(0), fmt.Sprintf("%s %d of three in one process", k.name, i+1), 1)
		}
	}
}

// Case 52.
func twoGroups(t *trial) {
	t.start(layers.Options{})
	m := t.mailbox(1)
	t.join("room", m)
	t.join("hall", m)
	t.groupSend(t.node(0), "room", 1)
	t.groupSend(t.node(0), "hall", 2)
	m.exactly(t.node(0), "a member of two groups, one message to each", 1, 2)
}

func everybodyOnce(t *trial) {
	const total = 200
	t.start(layers.Options{Capacity: 10 * total})
	var members []*member
	for i := range 3 {
		members = append(members, t.mailbox(i), t.listener(i))
	}
	t.join("room", members...)
	sent := make(chan error, 3)
	ctx := t.ctx()
	for s := range 3 {
		from := t.node(s)
		go func() { // ends when all is sent or ctx does; waited for below
			var err error
			for n := 1; n <= total && err == nil; n++ {
				err = from.GroupSend(ctx, "room", noteType.With(note{N: s*total + n}))
			}
			sent <- err
		}()
	}
	for range 3 {
		t.must(<-sent, "GroupSend")
	}
	for i, m := range members {
		seen := map[int]bool{}
		for range 3 * total {
			n := m.receive("messages of three senders")
			if seen[n] {
				t.brokenf("member %d of 6 got message %d twice", i+1, n)
			}
			seen[n] = true
		}
		m.silent(t.node(0), fmt.Sprintf("member %d of 6, after each message once", i+1))
	}
}

func onceAcrossOutage(t *trial) {
	t.start(layers.Options{Capacity: 10_000})
	members := []*member{t.mailbox(0), t.listener(0), t.mailbox(2)}
	t.join("room", members...)
	heard := make([]map[int]int, len(members))
	for i, m := range members {
		heard[i] = map[int]int{}
		m.taken = func(msg layers.Message) {
			if v, err := noteType.Decode(msg); err == nil && msg.Type() == noteType.String() {
				heard[i][v.N]++
			}
		}
	}
	n := 0
	burst := func(rounds int) {
		for range rounds {
			for s := range 3 {
				n++
				ctx, cancel := context.WithTimeout(context.Background(), answer)
				// While the link is down an error is allowed, and so is a message lost on the way.
				_ = t.node(s).GroupSend(ctx, "room", noteType.With(note{N: n}))
				cancel()
			}
		}
	}
	burst(50)
	t.b.Break(t.tb, t.layer(0))
	burst(5)
	t.b.Mend(t.tb, t.layer(0))
	burst(50)
	t.settle("room", members...) // everything sent before a probe arrives before it
	for i := range members {
		for k := 1; k <= n; k++ {
			if heard[i][k] > 1 {
				t.brokenf("member %d got message %d of %d %d times around an outage", i+1, k, n, heard[i][k])
			}
		}
	}
}
