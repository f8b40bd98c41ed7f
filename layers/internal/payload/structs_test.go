package payload_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tideway-go/tideway/layers/internal/payload"
)

type inner struct {
	Deep  string `json:"deep"`
	Same  int    `json:"same"`
	Other int
}

type left struct{ Twice, OnlyLeft int }

type right struct{ Twice, OnlyRight int }

type Embedded struct{ E int }

type temperature float64

func (c temperature) MarshalText() ([]byte, error) {
	return fmt.Appendf(nil, "%.1f C", float64(c)), nil
}

func (c *temperature) UnmarshalText(b []byte) error {
	_, err := fmt.Sscanf(string(b), "%f C", (*float64)(c))
	return err
}

// point has its methods on the pointer, and writes JSON that is no text.
type point struct{ x, y int }

func (p *point) MarshalJSON() ([]byte, error) { return json.Marshal([]int{p.x, p.y}) }

func (p *point) UnmarshalJSON(b []byte) error {
	var xy [2]int
	err := json.Unmarshal(b, &xy)
	p.x, p.y = xy[0], xy[1]
	return err
}

type everything struct {
	Renamed   string          `json:"renamed"`
	Plain     int             // no tag
	Skipped   int             `json:"-"`
	Empty     string          `json:"empty,omitempty"`
	EmptyList []int           `json:"empty_list,omitempty"`
	Zero      time.Time       `json:"zero,omitzero"`
	Quoted    int64           `json:"quoted,string"`
	QuotedT   string          `json:"quoted_text,string"`
	Time      time.Time       `json:"time"`
	Addr      netip.Addr      `json:"addr"`
	Temp      temperature     `json:"temp"`
	Temps     []temperature   `json:"temps"`
	ByTemp    map[int8]*point `json:"by_temp"`
	Point     point           `json:"point"`
	PointP    *point          `json:"point_pointer"`
	Raw       json.RawMessage
	Number    json.Number
	Any       any
	Pointer   *inner
	Nil       *inner
	List      []inner
	Array     [3]uint16
	U64       uint64
	F32       float32
	Inner     inner
	inner
	left
	right
	*Embedded
	hidden int
}

func sample() everything {
	return everything{
		Renamed: "a", Plain: -5, Quoted: 1 << 60, QuotedT: `"q"`, Skipped: 9, hidden: 9,
		Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Addr: netip.MustParseAddr("10.0.0.1"),
		Temp: 21.5, Temps: []temperature{-1, 2.5}, ByTemp: map[int8]*point{-4: {1, 2}}, Point: point{3, 4}, PointP: &point{5, 6},
		Raw: json.RawMessage(`[1,{"a":null}]`), Number: "12", Any: []any{"x", true, nil}, Pointer: &inner{Deep: "p"},
		List: []inner{{Same: 1}, {Same: 2}}, Array: [3]uint16{1, 2, 3}, U64: math.MaxUint64, F32: 0.5,
		Inner: inner{Deep: "named"}, inner: inner{Deep: "promoted", Same: 7}, left: left{1, 2}, right: right{3, 4},
		Embedded: &Embedded{E: 8},
	}
}

// TestLikeJSON compares the keys and values of a struct with what encoding/json shows of it.
func TestLikeJSON(t *testing.T) {
	in := sample()
	fields, err := payload.Fields(marshal(t, "x", &in))
	if err != nil {
		t.Fatal(err)
	}
	delete(fields, "type")
	got, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(&in)
	if err != nil {
		t.Fatal(err)
	}
	var a, b any
	if err := errors.Join(json.Unmarshal(got, &a), json.Unmarshal(text, &b)); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(a, b) {
		t.Fatalf("L17: a payload has the keys and values of encoding/json\nours: %s\njson: %s", got, text)
	}
}

// TestRoundTrip sends a struct with every kind of field and demands it back.
func TestRoundTrip(t *testing.T) {
	in := sample()
	data := marshal(t, "x", &in)
	var out everything
	if err := payload.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	in.Skipped, in.hidden = 0, 0
	in.left.Twice, in.right.Twice = 0, 0 // ambiguous: in no payload
	if !reflect.DeepEqual(in, out) {
		t.Fatalf("L17: sent %+v\ngot %+v", in, out)
	}
}

func TestMapsAsPayload(t *testing.T) {
	in := map[string]int{"a": 1}
	out := map[string]int{"old": 5}
	if err := payload.Unmarshal(marshal(t, "x", &in), &out); err != nil || !reflect.DeepEqual(in, out) {
		t.Fatalf("got %v, %v: the type is no key of the map", out, err)
	}
	var untyped any
	if err := payload.Unmarshal(marshal(t, "x", &in), &untyped); err != nil || !reflect.DeepEqual(untyped, map[string]any{"a": int64(1)}) {
		t.Fatalf("got %v, %v", untyped, err)
	}
	var none map[string]int
	if err := payload.Unmarshal(marshal(t, "x", &none), &out); err != nil || len(out) != 0 {
		t.Fatalf("got %v, %v", out, err)
	}
	byID := map[uint16]string{7: "seven"}
	var back map[uint16]string
	if err := payload.Unmarshal(marshal(t, "x", &byID), &back); err != nil || !reflect.DeepEqual(byID, back) {
		t.Fatalf("got %v, %v", back, err)
	}
	pointer := &inner{Deep: "d"}
	var backPointer *inner
	if err := payload.Unmarshal(marshal(t, "x", &pointer), &backPointer); err != nil || *backPointer != *pointer {
		t.Fatalf("got %v, %v", backPointer, err)
	}
}

// rooted writes its own JSON object.
type rooted struct{ n int }

func (r rooted) MarshalJSON() ([]byte, error) { return fmt.Appendf(nil, `{"n":%d}`, r.n), nil }

func (r *rooted) UnmarshalJSON(b []byte) error {
	var v struct{ N int }
	if strings.Contains(string(b), "type") {
		return errors.New("the type is no part of the payload")
	}
	err := json.Unmarshal(b, &v)
	r.n = v.N
	return err
}

func TestMarshalJSONAsPayload(t *testing.T) {
	var back rooted
	if err := payload.Unmarshal(marshal(t, "x", &rooted{5}), &back); err != nil || back.n != 5 {
		t.Fatal(back, err)
	}
}

// TestShapes holds that a type which can never be a payload is told from a value that cannot be sent.
func TestShapes(t *testing.T) {
	cyclic := map[string]any{}
	cyclic["self"] = cyclic
	type list struct{ Next *list }
	ring := &list{}
	ring.Next = ring
	for _, test := range []struct {
		name  string
		ptr   any
		shape bool
		want  string
	}{
		{"case 11: text", new("s"), true, "string is not a map"},
		{"list", new([]int), true, "not a map"},
		{"nil interface", new(any), true, "nil is not a map"},
		{"time", new(time.Time), true, "not a map"},
		{"keys are structs", new(map[struct{ A int }]int), true, "not a map"},
		{"JSON that is a list", new(point), true, "not a map"},
		{"case 10: field type", new(struct {
			Type string `json:"type"`
		}), true, `key "type"`},
		{"case 10: reserved key", new(map[string]any{"__asgi_channel__": 1}), true, "__asgi_channel__"},
		{"key type", new(map[string]any{"type": 1}), true, `key "type"`},
		{"embedded type", new(struct{ E Embedded }), false, ""},
		{"nil pointer", new((*inner)(nil)), false, "nil *payload_test.inner"},
		{"func", new(struct{ F func() }), false, "func() cannot be sent"},
		{"chan in a list", new(map[string]any{"l": []any{make(chan int)}}), false, "l: [0]: a chan int"},
		{"huge integer", &map[string]any{"n": new(big.Int).Lsh(big.NewInt(1), 64)}, false, `18446744073709551616 is an integer above 64 bits`},
		{"no number", &map[string]any{"n": json.Number("x")}, false, "no number"},
		{"cyclic map", &cyclic, false, "deeper"},
		{"ring", ring, false, "deeper"},
		{"nested struct keys", new(map[string]any{"m": map[struct{ A int }]int{{1}: 2}}), false, "keys are text"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := payload.Marshal("x", test.ptr)
			if test.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			var s *payload.ShapeError
			if err == nil || errors.As(err, &s) != test.shape || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %v (shape %v), want %q (shape %v)", err, s != nil, test.want, test.shape)
			}
		})
	}
}

// TestMismatch holds that a payload which does not fit is an error that names the field.
func TestMismatch(t *testing.T) {
	for _, test := range []struct {
		name     string
		in       map[string]any
		ptr      any
		wantText string
	}{
		{"text for int", map[string]any{"A": "x"}, new(struct{ A int }), "A: text does not fit in int"},
		{"too large", map[string]any{"A": 300}, new(struct{ A int8 }), "A: 300 does not fit in int8"},
		{"negative", map[string]any{"A": -1}, new(struct{ A uint }), "A: -1 does not fit in uint"},
		{"uint64", map[string]any{"A": uint64(math.MaxUint64)}, new(struct{ A int64 }), "does not fit in int64"},
		{"float for int", map[string]any{"A": 1.0}, new(struct{ A int }), "float does not fit"},
		{"bytes for text", map[string]any{"A": []byte("x")}, new(struct{ A string }), "bytes does not fit"},
		{"nested", map[string]any{"A": []any{map[string]any{"Deep": 1}}}, new(struct{ A []struct{ Deep string } }), "A: [0]: Deep: integer"},
		{"map for list", map[string]any{"A": map[string]any{}}, new(struct{ A []int }), "map does not fit"},
		{"array length", map[string]any{"A": []any{1}}, new(struct{ A [2]int }), "list of 1"},
		{"bytes length", map[string]any{"A": []byte("x")}, new(struct{ A [2]byte }), "1 bytes"},
		{"text for UnmarshalText", map[string]any{"A": 5}, new(struct{ A time.Time }), "integer does not fit in time.Time"},
		{"bad time", map[string]any{"A": "now"}, new(struct{ A time.Time }), "A: parsing time"},
		{"key", map[string]any{"A": map[string]any{"x": 1}}, new(struct{ A map[int]int }), `key "x"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := payload.Unmarshal(marshal(t, "x", &test.in), test.ptr)
			if err == nil || !strings.Contains(err.Error(), test.wantText) {
				t.Fatalf("got %v, want %q", err, test.wantText)
			}
		})
	}
	t.Run("nil fits everywhere", func(t *testing.T) {
		var v struct {
			A int
			B []int
			C time.Time
			D *int
			E string
		}
		v.A, v.E = 5, "kept"
		in := map[string]any{"A": nil, "B": nil, "C": nil, "D": nil, "E": nil, "Unknown": []any{1}}
		if err := payload.Unmarshal(marshal(t, "x", &in), &v); err != nil || v.A != 5 || v.E != "kept" {
			t.Fatalf("%+v, %v", v, err)
		}
	})
	t.Run("integers fit in floats", func(t *testing.T) {
		var v struct{ A, B float64 }
		in := map[string]any{"A": 3, "B": uint64(1 << 63)}
		if err := payload.Unmarshal(marshal(t, "x", &in), &v); err != nil || v.A != 3 || v.B != 1<<63 {
			t.Fatalf("%+v, %v", v, err)
		}
	})
}
