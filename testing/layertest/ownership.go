package layertest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/tideway-go/tideway/layers"
)

var ownership = rule{
	number:  2,
	promise: "A channel from NewChannel or Listen is unique across processes and reaches its owner only",
	checks: []check{
		{name: "all channel names of all instances differ", run: uniqueNames},
		{name: "a message reaches the owner of its channel and nobody else", run: ownerOnly},
		{name: "another instance cannot receive from the channel", cluster: true, run: foreignReceive},
		{name: "two goroutines receive from two channels of one layer", run: twoReceivers},
		{name: "a cancelled Receive loses nothing", run: cancelledReceive},
	},
}

// Case 12: whatever the random numbers are seeded with.
func uniqueNames(t *trial) {
	t.start(layers.Options{})
	var (
		mu    sync.Mutex
		seen  = map[string]int{}
		wg    sync.WaitGroup
		wrong error
	)
	for i, n := range t.nodes {
		wg.Go(func() {
			for k := range 300 {
				name, err := n.NewChannel(t.ctx())
				if err == nil && k%3 == 0 {
					err = n.EndChannel(t.ctx(), name) // a name is not used again
				} else if err == nil && k%3 == 1 {
					name, err = n.Listen(t.ctx(), newInbox(0))
				}
				mu.Lock()
				if owner, taken := seen[name]; taken {
					err = fmt.Errorf("instances %d and %d both have %q", owner, i, name)
				}
				seen[name] = i
				wrong = errors.Join(wrong, err)
				mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	t.must(wrong, "making 300 channels in each instance, some of which end")
	for name := range seen {
		if strings.Count(name, "!") != 1 || strings.HasPrefix(name, "!") || len(name) > 99 {
			t.brokenf("NewChannel made the name %q, want one ! inside, at most 99 bytes", name)
		}
	}
}

// Case 3.
func ownerOnly(t *trial) {
	for _, k := range kinds {
		t.start(layers.Options{})
		var members []*member
		for i := range 6 {
			members = append(members, k.open(t, i))
		}
		for i, m := range members {
			t.send(t.node(i+1), m.channel, i)
		}
		for i, m := range members {
			m.exactly(t.node(i+1), fmt.Sprintf("%s %d of 6", k.name, i), i)
		}
	}
}

// Cases 5 and 82: Receive takes queues and the layer's own channels, no other name with "!".
func foreignReceive(t *trial) {
	t.start(layers.Options{})
	m := t.mailbox(0)
	t.send(t.node(0), m.channel, 1)
	for _, channel := range []string{m.channel, "x!", "x!y"} {
		_, err := t.node(1).Receive(t.ctx(), channel)
		if err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.brokenf("Receive by instance 1 from %q, which is not its own: got %s, want an error at once", channel, quoted(err))
		}
	}
	m.exactly(t.node(0), "the owner, after another instance tried", 1)
}

// Case 38. Both wait, and each gets its message while the other still waits for its own.
func twoReceivers(t *trial) {
	t.start(layers.Options{})
	members := []*member{t.mailbox(0), t.mailbox(0)}
	type result struct {
		n   int
		err error
	}
	for round := range 20 { // who waits first is chance
		first := round % 2
		results := []chan result{make(chan result, 1), make(chan result, 1)}
		for i, m := range members {
			ctx := t.ctx()
			go func() { // ends with ctx at the latest, and is waited for below
				n, err := m.number(ctx)
				results[i] <- result{n, err}
			}()
		}
		begin()
		for _, i := range []int{first, 1 - first} {
			t.send(t.node(1), members[i].channel, i)
			if r := <-results[i]; r.err != nil || r.n != i {
				t.brokenf("receiver %d of 2, served before the other: got message %d and %s", i+1, r.n, quoted(r.err))
			}
		}
	}
}

// Case 30.
func cancelledReceive(t *trial) {
	t.start(layers.Options{})
	t.cancelLosesNothing(t.mailbox(1), t.node(0))
}

// cancelLosesNothing cancels a waiting receiver at about the time at which a message comes, again and again: either the
// cancelled receiver has the message or the next one gets it.
func (t *trial) cancelLosesNothing(m *member, from node) {
	t.tb.Helper()
	type result struct {
		n   int
		err error
	}
	for round := 1; round <= 100; round++ {
		ctx, cancel := context.WithCancel(context.Background())
		waiting := make(chan result, 1)
		go func() { // ends with ctx, and is waited for below
			n, err := m.number(ctx)
			waiting <- result{n, err}
		}()
		begin()
		switch round % 4 {
		case 0:
			cancel()
		case 1:
			go cancel() // ends at once; the receiver that it ends is waited for below
		case 2:
			cancel()
			begin()
		}
		t.send(from, m.channel, round)
		if round%4 == 3 {
			cancel()
		}
		r := <-waiting
		cancel()
		switch {
		case r.err == nil:
		case errors.Is(r.err, context.Canceled):
			r.n = m.receive(fmt.Sprintf("round %d, after a cancelled Receive", round))
		default:
			t.brokenf("round %d: a cancelled Receive returned %s", round, quoted(r.err))
		}
		if r.n != round {
			t.brokenf("round %d: got message %d", round, r.n)
		}
	}
	m.silent(from, "after 100 cancelled Receives")
}
