package layers

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/tideway-go/tideway/layers/driver"
	"github.com/tideway-go/tideway/layers/internal/payload"
)

// Type is the one place where a message's name and its payload meet:
//
//	const chatMessage layers.Type[said] = "chat.message"
//
// T is what encodes as a map: a struct or a map with string keys, without a key "type" or "__asgi_channel__". Fields
// are named by json tags, as encoding/json does.
type Type[T any] string

// String is the name.
func (t Type[T]) String() string { return string(t) }

// With encodes v at once and returns it as a message; later changes to v do not show. It panics when no value of T can
// be a payload. A value that cannot be encoded gives a message that Send refuses with the reason.
func (t Type[T]) With(v T) Message {
	if t == "" {
		panic(fmt.Sprintf("layers: a layers.Type[%s] is empty: give it a name, as in: const chatMessage layers.Type[said] = \"chat.message\"",
			reflect.TypeFor[T]()))
	}
	data, err := encodePayload(string(t), &v)
	if _, ok := errors.AsType[*payload.ShapeError](err); ok {
		panic(fmt.Sprintf("layers: layers.Type[%s] %q: %s", reflect.TypeFor[T](), string(t), err))
	}
	if err != nil {
		return Message{err: fmt.Errorf("message of type %q: %w", string(t), err)}
	}
	return Message{m: driver.NewMessage(string(t), data)}
}

// decodeKey and jsonKey are the keys of [Message.Once]: one type for each T.
type (
	decodeKey[T any] struct{}
	jsonKey[T any]   struct{}
)

// Decode returns the payload of a message of this type. Keys without a field are ignored, fields without a key are
// zero. A T without pointers, slices, maps and interfaces is decoded once per message and process; any other
// is decoded for each caller, so that no receiver sees another's change (L7).
func (t Type[T]) Decode(m Message) (T, error) {
	if err := t.check(m); err != nil {
		var zero T
		return zero, &opError{op: "decode message", name: m.Type(), cause: err}
	}
	if !immutable(reflect.TypeFor[T]()) {
		return t.decode(m)
	}
	v, err := m.m.Once(decodeKey[T]{}, func() (any, error) { return t.decode(m) })
	out, _ := v.(T)
	return out, err
}

func (t Type[T]) decode(m Message) (T, error) {
	var v T
	if err := decodePayload(m.m.Bare(), &v); err != nil {
		var zero T
		return zero, &opError{op: "decode message", name: m.Type(), cause: err}
	}
	return v, nil
}

// JSON returns the payload as JSON text, as encoding/json makes it of T but without its HTML escapes, and without the type.
// It is made once per message and process and shared: do not change it. NaN and infinities are errors there.
func (t Type[T]) JSON(m Message) ([]byte, error) {
	if err := t.check(m); err != nil {
		return nil, &opError{op: "JSON of message", name: m.Type(), cause: err}
	}
	v, err := m.m.Once(jsonKey[T]{}, func() (any, error) {
		v, err := t.Decode(m)
		if err != nil {
			return []byte(nil), err
		}
		text, err := encodeJSON(&v)
		if err != nil {
			err = &opError{op: "JSON of message", name: m.Type(), cause: err}
		}
		return slices.Clip(text), err // an append must not write to what others share
	})
	text, _ := v.([]byte)
	return text, err
}

// encodeJSON is json.Marshal without the escapes that only JSON inside of HTML needs: with them, a message full of angle
// brackets would be six times as long for every member of a group.
func encodeJSON(v any) ([]byte, error) {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(text.Bytes(), []byte("\n")), nil
}

func (t Type[T]) check(m Message) error {
	if err := m.problem(); err != nil {
		return err
	}
	if m.Type() != string(t) {
		return fmt.Errorf("it is not of type %q", string(t))
	}
	return nil
}
