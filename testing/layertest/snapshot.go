package layertest

import (
	"fmt"
	"maps"
	"reflect"

	"github.com/tideway-go/tideway/layers"
)

var snapshot = rule{
	number:  7,
	promise: "What was sent is a snapshot: no later change by the sender or by another receiver shows",
	checks: []check{
		{name: "a change by the sender after With does not show", run: senderChanges},
		{name: "a change by one receiver does not show to another", run: receiverChanges},
		{name: "a change to the fields does not show to another", run: fieldsChange},
	},
}

// baggage is a payload with insides that can be changed.
type baggage struct {
	List []string          `json:"list"`
	Map  map[string]int    `json:"map"`
	Deep []map[string]bool `json:"deep"`
}

const baggageType layers.Type[baggage] = "layertest.baggage"

func packed() baggage {
	return baggage{
		List: []string{"a", "b"},
		Map:  map[string]int{"one": 1},
		Deep: []map[string]bool{{"yes": true}},
	}
}

func (b *baggage) spoil() {
	b.List[0] = "spoiled"
	b.List = append(b.List, "spoiled")
	b.Map["spoiled"] = 1
	maps.DeleteFunc(b.Map, func(k string, _ int) bool { return k == "one" })
	b.Deep[0]["yes"] = false
}

func (t *trial) packMessage(v baggage) layers.Message {
	if t.b.with != nil {
		return t.b.with(v)
	}
	return baggageType.With(v)
}

func (t *trial) unpack(m *member, what string) baggage {
	t.tb.Helper()
	msg, err := m.next(t.ctx())
	t.must(err, "%s", what)
	decode := baggageType.Decode
	if t.b.decode != nil {
		decode = t.b.decode
	}
	v, err := decode(msg)
	t.must(err, "%s: decoding", what)
	return v
}

// intact demands what packed made.
func (t *trial) intact(got baggage, what string) {
	t.tb.Helper()
	if want := packed(); !reflect.DeepEqual(got, want) {
		t.brokenf("%s: got %v, want %v", what, got, want)
	}
}

// Case 8.
func senderChanges(t *trial) {
	t.start(layers.Options{})
	m := t.mailbox(1)
	t.join("room", m)

	v := packed()
	msg := t.packMessage(v)
	v.spoil()
	t.must(t.node(0).Send(t.ctx(), m.channel, msg), "Send")
	t.intact(t.unpack(m, "a direct message"), "a message changed between With and Send")

	v = packed()
	t.must(t.node(0).Send(t.ctx(), m.channel, t.packMessage(v)), "Send")
	v.spoil()
	t.intact(t.unpack(m, "a direct message"), "a message changed after Send")

	v = packed()
	t.must(t.node(0).GroupSend(t.ctx(), "room", t.packMessage(v)), "GroupSend")
	v.spoil()
	t.intact(t.unpack(m, "a group message"), "a message changed after GroupSend")
}

// Case 9.
func receiverChanges(t *trial) {
	for _, k := range kinds {
		t.start(layers.Options{})
		members := []*member{k.open(t, 1), k.open(t, 1), k.open(t, 0), k.open(t, 2)}
		t.join("room", members...)
		t.must(t.node(0).GroupSend(t.ctx(), "room", t.packMessage(packed())), "GroupSend")
		for i, m := range members {
			v := t.unpack(m, "a group message")
			t.intact(v, fmt.Sprintf("%s %d of 4, after the ones before it changed what they got", k.name, i+1))
			v.spoil()
		}
	}
}

// Case 9 for payloads without a type.
func fieldsChange(t *trial) {
	t.start(layers.Options{})
	members := []*member{t.mailbox(1), t.mailbox(1)}
	t.join("room", members...)
	t.must(t.node(0).GroupSend(t.ctx(), "room", t.packMessage(packed())), "GroupSend")
	for i, m := range members {
		fields := t.fields(m, "a group message")
		if list, ok := fields["list"].([]any); !ok || len(list) != 2 || list[0] != "a" {
			t.brokenf("receiver %d of 2: got the fields %v, want the list [a b]", i+1, fields)
		} else {
			list[0] = "spoiled"
			delete(fields, "map")
		}
	}
}
