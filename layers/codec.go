package layers

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/ugorji/go/codec"
)

const (
	typeKey     = "type"
	reservedKey = "__asgi_channel__"
)

// shapeError says that no value of a Go type can be a payload.
type shapeError struct {
	kind reflect.Type
	text string
}

func (e shapeError) Error() string { return e.text }

var handle = func() *codec.MsgpackHandle {
	h := &codec.MsgpackHandle{WriteExt: true}
	h.MapType = reflect.TypeFor[map[string]any]()
	h.RawToString = true
	return h
}()

func encodePayload(typ string, v any) ([]byte, error) {
	if k := reflect.TypeOf(v); k == nil || k.Kind() != reflect.Struct && k.Kind() != reflect.Map && k.Kind() != reflect.Pointer {
		return nil, shapeError{k, "must be a struct or a map with string keys"}
	}
	var body []byte
	if err := codec.NewEncoderBytes(&body, handle).Encode(v); err != nil {
		return nil, err
	}
	var m map[string]any
	if err := codec.NewDecoderBytes(body, handle).Decode(&m); err != nil {
		return nil, shapeError{reflect.TypeOf(v), err.Error()}
	}
	if m == nil {
		m = map[string]any{}
	}
	for _, k := range []string{typeKey, reservedKey} {
		if _, ok := m[k]; ok {
			return nil, shapeError{reflect.TypeOf(v), fmt.Sprintf("has a key %q", k)}
		}
	}
	m[typeKey] = typ
	var out []byte
	err := codec.NewEncoderBytes(&out, handle).Encode(m)
	return out, err
}

func decodePayload(data []byte, v any) error { return codec.NewDecoderBytes(data, handle).Decode(v) }

func decodeFields(data []byte) (map[string]any, error) {
	var m map[string]any
	err := codec.NewDecoderBytes(data, handle).Decode(&m)
	return m, err
}

func checkPayload(data []byte) (string, error) {
	m, err := decodeFields(data)
	if err != nil {
		return "", err
	}
	typ, ok := m[typeKey].(string)
	if !ok {
		return "", errors.New("no type")
	}
	if reserved(typ) {
		return typ, errors.New("type is reserved")
	}
	return typ, nil
}
