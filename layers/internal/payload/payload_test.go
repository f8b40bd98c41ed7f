package payload_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"math"
	"math/big"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ugorji/go/codec"
	"go.uber.org/goleak"

	"github.com/tideway-go/tideway/layers/internal/payload"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func marshal(t *testing.T, typ string, ptr any) []byte {
	t.Helper()
	data, err := payload.Marshal(typ, ptr)
	if err != nil {
		t.Fatalf("Marshal(%T): %v", ptr, err)
	}
	if got, err := payload.Check(data); err != nil || got != typ {
		t.Fatalf("Check of what Marshal(%T) wrote: %q, %v (% x)", ptr, got, err, data)
	}
	return data
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestVectors compares with bytes that channels_redis wrote.
func TestVectors(t *testing.T) {
	type normal struct {
		Text string         `json:"text"`
		B    []byte         `json:"b"`
		I    int            `json:"i"`
		F    float64        `json:"f"`
		N    *int           `json:"n"`
		L    []any          `json:"l"`
		D    map[string]any `json:"d"`
	}
	type abc struct {
		A bool           `json:"a"`
		B any            `json:"b"`
		C map[string]any `json:"c"`
	}
	for _, test := range []struct {
		name, typ string
		ptr       any
		want      string
	}{
		{"case 13: true, nil, nested", "x", &abc{A: true, C: map[string]any{"d": []any{}}},
			"84 a474797065 a178 a161c3a162c0a163 81a16490"},
		{"case 1: every kind", "t.m",
			&normal{"hi", []byte{0, 0xff}, -1, 1.5, nil, []any{1, []int{2, 3}}, map[string]any{"k": true}},
			"88 a474797065 a3742e6d a474657874 a26869 a162 c40200ff a169 ff a166 cb3ff8000000000000 a16e c0 a16c 9201920203 a164 81a16bc3"},
		{"no fields", "x", &struct{}{}, "81a474797065a178"},
		{"bytes of a group", "grp", &struct {
			B []byte `json:"b"`
		}{[]byte{1}}, "82a474797065a3677270a162c40101"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := marshal(t, test.typ, test.ptr); !bytes.Equal(got, unhex(t, test.want)) {
				t.Fatalf("L17: got % x\nwant %s", got, test.want)
			}
			back := reflect.New(reflect.TypeOf(test.ptr).Elem())
			if err := payload.Unmarshal(unhex(t, test.want), back.Interface()); err != nil {
				t.Fatal(err)
			}
			if again := marshal(t, test.typ, back.Interface()); !bytes.Equal(again, unhex(t, test.want)) {
				t.Fatalf("L17: decoded and encoded again: % x", again)
			}
		})
	}
}

// TestValues sends each value as an untyped field and demands it back as it went, and the bytes that an
// independent encoder writes.
func TestValues(t *testing.T) {
	h := &codec.MsgpackHandle{WriteExt: true}
	h.Canonical, h.PositiveIntUnsigned = true, true
	for _, test := range []struct {
		name     string
		in, want any // want nil: as in
	}{
		{"text", "häß", nil}, {"empty text", "", nil}, {"no bytes", []byte{}, nil}, {"bytes", []byte("\xff\x00"), nil},
		{"true", true, nil}, {"false", false, nil}, {"list", []any{int64(1), "a", nil}, nil}, {"empty list", []any{}, nil},
		{"map", map[string]any{"b": int64(1), "a": []any{}}, nil}, {"empty map", map[string]any{}, nil},
		{"1.0 stays a float", 1.0, nil}, {"1e300", 1e300, nil}, {"-0", math.Copysign(0, -1), nil}, {"infinity", math.Inf(-1), nil},
		{"31 bytes", strings.Repeat("x", 31), nil}, {"32 bytes", strings.Repeat("x", 32), nil}, {"256 bytes", strings.Repeat("x", 256), nil},
		{"64 KiB", strings.Repeat("x", 1<<16), nil}, {"64 KiB of bytes", make([]byte, 1<<16), nil}, {"256 bytes of bytes", make([]byte, 256), nil},
		{"16 elements", anys(16), nil}, {"70000 elements", anys(70000), nil},
		{"int", 7, int64(7)}, {"uint8", uint8(200), int64(200)}, {"float32", float32(1.5), 1.5}, {"strings", []string{"a"}, []any{"a"}},
		{"invalid UTF-8", "a\xffb", "a\ufffdb"}, {"time", time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), "2026-01-02T03:04:05.000000006Z"},
		{"big.Int", big.NewInt(7), int64(7)}, {"address", netip.MustParseAddr("::1"), "::1"}, {"number", json.Number("1.50"), 1.5},
		{"integer number", json.Number("18446744073709551615"), uint64(math.MaxUint64)},
		{"raw JSON", json.RawMessage(`{"a":[1,1.0]}`), map[string]any{"a": []any{int64(1), 1.0}}},
		{"int keys", map[int]string{-3: "a"}, map[string]any{"-3": "a"}}, {"duration", time.Second, int64(1e9)},
		{"array of bytes", [2]byte{1, 2}, []byte{1, 2}}, {"nil list", []any(nil), nilValue{}}, {"nil pointer", (*int)(nil), nilValue{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			want := test.want
			switch want.(type) {
			case nil:
				want = test.in
			case nilValue:
				want = nil
			}
			data := marshal(t, "x", &map[string]any{"v": test.in})
			fields, err := payload.Fields(data)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(fields["v"], want) {
				t.Fatalf("L17: sent %T %v, got %T %v", test.in, test.in, fields["v"], fields["v"])
			}
			if test.want != nil {
				return
			}
			var ref []byte
			if err := codec.NewEncoderBytes(&ref, h).Encode(map[string]any{"type": "x", "v": test.in}); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(data, ref) {
				t.Fatalf("other encoder: % x\nours:          % x", head(ref), head(data))
			}
		})
	}
}

type nilValue struct{}

func anys(n int) []any {
	list := make([]any, n)
	for i := range list {
		list[i] = int64(i)
	}
	return list
}

func head(b []byte) []byte { return b[:min(len(b), 80)] }

// TestIntegers walks the borders of all forms.
func TestIntegers(t *testing.T) {
	h := &codec.MsgpackHandle{WriteExt: true}
	h.PositiveIntUnsigned = true
	check := func(v any) {
		t.Helper()
		data := marshal(t, "x", &map[string]any{"v": v})
		fields, err := payload.Fields(data)
		if err != nil {
			t.Fatal(err)
		}
		if fields["v"] != v {
			t.Errorf("L17: sent %T %v, got %T %v", v, v, fields["v"], fields["v"])
		}
		var ref []byte
		if err := codec.NewEncoderBytes(&ref, h).Encode(v); err != nil {
			t.Fatal(err)
		}
		if !bytes.HasSuffix(data, append([]byte("\xa1v"), ref...)) {
			t.Errorf("%v: other encoder % x, ours % x", v, ref, data)
		}
	}
	for bit := range 63 {
		for d := int64(-1); d <= 1; d++ {
			check(int64(1)<<bit + d)
			check(-(int64(1) << bit) + d)
		}
	}
	check(int64(math.MaxInt64))
	check(int64(math.MinInt64))
	check(uint64(math.MaxInt64) + 1)
	check(uint64(math.MaxUint64))
}

// TestWireForms decodes forms that we never write.
func TestWireForms(t *testing.T) {
	for _, test := range []struct {
		in   string
		want any
	}{
		{"cc05", int64(5)}, {"cf7fffffffffffffff", int64(math.MaxInt64)}, {"cf8000000000000000", uint64(1) << 63},
		{"d3ffffffffffffffff", int64(-1)}, {"d005", int64(5)}, {"d1fff0", int64(-16)}, {"d2ffffff00", int64(-256)},
		{"ca3fc00000", 1.5}, {"da000161", "a"}, {"db0000000161", "a"}, {"c5000161", []byte("a")}, {"c60000000161", []byte("a")},
		{"dc000105", []any{int64(5)}}, {"dd0000000105", []any{int64(5)}}, {"de0001a16105", map[string]any{"a": int64(5)}},
		{"df00000001a16105", map[string]any{"a": int64(5)}}, {"d90161", "a"},
	} {
		data := unhex(t, "82a474797065a178a176"+test.in)
		if typ, err := payload.Check(data); err != nil || typ != "x" {
			t.Errorf("%s: %q, %v", test.in, typ, err)
		}
		fields, err := payload.Fields(data)
		if err != nil || !reflect.DeepEqual(fields["v"], test.want) {
			t.Errorf("%s: got %T %v, %v; want %T %v", test.in, fields["v"], fields["v"], err, test.want, test.want)
		}
	}
}

// TestHostile holds that bytes from the wire which are no message give an error.
func TestHostile(t *testing.T) {
	deep := strings.Repeat("91", payload.MaxDepth+1) + "c0"
	deepMaps := strings.Repeat("81a161", 100_000) + "c0"
	for _, test := range []struct{ name, in, want string }{
		{"empty", "", "cut short"},
		{"a list", "90", "is a map"},
		{"case 11: no map", "a3616263", "is a map"},
		{"no type", "81a16101", `no "type"`},
		{"type is bytes", "81a474797065c40178", "not text"},
		{"type is a number", "81a47479706501", "not text"},
		{"type is empty", "81a474797065a0", "empty"},
		{"two types", "82a474797065a178a474797065a179", "two"},
		{"case 10: reserved key", "82a474797065a178b05f5f617367695f6368616e6e656c5f5fa161", "reserved"},
		{"case 24: cut short", "82a474797065a178a176", "cut short"},
		{"case 25: integer key", "82a474797065a1780102", "must be text"},
		{"bytes as key", "82a474797065a178c4016101", "must be text"},
		{"nested integer key", "82a474797065a178a176810102", "must be text"},
		{"invalid UTF-8", "82a474797065a178a176a1ff", "UTF-8"},
		{"invalid UTF-8 in a key", "82a474797065a178a1ff01", "UTF-8"},
		{"timestamp", "82a474797065a178a176d6ff00000000", "extension"},
		{"ext 8", "82a474797065a178a176c70105aa", "extension"},
		{"the unused code", "82a474797065a178a176c1", "no msgpack"},
		{"rest", "81a474797065a17800", "behind"},
		{"huge list", "82a474797065a178a176ddffffffff", "cut short"},
		{"huge map", "82a474797065a178a176dfffffffff", "cut short"},
		{"huge text", "82a474797065a178a176dbffffffff61", "cut short"},
		{"huge bytes", "82a474797065a178a176c6ffffffff61", "cut short"},
		{"deep lists", "82a474797065a178a176" + deep, "deeper"},
		{"deep maps", "82a474797065a178a176" + deepMaps, "deeper"},
	} {
		t.Run(test.name, func(t *testing.T) {
			data := unhex(t, test.in)
			if _, err := payload.Check(data); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("Check: %v, want an error with %q", err, test.want)
			}
			var v struct{ V any }
			_ = payload.Unmarshal(data, &v) // must not panic
			_, _ = payload.Fields(data)
		})
	}
	t.Run("memory", func(t *testing.T) {
		data := unhex(t, "82a474797065a178a176ddffffffff")
		if n := testing.AllocsPerRun(10, func() { _, _ = payload.Fields(data) }); n > 20 {
			t.Fatalf("%v allocations for a list that is announced and not there", n)
		}
	})
}
