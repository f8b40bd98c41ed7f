package payload

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
)

// Unmarshal decodes a message into what ptr points to. The type is no part of it; keys without a field are ignored.
func Unmarshal(data []byte, ptr any) error {
	v := reflect.ValueOf(ptr).Elem()
	r := &reader{data: data}
	if s := shapeOf(v.Type()); s.unmarshalJSON {
		return r.unmarshalJSONRoot(v)
	}
	for v.Kind() == reflect.Pointer {
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		v = v.Elem()
	}
	head, err := r.root()
	if err != nil {
		return err
	}
	switch {
	case v.Kind() == reflect.Struct:
		return r.structPairs(v, head.n)
	case v.Kind() == reflect.Map:
		return r.mapPairs(v, head.n)
	case v.Kind() == reflect.Interface && v.NumMethod() == 0:
		fields, err := r.pairs(head.n)
		delete(fields, TypeKey)
		if err == nil {
			v.Set(reflect.ValueOf(fields))
		}
		return err
	default:
		return &ShapeError{v.Type(), wantMap}
	}
}

// unmarshalJSONRoot is for a payload with UnmarshalJSON, which gets the fields without the type.
func (r *reader) unmarshalJSONRoot(v reflect.Value) error {
	head, err := r.root()
	if err != nil {
		return err
	}
	var pairs []byte
	n := 0
	for range head.n {
		start := r.data
		key, err := r.key()
		if err == nil {
			err = r.pass()
		}
		if err != nil {
			return err
		}
		if string(key) != TypeKey {
			pairs = append(pairs, start[:len(start)-len(r.data)]...)
			n++
		}
	}
	rest := &reader{data: append(appendMap(nil, n), pairs...)}
	text, err := rest.appendJSON(nil)
	if err != nil {
		return err
	}
	return v.Addr().Interface().(json.Unmarshaler).UnmarshalJSON(text)
}

// decode reads the next value into v, which can be set.
func (r *reader) decode(v reflect.Value) error {
	if t := v.Type(); (t.PkgPath() != "" || t.Kind() == reflect.Struct) && v.CanInterface() { // else it has no methods to call
		switch s := shapeOf(t); {
		case s.unmarshalJSON:
			text, err := r.appendJSON(nil)
			if err != nil {
				return err
			}
			return v.Addr().Interface().(json.Unmarshaler).UnmarshalJSON(text)
		case s.unmarshalText:
			return r.decodeText(v)
		case t == numberType:
			return r.decodeNumber(v)
		}
	}
	if v.Kind() == reflect.Pointer {
		return r.decodePointer(v)
	}
	t, err := r.next()
	if err != nil {
		return err
	}
	if t.kind == kindNil {
		return r.decodeNil(v)
	}
	return r.decodeToken(t, v)
}

// decodeNil sets what can be nil; other values stay, as with JSON's null.
func (r *reader) decodeNil(v reflect.Value) error {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface, reflect.Map, reflect.Slice:
		v.SetZero()
	}
	return nil
}

func (r *reader) decodePointer(v reflect.Value) error {
	if len(r.data) > 0 && r.data[0] == codeNil {
		r.data = r.data[1:]
		v.SetZero()
		return nil
	}
	if v.IsNil() {
		v.Set(reflect.New(v.Type().Elem()))
	}
	return r.decode(v.Elem())
}

// decodeToken sets v to the value that t, which is not nil, begins.
func (r *reader) decodeToken(t token, v reflect.Value) error {
	switch k := v.Kind(); {
	case k == reflect.Interface && v.NumMethod() == 0:
		x, err := r.any(t)
		if err == nil {
			v.Set(reflect.ValueOf(x))
		}
		return err
	case k == reflect.Bool && t.kind == kindBool:
		v.SetBool(t.num == 1)
		return nil
	case k == reflect.String && t.kind == kindText:
		v.SetString(string(t.raw))
		return nil
	case v.CanInt() || v.CanUint() || v.CanFloat():
		return setNumber(v, t)
	case t.kind == kindBytes && (k == reflect.Slice || k == reflect.Array) && v.Type().Elem().Kind() == reflect.Uint8:
		return setBytes(v, t.raw)
	}
	if err := r.enter(); err != nil {
		return err
	}
	defer r.leave()
	switch k := v.Kind(); {
	case k == reflect.Struct && t.kind == kindMap:
		return r.structPairs(v, t.n)
	case k == reflect.Map && t.kind == kindMap:
		return r.mapPairs(v, t.n)
	case k == reflect.Slice && t.kind == kindList:
		return r.slice(v, t.n)
	case k == reflect.Array && t.kind == kindList:
		return r.array(v, t.n)
	}
	return mismatch(t, v)
}

func (r *reader) slice(v reflect.Value, n int) error {
	v.Set(reflect.MakeSlice(v.Type(), 0, min(n, 64))) // grows with what is there, not with what is announced
	for i := range n {
		v.Grow(1)
		v.SetLen(i + 1)
		v.Index(i).SetZero()
		if err := r.decode(v.Index(i)); err != nil {
			return fmt.Errorf("[%d]: %w", i, err)
		}
	}
	return nil
}

func (r *reader) array(v reflect.Value, n int) error {
	if n != v.Len() {
		return fmt.Errorf("a list of %d does not fit in %s", n, v.Type())
	}
	for i := range n {
		if err := r.decode(v.Index(i)); err != nil {
			return fmt.Errorf("[%d]: %w", i, err)
		}
	}
	return nil
}

func (r *reader) structPairs(v reflect.Value, n int) error {
	s := shapeOf(v.Type())
	for range n {
		key, err := r.key()
		if err != nil {
			return err
		}
		i, ok := s.byName[string(key)]
		if !ok {
			if err := r.pass(); err != nil {
				return err
			}
			continue
		}
		f := &s.fields[i]
		fv, err := f.settable(v)
		if err == nil && f.quoted {
			err = r.decodeQuoted(fv)
		} else if err == nil {
			err = r.decode(fv)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
	}
	return nil
}

// settable is a struct's field, with the embedded pointers on the way filled in.
func (f *field) settable(v reflect.Value) (reflect.Value, error) {
	for i, x := range f.index {
		if i > 0 && v.Kind() == reflect.Pointer {
			if v.IsNil() {
				if !v.CanSet() {
					return v, fmt.Errorf("the embedded %s is a nil pointer to an unexported type", v.Type())
				}
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		v = v.Field(x)
	}
	if v.Kind() == reflect.Pointer && !v.CanSet() {
		return v, fmt.Errorf("the embedded %s is a pointer to an unexported type", v.Type())
	}
	return v, nil
}

func (r *reader) mapPairs(v reflect.Value, n int) error {
	t := v.Type()
	v.Set(reflect.MakeMapWithSize(t, min(n, 64)))
	for range n {
		text, err := r.key()
		if err != nil {
			return err
		}
		if r.depth == 1 && string(text) == TypeKey { // the message's, not this map's
			if err := r.pass(); err != nil {
				return err
			}
			continue
		}
		key, elem := reflect.New(t.Key()).Elem(), reflect.New(t.Elem()).Elem()
		if err := setKey(key, text); err != nil {
			return err
		}
		if err := r.decode(elem); err != nil {
			return fmt.Errorf("%s: %w", text, err)
		}
		v.SetMapIndex(key, elem)
	}
	return nil
}

// pass skips one value.
func (r *reader) pass() error {
	t, err := r.next()
	if err != nil {
		return err
	}
	return r.skip(t)
}

// decodeText gives text to UnmarshalText.
func (r *reader) decodeText(v reflect.Value) error {
	t, err := r.next()
	switch {
	case err != nil:
		return err
	case t.kind == kindNil:
		return r.decodeNil(v)
	case t.kind != kindText:
		return mismatch(t, v)
	}
	return v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText(t.raw)
}

// decodeNumber sets a json.Number.
func (r *reader) decodeNumber(v reflect.Value) error {
	text, err := r.appendJSON(nil)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, v.Addr().Interface())
}
