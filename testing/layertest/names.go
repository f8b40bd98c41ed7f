package layertest

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/tideway-go/tideway/layers"
)

var names = rule{
	number: 1,
	promise: `Names are ASCII letters, digits, "-", "_", "."; 1 to 99 bytes; a channel may have one "!", not first; a ` +
		"group none. Anything else is an ErrInvalidName that states the rule, and nothing is stored",
	checks: []check{
		{name: "a valid channel name is taken", run: validChannels},
		{name: "a valid group name is taken", run: validGroups},
		{name: "an invalid channel name is refused by every method", run: invalidChannels},
		{name: "an invalid group name is refused by every method", run: invalidGroups},
		{name: "a refused send stores nothing", run: refusedStoresNothing},
	},
}

// never are names that are valid for nothing. Cases 4, 78, 79, 80.
var never = []string{
	"", strings.Repeat("a", 100), strings.Repeat("a", 400), "a b", " a", "a ", "a\n", "\na", "a\t", "a:b", "a/b", "a=b", "a+b",
	"a*", "a>", "a?b", "a,b", "a\"b", "a\x00", "a\x7f", "\xff", "é", "aé", "٣", "a٣", "ａ", "ｌ", "☃", "a!é", "!", "!a", "!!",
}

// neverChannels adds what is wrong in a channel, neverGroups what is wrong in a group. Case 81.
var (
	neverChannels = append([]string{"a!!", "a!b!", "a!b!c", "a!b c", "a!b\n", "a!b:c"}, never...)
	neverGroups   = append([]string{"a!", "a!b", "specific.a!b"}, never...)
)

// Cases 78, 79 and 81.
func validChannels(t *trial) {
	t.start(layers.Options{})
	long := strings.Repeat("a", 97)
	for _, name := range []string{"a!", "a!b", "a.b-c_d!E.F-9_", long + "!a", "!"[:0] + "0!-", ".!.", "-!-", "_!_"} {
		if err := t.node(0).Send(t.ctx(), name, noteType.With(note{})); errors.Is(err, layers.ErrInvalidName) {
			t.brokenf("Send to %q: %v", name, err)
		}
	}
	if t.withoutQueues() {
		return
	}
	for _, name := range []string{"a", "Z", "0", ".", "-", "_", "a..b", "chat.room-1_X", long + "aa"} {
		t.send(t.node(0), name, 1)
		t.queue(1, name).exactly(t.node(0), fmt.Sprintf("a message to %q", name), 1)
	}
}

// Cases 78 and 79.
func validGroups(t *trial) {
	t.start(layers.Options{})
	m := t.mailbox(1)
	for i, name := range []string{"a", "Z", "0", ".", "-", "_", "a..b", "chat.room-1_X", strings.Repeat("a", 99)} {
		t.join(name, m)
		t.groupSend(t.node(0), name, i)
		m.exactly(t.node(0), fmt.Sprintf("a message to group %q", name), i)
	}
}

func invalidChannels(t *trial) {
	t.start(layers.Options{})
	n, msg := t.node(0), noteType.With(note{})
	for _, name := range neverChannels {
		t.refused(name, "Send", n.Send(t.ctx(), name, msg))
		t.refused(name, "GroupAdd", n.GroupAdd(t.ctx(), "group", name))
		t.refused(name, "GroupDiscard", n.GroupDiscard(t.ctx(), "group", name))
		t.refused(name, "EndChannel", n.EndChannel(t.ctx(), name))
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		_, err := n.Receive(ctx, name)
		t.refused(name, "Receive", err)
		cancel()
	}
}

func invalidGroups(t *trial) {
	t.start(layers.Options{})
	n, msg := t.node(0), noteType.With(note{})
	m := t.mailbox(0)
	for _, name := range neverGroups {
		t.refused(name, "GroupAdd", n.GroupAdd(t.ctx(), name, m.channel))
		t.refused(name, "GroupDiscard", n.GroupDiscard(t.ctx(), name, m.channel))
		t.refused(name, "GroupSend", n.GroupSend(t.ctx(), name, msg))
	}
	m.silent(n, "a member of no valid group")
}

// refused demands the error for invalid names, with the rule in its text.
func (t *trial) refused(name, method string, err error) {
	t.tb.Helper()
	t.mustBe(err, layers.ErrInvalidName, "%s with the name %q", method, name)
	if !strings.Contains(err.Error(), "ASCII") || !strings.Contains(err.Error(), "99") {
		t.brokenf("%s with the name %q: the error does not state the rule: %q", method, name, err)
	}
}

// Case 4: a name that is nearly right reaches nobody who has the right one.
func refusedStoresNothing(t *trial) {
	t.start(layers.Options{})
	n, m := t.node(0), t.mailbox(1)
	t.join("room", m)
	for _, wrong := range []string{"\n", " ", "é", "!"} {
		t.refused(m.channel+wrong, "Send", n.Send(t.ctx(), m.channel+wrong, noteType.With(note{N: 1})))
		t.refused("room"+wrong, "GroupSend", n.GroupSend(t.ctx(), "room"+wrong, noteType.With(note{N: 2})))
		t.refused("hall"+wrong, "GroupAdd", n.GroupAdd(t.ctx(), "hall"+wrong, m.channel))
	}
	t.groupSend(n, "hall", 3)
	m.silent(n, "after sends to names that are nearly right")
}
