package payload

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// ShapeError says that no value of a Go type can be a payload.
type ShapeError struct {
	Type reflect.Type // nil for a nil interface
	Text string
}

// Error says which type and what it should be.
func (e *ShapeError) Error() string {
	if e.Type == nil {
		return "nil " + e.Text
	}
	return e.Type.String() + " " + e.Text
}

const wantMap = "is not a map: a payload is a struct, or a map with text keys"

// encoder appends to a message.
type encoder struct {
	b     []byte
	depth int
	keys  []string // that the payload must not have
}

// The keys that no payload has, and those that a message on the wire may not have besides its type.
var (
	ownKeys  = []string{TypeKey, ReservedKey, TraceKey}
	wireKeys = []string{TypeKey, ReservedKey}
)

// Marshal encodes a message: the type, then the payload that ptr points to. It returns a [*ShapeError] when the
// pointed-to type can never be a payload.
func Marshal(typ string, ptr any) ([]byte, error) { return marshal(typ, ptr, ownKeys) }

// MarshalWire is [Marshal] for what came from the wire in another encoding: it may carry a trace context.
func MarshalWire(typ string, ptr any) ([]byte, error) { return marshal(typ, ptr, wireKeys) }

func marshal(typ string, ptr any, keys []string) ([]byte, error) {
	v := reflect.ValueOf(ptr).Elem()
	for {
		if s := shapeOf(v.Type()); s.marshalJSON {
			fields, err := jsonFields(v)
			if err != nil {
				return nil, err
			}
			v = reflect.ValueOf(fields)
			break
		} else if s.marshalText {
			return nil, &ShapeError{v.Type(), wantMap}
		}
		if k := v.Kind(); k != reflect.Pointer && k != reflect.Interface {
			break
		}
		if v.IsNil() {
			return nil, nilRoot(v.Type())
		}
		v = v.Elem()
	}
	e := &encoder{b: make([]byte, 0, 128), depth: 1, keys: keys}
	switch v.Kind() {
	case reflect.Struct:
		return e.rootStruct(typ, v)
	case reflect.Map:
		return e.rootMap(typ, v)
	default:
		return nil, &ShapeError{v.Type(), wantMap}
	}
}

func nilRoot(t reflect.Type) error {
	if t.Kind() == reflect.Pointer {
		if k := t.Elem().Kind(); k == reflect.Struct || k == reflect.Map {
			return fmt.Errorf("the payload is a nil %s", t)
		}
	}
	return &ShapeError{nil, wantMap}
}

func jsonFields(v reflect.Value) (map[string]any, error) {
	x, err := viaJSON(v)
	if err != nil {
		return nil, err
	}
	fields, ok := x.(map[string]any)
	if !ok {
		return nil, &ShapeError{v.Type(), wantMap}
	}
	return fields, nil
}

func (e *encoder) rootStruct(typ string, v reflect.Value) ([]byte, error) {
	s := shapeOf(v.Type())
	for _, key := range e.keys {
		if _, ok := s.byName[key]; ok {
			return nil, &ShapeError{v.Type(), reservedText(key)}
		}
	}
	e.b = appendMap(e.b, 1+s.present(v))
	e.root(typ)
	err := e.structPairs(s, v)
	return e.b, err
}

func (e *encoder) rootMap(typ string, v reflect.Value) ([]byte, error) {
	if !canBeKey(v.Type().Key()) {
		return nil, &ShapeError{v.Type(), wantMap}
	}
	pairs, err := sortedPairs(v)
	if err != nil {
		return nil, err
	}
	for _, p := range pairs {
		if slices.Contains(e.keys, p.key) {
			return nil, &ShapeError{v.Type(), reservedText(p.key)}
		}
	}
	e.b = appendMap(e.b, 1+len(pairs))
	e.root(typ)
	err = e.mapPairs(pairs)
	return e.b, err
}

func (e *encoder) root(typ string) {
	e.b = appendString(appendString(e.b, TypeKey), typ)
}

func reservedText(key string) string {
	return fmt.Sprintf("has a key %q, which belongs to the message: name it otherwise with a json tag", key)
}

// value appends any value.
func (e *encoder) value(v reflect.Value) error {
	if !v.IsValid() {
		e.b = append(e.b, codeNil)
		return nil
	}
	if t := v.Type(); (t.PkgPath() != "" || t.Kind() == reflect.Struct) && v.CanInterface() { // else it has no methods to call
		switch s := shapeOf(t); {
		case s.marshalText && !s.marshalJSON:
			return e.text(v)
		case s.marshalJSON:
			x, err := viaJSON(v)
			if err != nil {
				return err
			}
			return e.value(reflect.ValueOf(x))
		case t == numberType:
			return e.number(v.String())
		}
	}
	return e.kind(v)
}

var numberType = reflect.TypeFor[json.Number]()

func (e *encoder) kind(v reflect.Value) error {
	switch v.Kind() {
	case reflect.Bool:
		e.b = appendBool(e.b, v.Bool())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		e.b = appendInt(e.b, v.Int())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		e.b = appendUint(e.b, v.Uint())
	case reflect.Float32, reflect.Float64:
		e.b = appendFloat(e.b, v.Float())
	case reflect.String:
		e.b = appendString(e.b, v.String())
	case reflect.Interface, reflect.Pointer:
		return e.indirect(v)
	case reflect.Map, reflect.Slice, reflect.Array, reflect.Struct:
		if e.depth++; e.depth > MaxDepth {
			return errDepth
		}
		defer func() { e.depth-- }()
		return e.container(v)
	default:
		return fmt.Errorf("a %s cannot be sent", v.Type())
	}
	return nil
}

func (e *encoder) container(v reflect.Value) error {
	switch k := v.Kind(); {
	case k == reflect.Struct:
		s := shapeOf(v.Type())
		e.b = appendMap(e.b, s.present(v))
		return e.structPairs(s, v)
	case k == reflect.Array:
		return e.list(v)
	case v.IsNil():
		e.b = append(e.b, codeNil)
		return nil
	case k == reflect.Slice:
		return e.list(v)
	}
	pairs, err := sortedPairs(v)
	if err != nil {
		return err
	}
	e.b = appendMap(e.b, len(pairs))
	return e.mapPairs(pairs)
}

// indirect follows pointers and interfaces; more than MaxDepth in a row are a cycle.
func (e *encoder) indirect(v reflect.Value) error {
	for range MaxDepth {
		if v.Kind() != reflect.Pointer && v.Kind() != reflect.Interface {
			return e.value(v)
		}
		if v.IsNil() {
			e.b = append(e.b, codeNil)
			return nil
		}
		v = v.Elem()
	}
	return errDepth
}

func (e *encoder) list(v reflect.Value) error {
	if v.Type().Elem().Kind() == reflect.Uint8 && !shapeOf(v.Type().Elem()).marshals() {
		return e.bytes(v)
	}
	e.b = appendArray(e.b, v.Len())
	for i := range v.Len() {
		if err := e.value(v.Index(i)); err != nil {
			return fmt.Errorf("[%d]: %w", i, err)
		}
	}
	return nil
}

func (s *shape) marshals() bool { return s.marshalJSON || s.marshalText }

func (e *encoder) bytes(v reflect.Value) error {
	if v.Kind() == reflect.Array && !v.CanAddr() {
		p := reflect.New(v.Type()).Elem()
		p.Set(v)
		v = p
	}
	e.b = appendBytes(e.b, v.Bytes())
	return nil
}

// present counts the pairs that structPairs will write.
func (s *shape) present(v reflect.Value) (n int) {
	for i := range s.fields {
		if _, ok := s.fields[i].of(v); ok {
			n++
		}
	}
	return n
}

func (e *encoder) structPairs(s *shape, v reflect.Value) error {
	for i := range s.fields {
		f := &s.fields[i]
		fv, ok := f.of(v)
		if !ok {
			continue
		}
		e.b = appendString(e.b, f.name)
		err := error(nil)
		if f.quoted {
			err = e.quoted(fv)
		} else {
			err = e.value(fv)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
	}
	return nil
}

// of is a struct's field, unless it is to be left out.
func (f *field) of(v reflect.Value) (reflect.Value, bool) {
	if len(f.index) == 1 {
		v = v.Field(f.index[0])
	} else {
		for i, x := range f.index {
			if i > 0 && v.Kind() == reflect.Pointer {
				if v.IsNil() {
					return v, false
				}
				v = v.Elem()
			}
			v = v.Field(x)
		}
	}
	if f.omitEmpty && isEmpty(v) || f.omitZero != nil && f.omitZero(v) {
		return v, false
	}
	return v, true
}

func isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Array, reflect.Map, reflect.Slice, reflect.String:
		return v.Len() == 0
	case reflect.Struct:
		return false
	default:
		return v.IsZero()
	}
}

// number appends a json.Number: an integer where it is one.
func (e *encoder) number(s string) error {
	if s == "" {
		s = "0"
	}
	x, err := parseNumber(s)
	if err != nil {
		return err
	}
	return e.value(reflect.ValueOf(x))
}

func parseNumber(s string) (any, error) {
	if i, err := strconv.ParseInt(s, 10, 64); err == nil {
		return i, nil
	}
	if u, err := strconv.ParseUint(s, 10, 64); err == nil {
		return u, nil
	}
	f, err := strconv.ParseFloat(s, 64)
	switch {
	case err != nil || math.IsInf(f, 0) || math.IsNaN(f):
		return nil, errors.New(strconv.Quote(s) + " is no number")
	case !strings.ContainsAny(s, ".eE"):
		return nil, errors.New(s + " is an integer above 64 bits: send it as text")
	}
	return f, nil
}
