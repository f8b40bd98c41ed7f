package layertest

import (
	"context"
	"time"

	"github.com/tideway-go/tideway/layers"
)

var outage = rule{
	number: 15,
	promise: "A lost broker connection kills no consumer: the layer reconnects, restores its subscriptions, and tells " +
		"local channels by Down and Up, which are local only and never decoded from the wire",
	checks: []check{
		{name: "a channel is told once that the link is down and once that it is up", cluster: true, run: toldOnce},
		{name: "other instances are not told", cluster: true, run: othersNotTold},
		{name: "a Receive that waits through an outage gets the next message", cluster: true, run: receiveSurvives},
		{name: "memberships are restored", cluster: true, run: restored},
		{name: "joins and leaves made during an outage hold after it", cluster: true, run: changedMeanwhile},
		{name: "Down and Up cannot be sent", run: notFromTheWire},
	},
}

// told waits until the listener is told of an outage (typ is that of layers.Down or layers.Up).
func (t *trial) told(m *member, typ layers.Type[layers.Outage]) {
	t.tb.Helper()
	for {
		msg, err := m.take(t.ctx())
		t.must(err, "waiting for %s", typ)
		if !msg.Local() {
			continue
		}
		if msg.Type() != typ.String() {
			t.brokenf("an Inbox was told %s, want %s", msg.Type(), typ)
		}
		o, err := typ.Decode(msg)
		t.must(err, "decoding %s", typ)
		if o.Cause == "" || o.Since.IsZero() {
			t.brokenf("%s carries %+v, want a cause and a time", typ, o)
		}
		return
	}
}

// reach sends to m until something arrives: the link is up and m is known again.
func (t *trial) reach(from node, m *member) {
	t.tb.Helper()
	probe := 0
	t.eventually(func() bool {
		probe++
		err := from.Send(t.ctx(), m.channel, probeType.With(note{N: probe}))
		return err == nil && m.hears(probe, 200*time.Millisecond)
	}, "a direct message after the link was mended")
}

// Cases 32 and 34.
func toldOnce(t *trial) {
	t.start(layers.Options{})
	members := []*member{t.listener(0), t.listener(0)}
	for range 2 {
		t.b.Break(t.tb, t.layer(0))
		for _, m := range members {
			t.told(m, layers.Down)
		}
		t.b.Mend(t.tb, t.layer(0))
		for _, m := range members {
			t.told(m, layers.Up)
			t.reach(t.node(1), m)
			// Nothing else was said before the link carried a message: the next outage begins with Down again.
		}
	}
}

func othersNotTold(t *trial) {
	t.start(layers.Options{})
	hit, spared := t.listener(0), t.listener(1)
	spared.taken = func(m layers.Message) {
		if m.Local() {
			t.brokenf("an instance whose link is whole was told %s", m.Type())
		}
	}
	t.b.Break(t.tb, t.layer(0))
	t.told(hit, layers.Down)
	t.send(t.node(2), spared.channel, 1)
	spared.exactly(t.node(2), "an instance whose link is whole", 1)
	t.b.Mend(t.tb, t.layer(0))
	t.told(hit, layers.Up)
	t.send(t.node(2), spared.channel, 2)
	spared.exactly(t.node(2), "an instance whose link is whole", 2)
}

// Case 32, for a mailbox and for a queue.
func receiveSurvives(t *trial) {
	t.start(layers.Options{})
	ear, waits := t.listener(0), []*member{t.mailbox(0)}
	if !t.b.Exceptions.NoQueues {
		waits = append(waits, t.queue(0, "jobs"))
	}
	type result struct {
		n   int
		err error
	}
	results := make([]chan result, len(waits))
	ctx, cancel := context.WithTimeout(context.Background(), 4*patience)
	defer cancel()
	for i, m := range waits {
		results[i] = make(chan result, 2)
		go func() { // ends with ctx; waited for below
			for range 2 {
				n, err := m.number(ctx)
				results[i] <- result{n, err}
			}
		}()
		t.send(t.node(1), m.channel, 9)
		t.must((<-results[i]).err, "a Receive before the outage")
	}
	pause(100 * time.Millisecond) // they are about to wait again
	t.b.Break(t.tb, t.layer(0))
	t.told(ear, layers.Down)
	for i := range waits {
		select {
		case r := <-results[i]:
			t.brokenf("a Receive that waited when the link was lost returned message %d and %s", r.n, quoted(r.err))
		case <-time.After(100 * time.Millisecond): // a chance to go wrong, no more
		}
	}
	t.b.Mend(t.tb, t.layer(0))
	t.told(ear, layers.Up)
	t.reach(t.node(1), ear)
	for i, m := range waits {
		t.eventually(func() bool {
			return t.node(1).Send(t.ctx(), m.channel, noteType.With(note{N: 1})) == nil
		}, "a send after the link was mended")
		r := <-results[i]
		t.must(r.err, "a Receive from %q that waited through an outage", m.channel)
		if r.n != 1 {
			t.brokenf("a Receive from %q that waited through an outage: got message %d, want 1", m.channel, r.n)
		}
	}
}

func restored(t *trial) {
	for _, k := range kinds {
		t.start(layers.Options{})
		hit, spared, ear := k.open(t, 0), k.open(t, 1), t.listener(0)
		t.join("room", hit, spared)
		t.b.Break(t.tb, t.layer(0))
		t.told(ear, layers.Down)
		t.groupSend(t.node(1), "room", 1)
		if got := spared.receive("a group message between instances whose links are whole"); got != 1 {
			t.brokenf("a member whose link is whole: got message %d, want 1", got)
		}
		t.b.Mend(t.tb, t.layer(0))
		t.told(ear, layers.Up)
		forget := func(layers.Message) {} // a message sent during the outage may come late
		hit.taken, spared.taken = forget, forget
		t.settle("room", hit, spared)
		for _, from := range t.nodes {
			t.groupSend(from, "room", 2, 3, 4)
			hit.exactly(from, "a "+k.name+" whose link was broken", 2, 3, 4)
			spared.exactly(from, "a "+k.name+" whose link was whole", 2, 3, 4)
		}
	}
}

// Case 33. A join or leave may fail without a link; one that succeeded holds.
func changedMeanwhile(t *trial) {
	t.start(layers.Options{})
	leaves, joins, stays, ear := t.mailbox(0), t.mailbox(0), t.mailbox(0), t.listener(0)
	t.join("room", leaves, stays)
	t.b.Break(t.tb, t.layer(0))
	t.told(ear, layers.Down)
	quick := func(f func(context.Context) error) bool {
		ctx, cancel := context.WithTimeout(context.Background(), answer)
		defer cancel()
		return t.returns(func() error { return f(ctx) }, "a join or leave without a link") == nil
	}
	left := quick(func(ctx context.Context) error { return t.node(0).GroupDiscard(ctx, "room", leaves.channel) })
	joined := quick(func(ctx context.Context) error { return t.node(0).GroupAdd(ctx, "room", joins.channel) })
	t.b.Mend(t.tb, t.layer(0))
	t.told(ear, layers.Up)
	in, out := []*member{stays}, []*member{}
	if joined {
		in = append(in, joins)
	}
	if left {
		out = append(out, leaves)
	}
	t.settle("room", in...)
	t.groupSend(t.node(1), "room", 1)
	for _, m := range in {
		m.exactly(t.node(1), "a member after an outage", 1)
	}
	for _, m := range out {
		m.silent(t.node(1), "a member that left during an outage")
	}
}

func notFromTheWire(t *trial) {
	t.start(layers.Options{})
	m := t.listener(1)
	t.join("room", m)
	m.taken = func(msg layers.Message) {
		if msg.Local() || msg.Type() == layers.Down.String() || msg.Type() == layers.Up.String() {
			t.brokenf("a channel was told %s that somebody sent", msg.Type())
		}
	}
	for _, typ := range []layers.Type[layers.Outage]{layers.Down, layers.Up} {
		msg := typ.With(layers.Outage{Cause: "forged"})
		if err := t.node(0).Send(t.ctx(), m.channel, msg); err == nil {
			t.brokenf("Send of %s: got no error", typ)
		}
		if err := t.node(0).GroupSend(t.ctx(), "room", msg); err == nil {
			t.brokenf("GroupSend of %s: got no error", typ)
		}
	}
	m.silent(t.node(0), "after forged messages")
}
