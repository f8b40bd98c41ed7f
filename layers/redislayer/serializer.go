package redislayer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"unicode/utf16"

	"github.com/tideway-go/tideway/layers/internal/payload"
)

// Serializer is a format of messages other than msgpack, for Options.Serializer. All processes of a deployment use the same.
// It is called from many goroutines at once.
//
// fields are the payload, the "type", and with Core the "__asgi_channel__", a string or a []any of strings. Values are
// string, []byte, int64 (uint64 above its range), float64, bool, nil, []any and map[string]any; what Deserialize
// returns may also be what a payload may be.
type Serializer interface {
	Serialize(fields map[string]any) ([]byte, error)
	Deserialize(data []byte) (map[string]any, error)
}

// JSON is channels_redis's serializer_format "json", since its version 4.2.1. It has no bytes, and no NaN and infinities:
// sending them is an error. Numbers without a fraction and exponent arrive as integers, others as floats.
var JSON Serializer = jsonFormat{}

type jsonFormat struct{}

// Serialize writes as Python's json does by default, keys in the order of their names.
func (jsonFormat) Serialize(fields map[string]any) ([]byte, error) {
	return appendPython(make([]byte, 0, 128), fields)
}

func appendPython(b []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case map[string]any:
		return appendPythonMap(b, v)
	case []any:
		return appendPythonList(b, v)
	case string:
		return appendPythonText(b, v), nil
	case nil:
		return append(b, "null"...), nil
	case bool:
		return strconv.AppendBool(b, v), nil
	case int64:
		return strconv.AppendInt(b, v, 10), nil
	case uint64:
		return strconv.AppendUint(b, v, 10), nil
	case float64:
		return appendPythonFloat(b, v)
	default:
		return nil, fmt.Errorf("JSON has no %T: send text, numbers, lists and maps, or use msgpack", v)
	}
}

// appendPythonFloat keeps a fraction, so that a float stays one.
func appendPythonFloat(b []byte, v float64) ([]byte, error) {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil, fmt.Errorf("JSON has no %v", v)
	}
	text, err := json.Marshal(v)
	if err == nil && !bytes.ContainsAny(text, ".e") {
		text = append(text, ".0"...)
	}
	return append(b, text...), err
}

func appendPythonMap(b []byte, m map[string]any) ([]byte, error) {
	b = append(b, '{')
	for i, key := range slices.Sorted(maps.Keys(m)) {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = append(appendPythonText(b, key), ": "...)
		var err error
		if b, err = appendPython(b, m[key]); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}

func appendPythonList(b []byte, list []any) ([]byte, error) {
	b = append(b, '[')
	for i, v := range list {
		if i > 0 {
			b = append(b, ", "...)
		}
		var err error
		if b, err = appendPython(b, v); err != nil {
			return nil, err
		}
	}
	return append(b, ']'), nil
}

// appendPythonText writes all that is not printable ASCII as \u and four digits, or by the short forms of JSON.
func appendPythonText(b []byte, s string) []byte {
	const short = "\"\\\n\r\t\b\f"
	b = append(b, '"')
	for _, r := range s {
		switch i := bytes.IndexRune([]byte(short), r); {
		case i >= 0 && r < 0x80:
			b = append(b, '\\', `"\nrtbf`[i])
		case r >= ' ' && r < 0x7f:
			b = append(b, byte(r))
		case r >= 0x10000:
			hi, lo := utf16.EncodeRune(r)
			b = fmt.Appendf(b, `\u%04x\u%04x`, hi, lo)
		case r == 0x7f:
			b = append(b, 0x7f)
		default:
			b = fmt.Appendf(b, `\u%04x`, r)
		}
	}
	return append(b, '"')
}

// Deserialize reads one JSON object.
func (jsonFormat) Deserialize(data []byte) (map[string]any, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var fields map[string]any
	if err := d.Decode(&fields); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("there is something behind the JSON")
	}
	return fields, nil
}

// toMessage makes the layer's encoding of fields, without the reserved one, which it returns apart.
func toMessage(fields map[string]any) (data []byte, to payload.Address, err error) {
	typ, ok := fields[payload.TypeKey].(string)
	if !ok {
		return nil, to, errors.New(`there is no "type" that is text`)
	}
	switch names := fields[payload.ReservedKey].(type) {
	case nil:
	case string:
		to.Names = []string{names}
	case []string:
		to = payload.Address{Names: names, List: true}
	case []any:
		to.List = true
		for _, v := range names {
			name, ok := v.(string)
			if !ok {
				return nil, to, errors.New(`"` + payload.ReservedKey + `" is neither text nor a list of texts`)
			}
			to.Names = append(to.Names, name)
		}
	}
	rest := maps.Clone(fields)
	delete(rest, payload.TypeKey)
	delete(rest, payload.ReservedKey)
	data, err = payload.MarshalWire(typ, &rest)
	return data, to, err
}

// toFields is the inverse of toMessage. What a list of names is on the wire is a list also for one.
func toFields(data []byte, names []string, list bool) (map[string]any, error) {
	fields, err := payload.Fields(data)
	switch {
	case err != nil:
		return nil, err
	case list:
		all := make([]any, len(names))
		for i, name := range names {
			all[i] = name
		}
		fields[payload.ReservedKey] = all
	case len(names) > 0:
		fields[payload.ReservedKey] = names[0]
	}
	return fields, nil
}
