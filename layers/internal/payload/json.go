package payload

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
)

// viaJSON is the value that MarshalJSON writes. Numbers without a fraction and exponent are integers.
func viaJSON(v reflect.Value) (any, error) {
	m, ok := method[json.Marshaler](v)
	if !ok {
		return nil, fmt.Errorf("a %s cannot be sent", v.Type())
	}
	if v.Kind() == reflect.Slice && v.IsNil() || v.Kind() == reflect.Map && v.IsNil() {
		if _, raw := m.(json.RawMessage); raw {
			return nil, nil
		}
	}
	text, err := m.MarshalJSON()
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var x any
	if err := d.Decode(&x); err != nil {
		return nil, fmt.Errorf("MarshalJSON of %s: %w", v.Type(), err)
	}
	return x, nil
}

// appendJSON reads one value and writes it as JSON text, bytes in base 64, for a type with UnmarshalJSON.
func (r *reader) appendJSON(b []byte) ([]byte, error) {
	t, err := r.next()
	if err != nil {
		return b, err
	}
	switch t.kind {
	case kindMap, kindList:
		if err := r.enter(); err != nil {
			return b, err
		}
		defer r.leave()
		return r.appendJSONContainer(b, t)
	case kindText:
		text, err := json.Marshal(string(t.raw))
		return append(b, text...), err
	case kindBytes:
		return append(base64.StdEncoding.AppendEncode(append(b, '"'), t.raw), '"'), nil
	case kindFloat:
		if f := t.float(); math.IsNaN(f) || math.IsInf(f, 0) {
			return b, fmt.Errorf("%v has no JSON", f)
		}
	}
	x, err := r.any(t)
	if err != nil {
		return b, err
	}
	text, err := json.Marshal(x)
	return append(b, text...), err
}

func (r *reader) appendJSONContainer(b []byte, t token) ([]byte, error) {
	open, end := byte('['), byte(']')
	if t.kind == kindMap {
		open, end = '{', '}'
	}
	b = append(b, open)
	for i := range t.n {
		if i > 0 {
			b = append(b, ',')
		}
		if t.kind == kindMap {
			key, err := r.key()
			if err != nil {
				return b, err
			}
			text, err := json.Marshal(string(key))
			if err != nil {
				return b, err
			}
			b = append(append(b, text...), ':')
		}
		var err error
		if b, err = r.appendJSON(b); err != nil {
			return b, err
		}
	}
	return append(b, end), nil
}
