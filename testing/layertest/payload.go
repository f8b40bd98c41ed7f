package layertest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"

	"github.com/tideway-go/tideway/layers"
)

var payload = rule{
	number: 17,
	promise: `A payload is a map with a "type", encoded as msgpack as channels_redis does; text, bytes, int64 (uint64 ` +
		"above 2^63-1), float64, bool, nil, lists and maps come back as they went. T encodes as a map without " +
		`"type" and "__asgi_channel__", else With panics naming T; json tags name fields`,
	checks: []check{
		{name: "every kind of value comes back as it went", run: valuesReturn},
		{name: "every kind of value passes a queue", run: valuesQueue},
		{name: "a struct comes back as it went, its fields named by json tags", run: structReturns},
		{name: "the fields of a message do not hold its type", run: noTypeAmongFields},
		{name: "NaN and the infinities pass, and are no JSON", run: notANumber},
		{name: "the JSON of a payload is that of its Go type", run: asJSON},
		{name: "a payload that is no map panics and is named", run: noMap},
		{name: "a payload with a reserved key is refused", run: reservedKeys},
		{name: "a message of another type is not decoded", run: otherType},
	},
}

// value is a payload without a Go type.
const valueType layers.Type[map[string]any] = "layertest.value"

// values are what a payload may hold, as it goes and as it comes back.
var values = []struct {
	name     string
	in, want any
}{
	{"text", "text", "text"},
	{"empty text", "", ""},
	{"long text", strings.Repeat("a", 70_000), strings.Repeat("a", 70_000)},
	{"text beyond ASCII", "ß € 😀 \u2028", "ß € 😀 \u2028"},
	{"text with NUL and markup", "\x00<a href=\"x\">&", "\x00<a href=\"x\">&"},
	{"true", true, true},
	{"false", false, false},
	{"nil", nil, nil},
	{"0", 0, int64(0)},
	{"127", 127, int64(127)},
	{"128", 128, int64(128)},
	{"-32", -32, int64(-32)},
	{"-33", int8(-33), int64(-33)},
	{"255", uint8(255), int64(255)},
	{"65536", uint32(65536), int64(65536)},
	{"-32769", -32769, int64(-32769)},
	{"2^53+1", int64(1<<53 + 1), int64(1<<53 + 1)},
	{"the largest int64", int64(math.MaxInt64), int64(math.MaxInt64)},
	{"the smallest int64", int64(math.MinInt64), int64(math.MinInt64)},
	{"an unsigned number that an int64 holds", uint64(math.MaxInt64), int64(math.MaxInt64)},
	{"2^63", uint64(1 << 63), uint64(1 << 63)},
	{"the largest uint64", uint64(math.MaxUint64), uint64(math.MaxUint64)},
	{"1.5", 1.5, 1.5},
	{"a whole float", 2.0, 2.0},
	{"a float32", float32(0.5), 0.5},
	{"the largest float", math.MaxFloat64, math.MaxFloat64},
	{"the smallest float", math.SmallestNonzeroFloat64, math.SmallestNonzeroFloat64},
	{"a list", []any{"a", 1, nil, []any{true}}, []any{"a", int64(1), nil, []any{true}}},
	{"a typed list", []int{1, 2}, []any{int64(1), int64(2)}},
	{"an empty list", []any{}, []any{}},
	{"a map", map[string]any{"k": map[string]any{"n": 1}}, map[string]any{"k": map[string]any{"n": int64(1)}}},
	{"a typed map", map[string]string{"k": "v"}, map[string]any{"k": "v"}},
	{"an empty map", map[string]any{}, map[string]any{}},
	{"a map with the key type inside", map[string]any{"type": "inner"}, map[string]any{"type": "inner"}},
}

// valuesOfBytes are those that a JSON format does not have.
var valuesOfBytes = []struct {
	name     string
	in, want any
}{
	{"bytes", []byte{0, 0xff, 'a'}, []byte{0, 0xff, 'a'}},
	{"no bytes", []byte{}, []byte{}},
	{"bytes that are UTF-8", []byte("text"), []byte("text")},
	{"bytes in a list", []any{[]byte{1}}, []any{[]byte{1}}},
	{"many bytes", make([]byte, 70_000), make([]byte, 70_000)},
}

// Case 1, for every kind of value, from one instance to another.
func valuesReturn(t *trial) {
	t.start(layers.Options{Capacity: 1000})
	m := t.mailbox(1)
	t.join("room", m)
	all := values
	if !t.b.Exceptions.JSON {
		all = append(all[:len(all):len(all)], valuesOfBytes...)
	}
	for _, v := range all {
		msg := valueType.With(map[string]any{"v": v.in})
		t.must(t.node(0).Send(t.ctx(), m.channel, msg), "Send of %s", v.name)
		t.must(t.node(0).GroupSend(t.ctx(), "room", msg), "GroupSend of %s", v.name)
		for range 2 {
			got, ok := t.fields(m, v.name)["v"]
			if !ok || !t.sameValue(got, v.want) {
				t.brokenf("%s: sent %s, got %s, want %s", v.name, brief(v.in), brief(got), brief(v.want))
			}
		}
	}
}

// valuesQueue sends all values in one message through a queue.
func valuesQueue(t *trial) {
	t.start(layers.Options{})
	if t.withoutQueues() {
		return
	}
	sent := map[string]any{}
	for _, v := range values {
		sent[v.name] = v.in
	}
	t.must(t.node(0).Send(t.ctx(), "jobs", valueType.With(sent)), "Send of all values")
	got := t.fields(t.queue(1, "jobs"), "all values")
	for _, v := range values {
		if !t.sameValue(got[v.name], v.want) {
			t.brokenf("%s, by queue: sent %s, got %s, want %s", v.name, brief(v.in), brief(got[v.name]), brief(v.want))
		}
	}
}

// brief shows a value with its type, cut where it is long.
func brief(v any) string {
	text := fmt.Sprintf("%#v", v)
	if len(text) > 100 {
		text = text[:100] + "..."
	}
	return fmt.Sprintf("%T %s", v, text)
}

// sameValue says that a value has come back as it went, as far as the format can tell.
func (t *trial) sameValue(got, want any) bool {
	if t.b.Exceptions.JSON {
		return sameJSON(got, want)
	}
	return reflect.DeepEqual(got, want)
}

// sameJSON compares as a JSON format may: it has one kind of numbers, so a whole number may come back as a float, and a float
// without a fraction as an integer. One that comes back as an integer is exact.
func sameJSON(got, want any) bool {
	switch want := want.(type) {
	case int64:
		return got == any(want) || got == any(float64(want))
	case uint64:
		return got == any(want) || got == any(float64(want))
	case float64:
		whole, ok := got.(int64)
		return got == any(want) || ok && float64(whole) == want
	case []any:
		list, ok := got.([]any)
		return ok && slices.EqualFunc(list, want, sameJSON)
	case map[string]any:
		m, ok := got.(map[string]any)
		return ok && maps.EqualFunc(m, want, sameJSON)
	default:
		return reflect.DeepEqual(got, want)
	}
}

// fields receives one message and returns its fields.
func (t *trial) fields(m *member, what string) map[string]any {
	t.tb.Helper()
	msg, err := m.next(t.ctx())
	t.must(err, "receiving %s", what)
	return t.fieldsOf(msg, what)
}

func (t *trial) fieldsOf(msg layers.Message, what string) map[string]any {
	t.tb.Helper()
	decode := layers.Message.Fields
	if t.b.fields != nil {
		decode = t.b.fields
	}
	fields, err := decode(msg)
	t.must(err, "Fields of %s", what)
	return fields
}

// person is a payload as an author writes it.
type person struct {
	Name    string         `json:"name"`
	Age     int            `json:"age,omitempty"`
	Height  float64        `json:"height"`
	Picture []byte         `json:"picture,omitempty"`
	Friends []person       `json:"friends"`
	Notes   map[string]any `json:"notes"`
	Boss    *person        `json:"boss"`
	Big     uint64         `json:"big"`
	Secret  string         `json:"-"`
	Plain   bool
}

const personType layers.Type[person] = "layertest.person"

func structReturns(t *trial) {
	t.start(layers.Options{})
	m := t.mailbox(1)
	sent := person{
		Name: "Ann", Age: 41, Height: 1.5, Friends: []person{{Name: "Bob"}}, Notes: map[string]any{"a": "b"},
		Boss: &person{Name: "Eve"}, Plain: true, Secret: "not sent",
	}
	if !t.b.Exceptions.JSON {
		sent.Picture, sent.Big = []byte{0, 1, 0xff}, math.MaxUint64
	}
	msg := personType.With(sent)
	t.must(t.node(0).Send(t.ctx(), m.channel, msg), "Send")
	t.must(t.node(0).Send(t.ctx(), m.channel, msg), "Send of the same message")
	got, err := m.next(t.ctx())
	t.must(err, "receiving")
	back, err := personType.Decode(got)
	t.must(err, "Decode")
	want := sent
	want.Secret = ""
	if !reflect.DeepEqual(back, want) {
		t.brokenf("a struct: got %+v, want %+v", back, want)
	}
	fields := t.fields(m, "a struct")
	for _, key := range []string{"name", "age", "height", "friends", "notes", "boss", "big", "Plain"} {
		if _, ok := fields[key]; !ok {
			t.brokenf("a struct: the field %q is missing on the wire: %v", key, fields)
		}
	}
	for _, key := range []string{"Secret", "-", "Name"} {
		if _, ok := fields[key]; ok {
			t.brokenf("a struct: there is a field %q on the wire: %v", key, fields)
		}
	}
}

// Case 3: neither the type nor the reserved field is part of the payload.
func noTypeAmongFields(t *trial) {
	t.start(layers.Options{})
	m := t.mailbox(1)
	t.join("room", m)
	msg := noteType.With(note{N: 1, Text: "x"})
	t.must(t.node(0).Send(t.ctx(), m.channel, msg), "Send")
	t.must(t.node(0).GroupSend(t.ctx(), "room", msg), "GroupSend")
	for _, way := range []string{"direct", "group"} {
		got, err := m.next(t.ctx())
		t.must(err, "receiving a %s message", way)
		if got.Type() != noteType.String() {
			t.brokenf("a %s message: got type %q, want %q", way, got.Type(), noteType)
		}
		fields := t.fieldsOf(got, "a "+way+" message")
		if len(fields) != 2 || fields["text"] != "x" {
			t.brokenf("a %s message: got the fields %v, want n and text only", way, fields)
		}
	}
}

func notANumber(t *trial) {
	t.start(layers.Options{})
	m := t.mailbox(1)
	for _, f := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		msg := valueType.With(map[string]any{"v": f})
		err := t.node(0).Send(t.ctx(), m.channel, msg)
		if t.b.Exceptions.JSON {
			if err == nil {
				t.brokenf("Send of %v in a JSON format: got no error", f)
			}
			continue
		}
		t.must(err, "Send of %v", f)
		got, err := m.next(t.ctx())
		t.must(err, "receiving %v", f)
		fields := t.fieldsOf(got, fmt.Sprint(f))
		if v, ok := fields["v"].(float64); !ok || v != f && !(math.IsNaN(v) && math.IsNaN(f)) {
			t.brokenf("sent %v, got %v", f, fields["v"])
		}
		if text, err := valueType.JSON(got); err == nil {
			t.brokenf("the JSON of %v: got %s, want an error", f, text)
		}
	}
}

func asJSON(t *trial) {
	t.start(layers.Options{})
	m := t.mailbox(1)
	sent := person{Name: "Ann <b>", Age: 41, Height: 2, Friends: []person{{Name: "Bob"}}, Notes: map[string]any{"a": nil}}
	t.must(t.node(0).Send(t.ctx(), m.channel, personType.With(sent)), "Send")
	got, err := m.next(t.ctx())
	t.must(err, "receiving")
	text, err := personType.JSON(got)
	t.must(err, "JSON")
	var want bytes.Buffer
	plain := json.NewEncoder(&want)
	plain.SetEscapeHTML(false)
	if err := plain.Encode(sent); err != nil {
		t.tb.Fatalf("layertest: %v", err)
	}
	if string(text) != strings.TrimSuffix(want.String(), "\n") {
		t.brokenf("the JSON of a payload: got %s, want %s", text, &want)
	}
}

// Case 11.
func noMap(t *trial) {
	t.panicsNaming("int", func() { layers.Type[int]("layertest.bad").With(1) })
	t.panicsNaming("string", func() { layers.Type[string]("layertest.bad").With("text") })
	t.panicsNaming("[]string", func() { layers.Type[[]string]("layertest.bad").With([]string{"type", "x"}) })
	t.panicsNaming("float64", func() { layers.Type[*float64]("layertest.bad").With(new(float64)) })
}

type (
	typedPayload struct {
		Type string `json:"type"`
	}
	channelsPayload struct {
		Channel string `json:"__asgi_channel__"`
	}
)

// Case 10. A struct shows the mistake in its Go type, a map only in its value.
func reservedKeys(t *trial) {
	t.panicsNaming("typedPayload", func() { layers.Type[typedPayload]("layertest.bad").With(typedPayload{}) })
	t.panicsNaming("channelsPayload", func() { layers.Type[channelsPayload]("layertest.bad").With(channelsPayload{}) })
	t.start(layers.Options{})
	m := t.mailbox(1)
	for _, key := range []string{"type", "__asgi_channel__"} {
		err := func() (err error) {
			defer func() {
				if r := recover(); r != nil {
					err = fmt.Errorf("%v", r)
				}
			}()
			return t.node(0).Send(t.ctx(), m.channel, valueType.With(map[string]any{key: "x"}))
		}()
		if err == nil || !strings.Contains(err.Error(), key) {
			t.brokenf("sending a map with the key %q: got %s, want an error or a panic that names the key", key, quoted(err))
		}
	}
	m.silent(t.node(0), "after payloads with reserved keys")
}

// panicsNaming demands a panic that names the Go type.
func (t *trial) panicsNaming(name string, f func()) {
	t.tb.Helper()
	r := func() (r any) {
		defer func() { r = recover() }()
		f()
		return nil
	}()
	if r == nil || !strings.Contains(fmt.Sprint(r), name) {
		t.brokenf("With of %s: got the panic %v, want one that names the type", name, r)
	}
}

func otherType(t *trial) {
	t.start(layers.Options{})
	m := t.mailbox(1)
	t.must(t.node(0).Send(t.ctx(), m.channel, personType.With(person{Name: "Ann"})), "Send")
	got, err := m.next(t.ctx())
	t.must(err, "receiving")
	if v, err := noteType.Decode(got); err == nil {
		t.brokenf("a message of type %q was decoded as %q: %+v", got.Type(), noteType, v)
	}
}
