package layertest

import (
	"strings"

	"github.com/tideway-go/tideway/layers"
)

var absence = rule{
	number:  12,
	promise: "A direct send to a process-local channel that does not exist is ErrNoChannel where the backend can know",
	checks: []check{
		{name: "a channel that never was", run: neverWas},
		{name: "a channel that has ended", run: hasEnded},
		{name: "a channel whose Inbox has ended", run: inboxEnded},
		{name: "a channel of an instance that was closed", cluster: true, run: ownerClosed},
	},
}

// nowhere demands ErrNoChannel of a direct send, unless the backend is excepted.
func (t *trial) nowhere(from node, channel, what string) {
	t.tb.Helper()
	err := from.Send(t.ctx(), channel, noteType.With(note{N: 1}))
	if t.b.Exceptions.NoErrNoChannel && err == nil {
		return
	}
	t.mustBe(err, layers.ErrNoChannel, "Send to %s", what)
}

func neverWas(t *trial) {
	t.start(layers.Options{})
	m := t.mailbox(1)
	process, id, _ := strings.Cut(m.channel, "!")
	for i := range t.nodes {
		t.nowhere(t.node(i), process+"!"+strings.Repeat("0", len(id)), "an unknown channel of a known process")
		t.nowhere(t.node(i), process+"!", "a channel without a name in its process")
		t.nowhere(t.node(i), "specific.nobody!nothing", "a channel of an unknown process")
	}
	m.silent(t.node(0), "a channel beside those that never were")
}

func hasEnded(t *trial) {
	for _, k := range kinds {
		t.start(layers.Options{})
		m := k.open(t, 1)
		t.send(t.node(0), m.channel, 1)
		m.exactly(t.node(0), "a channel before its end", 1)
		t.must(m.node.EndChannel(t.ctx(), m.channel), "EndChannel")
		for i := range t.nodes {
			t.nowhere(t.node(i), m.channel, "a "+k.name+" that has ended")
		}
	}
}

func inboxEnded(t *trial) {
	t.start(layers.Options{})
	in := newInbox(-1)
	in.ends = layers.ErrNoChannel
	channel, err := t.node(1).Listen(t.ctx(), in)
	t.must(err, "Listen")
	t.nowhere(t.node(0), channel, "an Inbox that returns ErrNoChannel")
}

func ownerClosed(t *trial) {
	t.start(layers.Options{})
	m := t.mailbox(1)
	t.must(t.node(1).Close(t.ctx()), "Close")
	t.nowhere(t.node(0), m.channel, "a channel of an instance that was closed")
}
