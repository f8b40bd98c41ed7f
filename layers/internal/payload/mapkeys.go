package payload

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strconv"
)

// pair is an entry of a map with its key as text.
type pair struct {
	key   string
	value reflect.Value
}

// sortedPairs are the entries of a map in the order of their keys, so that equal payloads are equal bytes.
func sortedPairs(v reflect.Value) ([]pair, error) {
	pairs := make([]pair, 0, v.Len())
	for it := v.MapRange(); it.Next(); {
		key, err := keyText(it.Key())
		if err != nil {
			return nil, err
		}
		pairs = append(pairs, pair{key, it.Value()})
	}
	slices.SortFunc(pairs, func(a, b pair) int {
		switch {
		case a.key < b.key:
			return -1
		case a.key > b.key:
			return 1
		}
		return 0
	})
	return pairs, nil
}

// canBeKey says whether keyText can write keys of type t.
func canBeKey(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.String, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return true
	}
	return t.Implements(textMarshaler)
}

// keyText is a key as encoding/json writes it.
func keyText(k reflect.Value) (string, error) {
	if k.Kind() == reflect.String {
		return k.String(), nil
	}
	if m, ok := k.Interface().(encoding.TextMarshaler); ok {
		if k.Kind() == reflect.Pointer && k.IsNil() {
			return "", nil
		}
		text, err := m.MarshalText()
		return string(text), err
	}
	switch {
	case k.CanInt():
		return strconv.FormatInt(k.Int(), 10), nil
	case k.CanUint():
		return strconv.FormatUint(k.Uint(), 10), nil
	}
	return "", fmt.Errorf("a %s cannot be the key of a map: keys are text", k.Type())
}

func (e *encoder) mapPairs(pairs []pair) error {
	for _, p := range pairs {
		e.b = appendString(e.b, p.key)
		if err := e.value(p.value); err != nil {
			return fmt.Errorf("%s: %w", p.key, err)
		}
	}
	return nil
}
