package layertest

import (
	"context"
	"errors"
	"time"

	"github.com/tideway-go/tideway/layers"
)

var promptness = rule{
	number: 14,
	promise: "Sending never waits for a handler or a mailbox. Over a network it waits a bounded time for the owner's " +
		"answer, then it is ErrUncertain; nothing is sent again",
	checks: []check{
		{name: "sends to a channel that nobody reads return at once", run: nobodyReads},
		{name: "sends to a full channel return at once", run: fullReturns},
		{name: "a direct send that nobody answers returns and is not sent again", cluster: true, run: unanswered},
		{name: "sends to a group with a full member do not hold up the others", run: fullHoldsNobodyUp},
	},
}

// answer is how long a direct send may wait for another process to answer.
const answer = 2 * time.Second

// prompt demands that f, one call of a sending method, returns. In a bubble its time is exact; in real time a machine
// may be slow, so there only patience limits it.
func (t *trial) prompt(limit time.Duration, what string, f func(ctx context.Context) error) error {
	t.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	begun := time.Now()
	err := t.returns(func() error { return f(ctx) }, "%s", what)
	if took := time.Since(begun); t.b.Bubble && took > limit {
		t.brokenf("%s took %v, want at most %v", what, took, limit)
	}
	return err
}

func nobodyReads(t *trial) {
	t.start(layers.Options{Capacity: 500})
	m := t.mailbox(1)
	t.join("room", m)
	for n := 1; n <= 50; n++ {
		t.must(t.prompt(answer, "a direct send to a channel that nobody reads", func(ctx context.Context) error {
			return t.node(0).Send(ctx, m.channel, noteType.With(note{N: n}))
		}), "Send")
		t.must(t.prompt(0, "a group send to a channel that nobody reads", func(ctx context.Context) error {
			return t.node(0).GroupSend(ctx, "room", noteType.With(note{N: n}))
		}), "GroupSend")
	}
}

func fullReturns(t *trial) {
	t.start(layers.Options{Capacity: 1})
	m := t.mailbox(1)
	t.send(t.node(0), m.channel, 1)
	for range 20 {
		err := t.prompt(answer, "a direct send to a full channel", func(ctx context.Context) error {
			return t.node(0).Send(ctx, m.channel, noteType.With(note{N: 2}))
		})
		if err != nil && !errors.Is(err, layers.ErrChannelFull) && !errors.Is(err, layers.ErrUncertain) {
			t.brokenf("a direct send to a full channel: got %s", quoted(err))
		}
	}
}

func fullHoldsNobodyUp(t *trial) {
	t.start(layers.Options{Capacity: 10})
	stuck, quick := t.mailbox(1), t.mailbox(1)
	t.join("room", stuck, quick)
	for n := 1; n <= 50; n++ {
		t.must(t.prompt(0, "a group send with a full member", func(ctx context.Context) error {
			return t.node(0).GroupSend(ctx, "room", noteType.With(note{N: n}))
		}), "GroupSend")
		quick.receive("a member beside one that never reads")
	}
}

// unanswered sends to an instance whose link is broken. What becomes of the message depends on the backend; that it
// comes at most once does not.
func unanswered(t *trial) {
	t.start(layers.Options{})
	m, ear := t.mailbox(1), t.listener(1)
	t.b.Break(t.tb, t.layer(1))
	t.told(ear, layers.Down)
	_ = t.prompt(answer, "a direct send to an instance without a link", func(ctx context.Context) error {
		return t.node(0).Send(ctx, m.channel, noteType.With(note{N: 1}))
	})
	t.b.Mend(t.tb, t.layer(1))
	t.told(ear, layers.Up)
	t.reach(t.node(0), ear)
	pause(straggler) // a chance to send it again
	t.send(t.node(0), m.channel, marker)
	got, err := m.upToMarker(t.ctx())
	t.must(err, "waiting for a marker")
	if len(got) > 1 {
		t.brokenf("a direct message that nobody answered came %d times", len(got))
	}
}
