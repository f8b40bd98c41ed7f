package payload

import (
	"cmp"
	"encoding"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"sync"
	"unicode"
)

// shape is what is known of a Go type, worked out once.
type shape struct {
	// How a value is written and read, when not by its kind; by pointer when only *T has the method.
	marshalJSON, marshalText     bool
	unmarshalJSON, unmarshalText bool

	fields []field        // of a struct, in the order in which they are written
	byName map[string]int // index into fields
}

// field is one key of a struct.
type field struct {
	name      string
	index     []int // for reflect.Value.FieldByIndex
	tagged    bool
	omitEmpty bool
	omitZero  func(reflect.Value) bool // nil without the option
	quoted    bool                     // the "string" option
}

var shapes sync.Map // reflect.Type to *shape

var (
	jsonMarshaler   = reflect.TypeFor[json.Marshaler]()
	jsonUnmarshaler = reflect.TypeFor[json.Unmarshaler]()
	textMarshaler   = reflect.TypeFor[encoding.TextMarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

func shapeOf(t reflect.Type) *shape {
	if s, ok := shapes.Load(t); ok {
		return s.(*shape)
	}
	s := &shape{}
	if t.Kind() != reflect.Pointer && t.Kind() != reflect.Interface {
		p := reflect.PointerTo(t)
		s.marshalText, s.unmarshalText = p.Implements(textMarshaler), p.Implements(textUnmarshaler)
		s.marshalJSON = p.Implements(jsonMarshaler) && !preferText(t)
		s.unmarshalJSON = p.Implements(jsonUnmarshaler) && !preferText(t)
	}
	if t.Kind() == reflect.Struct {
		s.fields = structFields(t)
		s.byName = make(map[string]int, len(s.fields))
		for i, f := range s.fields {
			s.byName[f.name] = i
		}
	}
	shapes.Store(t, s)
	return s
}

// preferText picks MarshalText for a type that has both methods and writes the same by both, to save a detour.
func preferText(t reflect.Type) bool {
	return t.PkgPath() == "time" && t.Name() == "Time"
}

// structFields lists the fields of a struct as encoding/json does: embedded structs are opened, of equal names the
// least nested wins, then the tagged one, and if that leaves several none does.
func structFields(t reflect.Type) []field {
	all := collect(nil, t, nil, map[reflect.Type]bool{})
	byName := map[string][]field{}
	for _, f := range all {
		byName[f.name] = append(byName[f.name], f)
	}
	var out []field
	for _, same := range byName {
		if f, ok := dominant(same); ok {
			out = append(out, f)
		}
	}
	slices.SortFunc(out, func(a, b field) int { return slices.Compare(a.index, b.index) })
	return out
}

func dominant(same []field) (field, bool) {
	slices.SortStableFunc(same, func(a, b field) int {
		if c := cmp.Compare(len(a.index), len(b.index)); c != 0 {
			return c
		}
		switch {
		case a.tagged == b.tagged:
			return 0
		case a.tagged:
			return -1
		default:
			return 1
		}
	})
	if len(same) > 1 && len(same[0].index) == len(same[1].index) && same[0].tagged == same[1].tagged {
		return field{}, false
	}
	return same[0], true
}

// collect appends the fields of t, and of what it embeds, found on the way of index. open holds the structs on that way.
func collect(out []field, t reflect.Type, index []int, open map[reflect.Type]bool) []field {
	if open[t] {
		return out
	}
	open[t] = true
	defer delete(open, t)
	for i := range t.NumField() {
		sf := t.Field(i)
		tag := sf.Tag.Get("json")
		name, opts, _ := strings.Cut(tag, ",")
		ft := sf.Type
		if sf.Anonymous && ft.Kind() == reflect.Pointer {
			ft = ft.Elem()
		}
		embedded := sf.Anonymous && ft.Kind() == reflect.Struct
		if tag == "-" || !sf.IsExported() && !embedded {
			continue
		}
		way := append(slices.Clone(index), i)
		if !validName(name) {
			name = ""
		}
		if embedded && name == "" {
			out = collect(out, ft, way, open)
			continue
		}
		f := field{name: name, index: way, tagged: name != ""}
		if name == "" {
			f.name = sf.Name
		}
		f.options(opts, sf.Type)
		out = append(out, f)
	}
	return out
}

func (f *field) options(opts string, t reflect.Type) {
	for opts != "" {
		var o string
		o, opts, _ = strings.Cut(opts, ",")
		switch o {
		case "omitempty":
			f.omitEmpty = true
		case "omitzero":
			f.omitZero = zeroFunc(t)
		case "string":
			f.quoted = quotable(t)
		}
	}
}

func zeroFunc(t reflect.Type) func(reflect.Value) bool {
	type isZeroer interface{ IsZero() bool }
	if t.Implements(reflect.TypeFor[isZeroer]()) {
		return func(v reflect.Value) bool {
			switch v.Kind() {
			case reflect.Pointer, reflect.Interface:
				if v.IsNil() {
					return true
				}
			}
			return v.Interface().(isZeroer).IsZero()
		}
	}
	return reflect.Value.IsZero
}

func quotable(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Bool, reflect.String, reflect.Float32, reflect.Float64,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return true
	}
	return false
}

// validName says whether encoding/json takes a name from a tag.
func validName(s string) bool {
	for _, c := range s {
		if !strings.ContainsRune("!#$%&()*+-./:;<=>?@[]^_{|}~ ", c) && !unicode.IsLetter(c) && !unicode.IsDigit(c) {
			return false
		}
	}
	return s != ""
}
