package payload_test

import (
	"reflect"
	"testing"

	"github.com/tideway-go/tideway/layers/internal/payload"
)

// FuzzCheck feeds bytes from a hostile wire. Nothing may panic; what Check passes must decode, and mean the same when
// it is encoded again.
func FuzzCheck(f *testing.F) {
	in := sample()
	good, err := payload.Marshal("x", &in)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	for _, s := range []string{"", "\x80", "\x81\xa4type\xa1x", "\x82\xa4type\xa1x\xa1v\xdd\xff\xff\xff\xff", "\x91\x91\x91", "\xdf\x00\x00\x00\x01"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		typ, err := payload.Check(data)
		var v everything
		_ = payload.Unmarshal(data, &v)
		fields, ferr := payload.Fields(data)
		if err != nil {
			return
		}
		if ferr != nil || fields["type"] != typ {
			t.Fatalf("Check passed %x as %q, Fields: %v, %v", data, typ, fields, ferr)
		}
		delete(fields, "type")
		again, err := payload.MarshalWire(typ, &fields)
		if err != nil {
			t.Fatalf("%x: cannot be encoded again: %v", data, err)
		}
		back, err := payload.Fields(again)
		if err != nil {
			t.Fatal(err)
		}
		delete(back, "type")
		if !reflect.DeepEqual(clean(fields), clean(back)) {
			t.Fatalf("%x:\n%v\n%v", data, fields, back)
		}
	})
}

// clean makes NaN equal to itself.
func clean(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = clean(v[k])
		}
	case []any:
		for i := range v {
			v[i] = clean(v[i])
		}
	case float64:
		if v != v {
			return "NaN"
		}
	}
	return v
}
