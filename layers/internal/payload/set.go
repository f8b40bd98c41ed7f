package payload

import (
	"encoding"
	"fmt"
	"reflect"
	"strconv"
)

func mismatch(t token, v reflect.Value) error {
	return fmt.Errorf("%s does not fit in %s", t.kind, v.Type())
}

func setNumber(v reflect.Value, t token) error {
	switch {
	case v.CanInt() && t.kind == kindInt && !v.OverflowInt(int64(t.num)):
		v.SetInt(int64(t.num))
	case v.CanUint() && (t.kind == kindInt && int64(t.num) >= 0 || t.kind == kindUint) && !v.OverflowUint(t.num):
		v.SetUint(t.num)
	case v.CanFloat() && t.kind == kindFloat && !v.OverflowFloat(t.float()):
		v.SetFloat(t.float())
	case v.CanFloat() && t.kind == kindInt:
		v.SetFloat(float64(int64(t.num)))
	case v.CanFloat() && t.kind == kindUint:
		v.SetFloat(float64(t.num))
	case t.kind == kindInt:
		return fmt.Errorf("%d does not fit in %s", int64(t.num), v.Type())
	case t.kind == kindUint:
		return fmt.Errorf("%d does not fit in %s", t.num, v.Type())
	default:
		return mismatch(t, v)
	}
	return nil
}

func setBytes(v reflect.Value, raw []byte) error {
	if v.Kind() == reflect.Slice {
		v.SetBytes(append([]byte{}, raw...))
		return nil
	}
	if len(raw) != v.Len() {
		return fmt.Errorf("%d bytes do not fit in %s", len(raw), v.Type())
	}
	reflect.Copy(v, reflect.ValueOf(raw).Convert(reflect.SliceOf(v.Type().Elem())))
	return nil
}

// setKey turns the text of a key into a Go map's key.
func setKey(k reflect.Value, text []byte) error {
	if k.Kind() == reflect.String {
		k.SetString(string(text))
		return nil
	}
	if u, ok := k.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return u.UnmarshalText(text)
	}
	switch {
	case k.CanInt():
		n, err := strconv.ParseInt(string(text), 10, 64)
		if err != nil || k.OverflowInt(n) {
			return fmt.Errorf("key %q is no %s", text, k.Type())
		}
		k.SetInt(n)
		return nil
	case k.CanUint():
		n, err := strconv.ParseUint(string(text), 10, 64)
		if err != nil || k.OverflowUint(n) {
			return fmt.Errorf("key %q is no %s", text, k.Type())
		}
		k.SetUint(n)
		return nil
	}
	return fmt.Errorf("a %s cannot be the key of a map: keys are text", k.Type())
}
