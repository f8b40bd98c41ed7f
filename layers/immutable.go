package layers

import (
	"reflect"
	"sync"
	"time"
)

// immutables remembers what immutable found, by reflect.Type.
var immutables sync.Map

// immutable says whether a value of type t can be shared by everybody: nothing in it can be changed through a copy.
func immutable(t reflect.Type) bool {
	if v, ok := immutables.Load(t); ok {
		return v.(bool)
	}
	v := immutableKind(t)
	immutables.Store(t, v)
	return v
}

func immutableKind(t reflect.Type) bool {
	if t == reflect.TypeFor[time.Time]() {
		return true // its *Location is never written
	}
	switch t.Kind() {
	case reflect.Bool, reflect.String, reflect.Float32, reflect.Float64, reflect.Complex64, reflect.Complex128,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return true
	case reflect.Array:
		return immutable(t.Elem())
	case reflect.Struct:
		for f := range t.Fields() {
			if !immutable(f.Type) {
				return false
			}
		}
		return true
	default:
		return false
	}
}
