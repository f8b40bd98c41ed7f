package payload

import (
	"encoding"
	"reflect"
)

// text appends what MarshalText says.
func (e *encoder) text(v reflect.Value) error {
	m, ok := method[encoding.TextMarshaler](v)
	if !ok {
		return e.kind(v)
	}
	text, err := m.MarshalText()
	if err != nil {
		return err
	}
	e.b = appendString(e.b, string(text))
	return nil
}

// method finds an interface on a value or on a pointer to it. A value of a map has no address, so it is copied.
func method[M any](v reflect.Value) (M, bool) {
	if m, ok := v.Interface().(M); ok {
		return m, true
	}
	if !v.CanAddr() {
		p := reflect.New(v.Type()).Elem()
		p.Set(v)
		v = p
	}
	m, ok := v.Addr().Interface().(M)
	return m, ok
}
