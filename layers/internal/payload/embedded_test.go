package payload_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/tideway-go/tideway/layers/internal/payload"
)

type (
	tagged struct {
		A int `json:"X"`
	}
	untagged struct{ X int }
	deeper   struct{ untagged }
	Text     string
	Tree     struct {
		Name string
		Kids []Tree `json:",omitempty"`
		*Tree
	}
	options struct {
		I  int            `json:"i,omitempty"`
		F  float64        `json:",omitempty"`
		B  bool           `json:"b,omitempty"`
		P  *int           `json:"p,omitempty"`
		M  map[string]int `json:"m,omitempty"`
		A  [0]int         `json:"a,omitempty"`
		S  struct{}       `json:"s,omitempty"`
		T  time.Time      `json:"t,omitzero"`
		Z  untagged       `json:"z,omitzero"`
		Q  bool           `json:"q,string"`
		QP *int           `json:"qp,string"`
		Un any            `json:"a b"`
	}
)

// TestEmbeddedUnexported holds that what reflection may not set is an error, and the rest comes back.
func TestEmbeddedUnexported(t *testing.T) {
	type box struct {
		untagged `json:"named"`
	}
	var back box
	if err := payload.Unmarshal(marshal(t, "x", &box{untagged{5}}), &back); err != nil || back.X != 5 {
		t.Errorf("got %+v, %v", back, err)
	}
	for _, ptr := range []any{new(struct{ *untagged }), new(struct {
		*untagged `json:"X"`
	})} {
		if err := payload.Unmarshal(marshal(t, "x", &map[string]any{"X": nil}), ptr); err == nil {
			t.Errorf("%T: an unexported pointer was set", ptr)
		}
	}
}

// TestStructRules compares which keys structs have with what encoding/json shows.
func TestStructRules(t *testing.T) {
	n := 5
	for _, v := range []any{
		&struct {
			tagged
			untagged
		}{tagged{1}, untagged{2}}, // of one depth the tagged wins
		&struct {
			deeper
			tagged
		}{deeper{untagged{2}}, tagged{1}},
		&struct {
			untagged
			deeper
			X string
		}{untagged{2}, deeper{untagged{3}}, "outer"}, // the least nested wins
		&struct {
			untagged
			Other struct{ untagged }
		}{},
		&struct{ *untagged }{},
		&struct{ *untagged }{&untagged{4}},
		&struct {
			Text
			*Embedded
		}{"embedded, no struct", nil},
		&struct {
			Embedded `json:"named"`
			untagged `json:"hidden"`
		}{Embedded{1}, untagged{2}},
		&Tree{Name: "a", Kids: []Tree{{Name: "b"}}, Tree: &Tree{Name: "c", Kids: []Tree{{}}}},
		&options{},
		&options{I: 1, F: 1.5, B: true, P: &n, M: map[string]int{"k": 1}, T: time.Unix(0, 0).UTC(), Z: untagged{1}, Q: true, QP: &n, Un: "u"},
		&map[Text]any{"k": untagged{1}},
		&map[string]untagged{"b": {1}, "a": {2}},
	} {
		t.Run(fmt.Sprintf("%T", v), func(t *testing.T) {
			fields, err := payload.Fields(marshal(t, "x", v))
			if err != nil {
				t.Fatal(err)
			}
			delete(fields, "type")
			ours, err := json.Marshal(fields)
			if err != nil {
				t.Fatal(err)
			}
			theirs, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			var a, b any
			if err := errors.Join(json.Unmarshal(ours, &a), json.Unmarshal(theirs, &b)); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(a, b) {
				t.Fatalf("L17: ours %s, encoding/json %s", ours, theirs)
			}
		})
	}
}
