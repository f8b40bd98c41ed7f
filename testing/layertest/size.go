package layertest

import (
	"errors"
	"strings"

	"github.com/tideway-go/tideway/layers"
)

var size = rule{
	number: 13,
	promise: "1,000,000 encoded bytes pass everywhere; above Options.MaxMessageSize (2 MiB) it is ErrMessageTooLarge " +
		"and nothing is stored",
	checks: []check{
		{name: "a message of 1,000,000 encoded bytes passes", run: megabytePasses},
		{name: "a message above MaxMessageSize is ErrMessageTooLarge and stores nothing", run: tooLarge},
		{name: "the default limit is at most 2 MiB", run: defaultLimit},
	},
}

// noteOf makes a message that takes exactly so many encoded bytes.
func (t *trial) noteOf(bytes, n int) layers.Message {
	t.tb.Helper()
	text := bytes - 100
	for {
		m := noteType.With(note{N: n, Text: strings.Repeat("x", text)})
		if m.Size() == bytes {
			return m
		}
		if text += bytes - m.Size(); text < 0 {
			t.brokenf("a message of %d bytes cannot be made: with an empty text it has %d", bytes, m.Size())
		}
	}
}

// Case 77, second half.
func megabytePasses(t *trial) {
	for _, opts := range []layers.Options{{}, {MaxMessageSize: 1_000_000}} {
		t.start(opts)
		m := t.mailbox(1)
		t.join("room", m)
		big := t.noteOf(1_000_000, 1)
		type way struct {
			name string
			to   *member
			send func() error
		}
		ways := []way{
			{"direct", m, func() error { return t.node(0).Send(t.ctx(), m.channel, big) }},
			{"by group", m, func() error { return t.node(0).GroupSend(t.ctx(), "room", big) }},
		}
		if !t.b.Exceptions.NoQueues {
			ways = append(ways, way{"by queue", t.queue(1, "jobs"), func() error { return t.node(0).Send(t.ctx(), "jobs", big) }})
		}
		for _, w := range ways {
			way := w.name
			t.must(w.send(), "sending 1,000,000 bytes, %s", way)
			msg, err := w.to.next(t.ctx())
			t.must(err, "receiving 1,000,000 bytes, %s", way)
			v, err := noteType.Decode(msg)
			t.must(err, "decoding 1,000,000 bytes, %s", way)
			if msg.Size() != big.Size() || len(v.Text) < 999_000 || v.N != 1 || strings.Trim(v.Text, "x") != "" {
				t.brokenf("1,000,000 bytes, %s: got %d bytes with the number %d", way, msg.Size(), v.N)
			}
		}
		m.silent(t.node(0), "after two large messages")
	}
}

// Case 77, first half.
func tooLarge(t *trial) {
	const limit = 500_000
	t.start(layers.Options{MaxMessageSize: limit})
	m := t.mailbox(1)
	t.join("room", m)
	t.tooLarge(m, t.noteOf(limit+1, 1), "one byte above MaxMessageSize")
	t.must(t.node(0).Send(t.ctx(), m.channel, t.noteOf(limit, 2)), "a direct message of MaxMessageSize")
	t.must(t.node(0).GroupSend(t.ctx(), "room", t.noteOf(limit, 3)), "a group message of MaxMessageSize")
	m.exactly(t.node(0), "after messages that are too large and as large as allowed", 2, 3)
	if t.b.Exceptions.NoQueues {
		return
	}
	err := t.node(0).Send(t.ctx(), "jobs", t.noteOf(limit+1, 4))
	t.mustBe(err, layers.ErrMessageTooLarge, "Send to a queue of one byte above MaxMessageSize")
	t.queue(1, "jobs").silent(t.node(0), "a queue after a message that is too large")
}

func (t *trial) tooLarge(m *member, msg layers.Message, what string) {
	t.tb.Helper()
	t.mustBe(t.node(0).Send(t.ctx(), m.channel, msg), layers.ErrMessageTooLarge, "Send of %s", what)
	t.mustBe(t.node(0).GroupSend(t.ctx(), "room", msg), layers.ErrMessageTooLarge, "GroupSend of %s", what)
	t.mustBe(t.node(0).GroupSend(t.ctx(), "empty", msg), layers.ErrMessageTooLarge, "GroupSend to nobody of %s", what)
	if err := t.node(0).Send(t.ctx(), m.channel, msg); errors.Is(err, layers.ErrChannelFull) {
		t.brokenf("a message that is too large counts as %v", err)
	}
}

func defaultLimit(t *trial) {
	t.start(layers.Options{})
	m := t.mailbox(1)
	t.join("room", m)
	t.tooLarge(m, t.noteOf(2<<20+1, 1), "2 MiB and one byte under zero options")
	m.silent(t.node(0), "after messages that are too large")
}
