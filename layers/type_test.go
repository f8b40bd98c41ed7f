package layers_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/memlayer"
)

type text struct {
	Text string `json:"text"`
}

const note layers.Type[text] = "test.note"

// Case 8.
func TestSnapshot(t *testing.T) {
	type listed struct{ L []map[string]int }
	const typ layers.Type[listed] = "test.listed"
	v := listed{[]map[string]int{{"a": 1}}}
	m := typ.With(v)
	v.L[0]["a"] = 2
	v.L = append(v.L, nil)
	got, err := typ.Decode(m)
	if err != nil || len(got.L) != 1 || got.L[0]["a"] != 1 {
		t.Fatalf("L7, case 8: the receiver sees %v, %v; the message was made with a = 1", got, err)
	}
	// Case 9.
	got.L[0]["a"] = 3
	if again, _ := typ.Decode(m); again.L[0]["a"] != 1 {
		t.Fatal("L7, case 9: one receiver's change shows at another")
	}
	fields, _ := m.Fields()
	fields["L"].([]any)[0] = "changed"
	if again, _ := m.Fields(); again["L"].([]any)[0] == "changed" {
		t.Fatal("L7: one receiver's change of Fields shows at another")
	}
}

// counted counts how often it is decoded and shown.
type counted struct{ N int }

var decoded, shown atomic.Int32

func (c *counted) UnmarshalText(b []byte) error {
	decoded.Add(1)
	_, err := fmt.Sscan(string(b), &c.N)
	return err
}

func (c counted) MarshalText() ([]byte, error) {
	shown.Add(1)
	return fmt.Append(nil, c.N), nil
}

func TestDecodedOnce(t *testing.T) {
	const shared layers.Type[struct{ C counted }] = "test.shared"
	const single layers.Type[struct{ C *counted }] = "test.single"
	for _, test := range []struct {
		name          string
		m             layers.Message
		decode        func(layers.Message) (int, error)
		json          func(layers.Message) ([]byte, error)
		decodes, want int32
	}{
		{"no pointers: shared", shared.With(struct{ C counted }{counted{5}}),
			func(m layers.Message) (int, error) { v, err := shared.Decode(m); return v.C.N, err }, shared.JSON, 1, 5},
		{"a pointer: for each", single.With(struct{ C *counted }{&counted{5}}),
			func(m layers.Message) (int, error) { v, err := single.Decode(m); return v.C.N, err }, single.JSON, 21, 5},
	} {
		t.Run(test.name, func(t *testing.T) {
			decoded.Store(0)
			shown.Store(0)
			var wg sync.WaitGroup
			for range 20 {
				wg.Go(func() {
					if n, err := test.decode(test.m); err != nil || n != 5 {
						t.Errorf("Decode: %v, %v", n, err)
					}
					if b, err := test.json(test.m); err != nil || string(b) != `{"C":"5"}` || cap(b) != len(b) {
						t.Errorf("JSON: %s, %v", b, err)
					}
				})
			}
			wg.Wait()
			if decoded.Load() != test.decodes || shown.Load() != 1 {
				t.Fatalf("decoded %d times, shown %d times for 20 receivers; want %d and 1", decoded.Load(), shown.Load(), test.decodes)
			}
		})
	}
}

func TestWithMistakes(t *testing.T) {
	mustPanic(t, `layers.Type[string] "t": string is not a map`, func() { layers.Type[string]("t").With("x") }) // case 11
	mustPanic(t, "layers.Type[[]int]", func() { layers.Type[[]int]("t").With(nil) })
	mustPanic(t, "time.Time is not a map", func() { layers.Type[time.Time]("t").With(time.Now()) })
	mustPanic(t, `"__asgi_channel__"`, func() { layers.Type[map[string]any]("t").With(map[string]any{"__asgi_channel__": 1}) }) // case 10
	mustPanic(t, `has a key "type"`, func() {
		layers.Type[struct {
			T int `json:"type"`
		}]("t").With(struct {
			T int `json:"type"`
		}{})
	})
	mustPanic(t, "give it a name", func() { layers.Type[text]("").With(text{}) })

	ctx := t.Context()
	l := memlayer.New(nil)
	bad := layers.Type[struct{ F func() }]("test.bad").With(struct{ F func() }{func() {}})
	for name, test := range map[string]struct {
		m    layers.Message
		want string
	}{
		"value that cannot be sent": {bad, "F: a func() cannot be sent"},
		"nil pointer":               {layers.Type[*text]("test.nil").With(nil), "nil *layers_test.text"},
		"zero message":              {layers.Message{}, "make one with Type.With"},
		"reserved type":             {layers.Type[text]("layer.mine").With(text{}), `"layer."`},
		"Down":                      {layers.Down.With(layers.Outage{}), `"layer."`},
	} {
		for op, err := range map[string]error{"Send": l.Send(ctx, "jobs", test.m), "GroupSend": l.GroupSend(ctx, "g", test.m)} {
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s: %s: %v, want %q", name, op, err, test.want)
			}
		}
	}
	if _, err := note.Decode(bad); err == nil {
		t.Error("Decode of a message that is none")
	}
	if s := l.Stats(); s.Sent+s.GroupSent != 0 {
		t.Errorf("%+v: something was sent", s)
	}
}

func TestDecodeMistakes(t *testing.T) {
	m := layers.Type[map[string]any]("test.note").With(map[string]any{"text": 5})
	if _, err := note.Decode(m); err == nil || !strings.Contains(err.Error(), `"test.note": text: integer does not fit in string`) {
		t.Errorf("Decode: %v", err)
	}
	if _, err := note.JSON(m); err == nil {
		t.Error("JSON of what cannot be decoded")
	}
	if _, err := layers.Type[text]("test.other").Decode(m); err == nil || !strings.Contains(err.Error(), `not of type "test.other"`) {
		t.Errorf("Decode as another type: %v", err)
	}
	if _, err := (layers.Message{}).Fields(); err == nil {
		t.Error("Fields of the zero message")
	}
	if _, err := (layers.Message{}).Once(1, nil); err == nil {
		t.Error("Once of the zero message")
	}
	if (layers.Message{}).Type() != "" || (layers.Message{}).Size() != 0 || (layers.Message{}).Local() || (layers.Message{}).Expired(time.Now()) {
		t.Error("the zero message is something")
	}
}

// TestNaN holds that what JSON cannot say passes the layer, and is an error in JSON alone.
func TestNaN(t *testing.T) {
	const typ layers.Type[struct{ F float64 }] = "test.float"
	m := typ.With(struct{ F float64 }{math.NaN()})
	if v, err := typ.Decode(m); err != nil || !math.IsNaN(v.F) {
		t.Errorf("L17: NaN passes msgpack: %v, %v", v, err)
	}
	var unsupported *json.UnsupportedValueError
	if _, err := typ.JSON(m); !errors.As(err, &unsupported) {
		t.Errorf("L17: JSON of NaN: %v", err)
	}
}

func TestFields(t *testing.T) {
	m := layers.Type[map[string]any]("test.any").With(map[string]any{"b": []byte{0xff}, "f": 1.0, "u": uint64(1) << 63, "i": -1})
	fields, err := m.Fields()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprintf("%#v", fields), `map[string]interface {}{"b":[]uint8{0xff}, "f":1, "i":-1, "u":0x8000000000000000}`; got != want {
		t.Errorf("L17: got %s, want %s", got, want)
	}
	if m.Type() != "test.any" || note.String() != "test.note" {
		t.Error("Type")
	}
}

// Case 77.
func TestMessageSize(t *testing.T) {
	ctx := context.Background()
	l := memlayer.New(&layers.Options{MaxMessageSize: 1000})
	ok := note.With(text{strings.Repeat("x", 1000-note.With(text{strings.Repeat("x", 500)}).Size()+500)})
	if ok.Size() != 1000 {
		t.Fatalf("size %d", ok.Size())
	}
	if err := l.Send(ctx, "jobs", ok); err != nil {
		t.Errorf("L13, case 77: a message of the limit: %v", err)
	}
	v, _ := note.Decode(ok)
	over := note.With(text{v.Text + "x"})
	for op, err := range map[string]error{"Send": l.Send(ctx, "jobs", over), "GroupSend": l.GroupSend(ctx, "g", over)} {
		if !errors.Is(err, layers.ErrMessageTooLarge) || !strings.Contains(err.Error(), "1001 bytes, the limit is 1000") {
			t.Errorf("L13, case 77: %s above the limit: %v", op, err)
		}
	}
	if s := l.Stats(); s.Delivered != 1 {
		t.Errorf("L13, case 77: %d stored, want 1", s.Delivered)
	}
}

// TestJSONIsNotEscaped: what is not inside of HTML need not be escaped for it, which would make it six times as long.
func TestJSONIsNotEscaped(t *testing.T) {
	type said struct {
		Text string `json:"text"`
	}
	const typ layers.Type[said] = "said"
	got, err := typ.JSON(typ.With(said{"<b>&</b>\n"}))
	if want := `{"text":"<b>&</b>\n"}`; err != nil || string(got) != want {
		t.Errorf("JSON gives %s and %v, want %s", got, err, want)
	}
}
