package redislayer

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/internal/payload"
)

func encoded(tb testing.TB, typ string, fields map[string]any) []byte {
	tb.Helper()
	data, err := payload.Marshal(typ, &fields)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// Case 22.
func TestShards(t *testing.T) {
	for _, c := range []struct {
		name string
		want map[int]int // by number of hosts
	}{
		{"key_one", map[int]int{1: 0, 2: 1, 3: 2, 10: 6}},
		{"key_two", map[int]int{1: 0, 2: 0, 3: 1, 10: 4}},
		{"g1", map[int]int{2: 1, 3: 2, 4: 3, 5: 4, 10: 9}},
		{"chat", map[int]int{2: 0, 3: 0, 4: 0, 5: 0, 10: 1}},
		{"room-42", map[int]int{2: 1, 3: 2, 4: 2, 5: 3, 10: 7}},
		{"test-channel-1", map[int]int{2: 1, 3: 2, 4: 3, 5: 4, 10: 9}},
		{"specific." + strings.Repeat("c", 32) + "!", map[int]int{2: 0, 3: 0, 4: 0, 5: 0, 10: 0}},
		{"asgi__group__g1", map[int]int{2: 0, 3: 0, 4: 1, 5: 1, 10: 3}},
	} {
		for n, want := range c.want {
			if got := shardOf(c.name, n); got != want {
				t.Errorf("case 22: %q of %d hosts: %d, want %d", c.name, n, got, want)
			}
		}
	}
}

// Case 18.
func TestFernetVector(t *testing.T) {
	const token = "gAAAAABlU_EAAAECAwQFBgcICQoLDA0OD0rL8uab1vSJjbvCsRTw3PpXTxF5ECrz0UUqcW84gSQy2LAx5pDnq-D4V59wW6wtrg=="
	text := encoded(t, "x", nil)
	made := time.Unix(1_700_000_000, 0)
	ring := newKeyring([]string{"a-test-key"})
	var vector [16]byte
	for i := range vector {
		vector[i] = byte(i)
	}
	if got := ring[0].seal(text, made, vector); string(got) != token {
		t.Errorf("case 18: sealed %s, want %s", got, token)
	}
	for _, c := range []struct {
		name string
		now  time.Time
		ttl  time.Duration
		want error
	}{
		{"without a time", made.Add(time.Hour), 0, nil},
		{"young enough", made.Add(70 * time.Second), 70 * time.Second, nil},
		{"too old", made.Add(71 * time.Second), 70 * time.Second, errOldToken},
		{"from a clock that is a little ahead", made.Add(-60 * time.Second), 70 * time.Second, nil},
		{"from the future", made.Add(-61 * time.Second), 70 * time.Second, errOldToken},
	} {
		got, err := ring.open([]byte(token), c.now, c.ttl)
		if err != c.want || err == nil && !bytes.Equal(got, text) {
			t.Errorf("case 18: %s: %x, %v, want %v", c.name, got, err, c.want)
		}
	}
}

// Cases 16 and 17.
func TestKeyRotation(t *testing.T) {
	now := time.Now()
	with := func(keys ...string) *format {
		return &format{prefix: 12, keys: newKeyring(keys), ttl: 70 * time.Second}
	}
	old, both, next := with("old"), with("new", "old"), with("new")
	text := encoded(t, "secret", map[string]any{"text": "plain text"})
	for _, c := range []struct {
		name     string
		from, to *format
		want     error
	}{
		{"case 16: one key", old, old, nil},
		{"case 17: the old key is read", old, both, nil},
		{"case 17: the new key is read", next, both, nil},
		{"case 17: the new key is written", both, next, nil},
		{"case 17: the old key is not written", both, old, errNoKey},
		{"not encrypted", &format{prefix: 12}, both, errNoToken},
	} {
		entry, err := c.from.pack(text, nil, false, now)
		if err != nil {
			t.Fatal(err)
		}
		if c.from.keys != nil && bytes.Contains(entry, []byte("plain text")) {
			t.Errorf("%s: the text is readable", c.name)
		}
		got, _, err := c.to.unpack(entry, now)
		if !errors.Is(err, c.want) || err == nil && !bytes.Equal(got, text) {
			t.Errorf("%s: %x, %v, want %v", c.name, got, err, c.want)
		}
	}
	entry, err := old.pack(text, nil, false, now)
	if err != nil {
		t.Fatal(err)
	}
	for i := 12; i < len(entry)-4; i++ { // the last characters may hold unused bits
		bad := bytes.Clone(entry)
		bad[i] ^= 1
		if _, _, err := old.unpack(bad, now); err == nil {
			t.Fatalf("a token with a changed byte %d is accepted", i-12)
		}
	}
}

// Case 18: a token of Core is good for as long as channels_redis takes it.
func TestTokensExpire(t *testing.T) {
	b := newBed(t, 1)
	p := b.process(func(o *Options) { o.Keys = []string{"k"} })
	channel := p.channel()
	for age, text := range map[time.Duration]string{71 * time.Second: "old", 61 * time.Second: "young"} { // it is 70 s
		e, err := p.c.format.pack(encoded(t, "note", map[string]any{"text": text}), []string{channel}, false, time.Now().Add(-age))
		must(t, err)
		b.put(p.c.ownKey(), string(e), time.Now())
	}
	p.want(channel, "young")
	p.dropped(layers.DropInvalid, 1)
}

func TestEntries(t *testing.T) {
	now := time.Now()
	inner, err := hex.DecodeString("88a474797065a3742e6da474657874a26869a162c40200ffa169ffa166cb3ff8000000000000a16ec0a16c9201920203a16481a16bc3")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := payload.Check(inner); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		format format
		names  []string
		list   bool
	}{
		{"case 13: msgpack", format{prefix: 12}, nil, false},
		{"case 14: 8 random bytes", format{prefix: 8}, nil, false},
		{"case 14: none", format{}, nil, false},
		{"case 28: a name", format{prefix: 12}, []string{"a!b"}, false},
		{"case 28: a list of one", format{prefix: 12}, []string{"jobs"}, true},
		{"case 28: a list", format{prefix: 12}, []string{"a!b", "a!c"}, true},
		{"encrypted", format{prefix: 12, keys: newKeyring([]string{"k"})}, []string{"a!b"}, true},
		{"a serializer of the application's", format{prefix: 12, serializer: msgpackAgain{}}, []string{"a!b"}, true},
	} {
		entry, err := c.format.pack(inner, c.names, c.list, now)
		if err != nil {
			t.Fatal(err)
		}
		again, err := c.format.pack(inner, c.names, c.list, now)
		if err != nil || c.format.prefix > 0 && bytes.Equal(entry, again) {
			t.Errorf("%s: two entries are equal", c.name)
		}
		data, to, err := c.format.unpack(entry, now)
		if err != nil || !slices.Equal(to.Names, c.names) || to.List != c.list {
			t.Errorf("%s: for %v, %v", c.name, to, err)
		}
		got, err := payload.Fields(data)
		if want, _ := payload.Fields(inner); err != nil || !sameFields(got, want) {
			t.Errorf("%s: got %v, %v, want %v", c.name, got, err, want)
		}
	}
	if _, _, err := (&format{prefix: 12}).unpack(make([]byte, 11), now); err != errShort {
		t.Errorf("case 24: an entry that is too short: %v", err)
	}
	if data, _, err := (&format{prefix: 12}).unpack(append(make([]byte, 12), inner...), now); err != nil || !bytes.Equal(data, inner) {
		t.Errorf("case 23: an entry with twelve zero bytes: %x, %v", data, err)
	}
}

// msgpackAgain is a serializer that writes what the format without one does.
type msgpackAgain struct{}

func (msgpackAgain) Serialize(fields map[string]any) ([]byte, error) {
	rest := map[string]any{}
	for k, v := range fields {
		if k != payload.TypeKey && k != payload.ReservedKey {
			rest[k] = v
		}
	}
	data, err := payload.Marshal(fields[payload.TypeKey].(string), &rest)
	if to, ok := fields[payload.ReservedKey].([]any); ok {
		names := make([]string, len(to))
		for i := range to {
			names[i] = to[i].(string)
		}
		data = payload.WithAddress(data, names, true)
	}
	return data, err
}

func (msgpackAgain) Deserialize(data []byte) (map[string]any, error) {
	return payload.Fields(data)
}

func sameFields(a, b map[string]any) bool {
	x, errX := payload.Marshal("x", &map[string]any{"m": a})
	y, errY := payload.Marshal("x", &map[string]any{"m": b})
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

// Case 15.
func TestJSON(t *testing.T) {
	text, err := JSON.Serialize(map[string]any{"a": true, "b": nil, "c": map[string]any{"d": []any{}}})
	if want := `{"a": true, "b": null, "c": {"d": []}}`; err != nil || string(text) != want {
		t.Errorf("case 15: %s, %v, want %s", text, err, want)
	}
	for _, c := range []struct {
		in   any
		want string
	}{
		{"ä€😀\u2028", `"\u00e4\u20ac\ud83d\ude00\u2028"`},
		{"\"\\\n\r\t\b\f\x00\x7f/", `"\"\\\n\r\t\b\f\u0000` + "\x7f" + `/"`},
		{int64(-5), "-5"}, {uint64(math.MaxUint64), "18446744073709551615"}, {1.5, "1.5"}, {2.0, "2.0"}, {1e300, "1e+300"},
		{[]any{int64(1), false}, "[1, false]"},
	} {
		text, err := JSON.Serialize(map[string]any{"v": c.in})
		if want := `{"v": ` + c.want + `}`; err != nil || string(text) != want {
			t.Errorf("%v: %s, %v, want %s", c.in, text, err, want)
		}
	}
	for _, bad := range []any{[]byte("x"), math.NaN(), math.Inf(1), []any{map[string]any{"b": []byte{}}}} {
		if _, err := JSON.Serialize(map[string]any{"v": bad}); err == nil {
			t.Errorf("L17: JSON takes %v", bad)
		}
	}
	f := &format{prefix: 4, serializer: JSON}
	for _, bad := range []string{``, `1`, `[]`, `{}`, `{"type": 1}`, `{"type": "x"} x`, `{"type": "x", "v": NaN}`, `{"type": "x", "__asgi_channel__": [1]}`} {
		if _, _, err := f.unpack([]byte("....")[:4:4], time.Now()); err == nil {
			t.Errorf("case 24: nothing is taken")
		}
		if _, _, err := f.unpack(append([]byte("...."), bad...), time.Now()); err == nil {
			t.Errorf("case 24: %s is taken", bad)
		}
	}
	data, to, err := f.unpack([]byte(`....{"type": "x", "__asgi_channel__": "a!b", "n": 1, "f": 1.0}`), time.Now())
	if want := encoded(t, "x", map[string]any{"n": 1, "f": 1.0}); err != nil || !bytes.Equal(data, want) || !slices.Equal(to.Names, []string{"a!b"}) || to.List {
		t.Errorf("%x for %v, %v, want %x", data, to, err, want)
	}
}

func TestKeys(t *testing.T) {
	k := keyspace{"asgi"}
	const python = "specific.cccccccccccccccccccccccccccccccc!dddddddddddddddddddddddddddddddd"
	for got, want := range map[string]string{
		k.message("jobs"):                       "asgijobs",
		k.message(python):                       "asgispecific.cccccccccccccccccccccccccccccccc!",
		k.group("test_group"):                   "asgi:group:test_group", // case 51
		keyspace{"test_prefix"}.group("g"):      "test_prefix:group:g",
		k.processes():                           "asgi:processes",
		k.holders("g"):                          "asgi:holders:g",
		nonLocal("jobs") + nonLocal("a!b"):      "jobsa!",
		strings.Repeat("-", len(nonLocal("!"))): "-",
	} {
		if got != want {
			t.Errorf("case 51: %q, want %q", got, want)
		}
	}
	for channel, want := range map[string]string{
		"specific.abcdefghijkl2345!1": "abcdefghijkl2345", python: "", "specific.abcdefghijkl2345": "", "specific.ABCDEFGHIJKL2345!1": "",
	} {
		if got, ok := processOf(channel); ok != (want != "") || ok && got != want {
			t.Errorf("the process of %s: %q, %v", channel, got, ok)
		}
	}
}

func FuzzUnpack(f *testing.F) {
	formats := []*format{{prefix: 12}, {}, {prefix: 2, serializer: JSON}, {keys: newKeyring([]string{"k"}), ttl: time.Minute}}
	now := time.Unix(1_700_000_000, 0)
	for i, fm := range formats {
		entry, err := fm.pack(encoded(f, "x", map[string]any{"a": []any{1, "b"}}), []string{"a!b"}, i%2 == 0, now)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(i), entry)
	}
	f.Fuzz(func(t *testing.T, which uint8, entry []byte) {
		fm := formats[int(which)%len(formats)]
		data, to, err := fm.unpack(bytes.Clone(entry), now)
		if err != nil {
			return
		}
		if _, err := payload.Check(data); err != nil {
			return
		}
		again, err := fm.pack(data, to.Names, to.List, now)
		if err != nil {
			return // what JSON does not have
		}
		data2, to2, err := fm.unpack(again, now)
		if err != nil || !slices.Equal(to.Names, to2.Names) || len(to.Names) > 0 && to.List != to2.List || fm.serializer == nil && !bytes.Equal(data, data2) {
			t.Fatalf("%x became %x, %v became %v, %v", data, data2, to, to2, err)
		}
	})
}
