package payload

import (
	"encoding/json"
	"fmt"
	"reflect"
)

// quoted appends a field with the json option "string": its JSON text, as text.
func (e *encoder) quoted(v reflect.Value) error {
	if v.Kind() == reflect.Pointer && v.IsNil() {
		return e.value(v)
	}
	text, err := json.Marshal(v.Interface())
	if err != nil {
		return err
	}
	e.b = appendString(e.b, string(text))
	return nil
}

// decodeQuoted reads such a field.
func (r *reader) decodeQuoted(v reflect.Value) error {
	t, err := r.next()
	if err != nil {
		return err
	}
	switch t.kind {
	case kindNil:
		return r.decodeNil(v)
	case kindText:
		return json.Unmarshal(t.raw, v.Addr().Interface())
	default:
		return fmt.Errorf("%s cannot be a quoted %s", t.kind, v.Type())
	}
}
