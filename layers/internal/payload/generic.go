package payload

import "math"

// Fields decodes a message without a Go type, the type included: string, []byte, int64 (uint64 above its range),
// float64, bool, nil, []any and map[string]any.
func Fields(data []byte) (map[string]any, error) {
	r := reader{data: data}
	head, err := r.root()
	if err != nil {
		return nil, err
	}
	return r.pairs(head.n)
}

// any reads the value that t begins.
func (r *reader) any(t token) (any, error) {
	switch t.kind {
	case kindBool:
		return t.num == 1, nil
	case kindInt:
		return int64(t.num), nil
	case kindUint:
		return t.num, nil
	case kindFloat:
		return math.Float64frombits(t.num), nil
	case kindText:
		return string(t.raw), nil
	case kindBytes:
		return append([]byte{}, t.raw...), nil
	case kindNil:
		return nil, nil
	}
	if err := r.enter(); err != nil {
		return nil, err
	}
	defer r.leave()
	if t.kind == kindMap {
		return r.pairs(t.n)
	}
	list := make([]any, t.n)
	for i := range list {
		var err error
		if list[i], err = r.value(); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func (r *reader) value() (any, error) {
	t, err := r.next()
	if err != nil {
		return nil, err
	}
	return r.any(t)
}

func (r *reader) pairs(n int) (map[string]any, error) {
	m := make(map[string]any, min(n, 1024)) // a hint, not a promise: equal keys are one entry
	for range n {
		key, err := r.key()
		if err != nil {
			return nil, err
		}
		v, err := r.value()
		if err != nil {
			return nil, err
		}
		m[string(key)] = v
	}
	return m, nil
}
