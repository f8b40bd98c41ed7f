package payload

import (
	"errors"
	"fmt"
)

// WithAddress returns a message with the reserved key, which names the channels that it is for: one name as text, or a list
// of names, as channels_redis writes them. data must have passed [Check], and stays as it is.
func WithAddress(data []byte, names []string, list bool) []byte {
	r := reader{data: data}
	head, err := r.root()
	if err != nil {
		panic(fmt.Sprintf("payload: WithAddress: %v", err))
	}
	size := len(data) + len(ReservedKey) + 12
	for _, name := range names {
		size += len(name) + 5
	}
	b := appendMap(make([]byte, 0, size), head.n+1)
	b = appendString(append(b, r.data...), ReservedKey)
	if list {
		b = appendArray(b, len(names))
	}
	for _, name := range names {
		b = appendString(b, name)
	}
	return b
}

var errAddress = errors.New(`"` + ReservedKey + `" is neither text nor a list of texts`)

// CutAddress returns a message without the reserved key, and the names under it; none when there is no such key. What
// it returns is not checked yet.
func CutAddress(data []byte) (body []byte, names []string, err error) {
	r := reader{data: data}
	head, err := r.root()
	if err != nil {
		return nil, nil, err
	}
	first := len(data) - len(r.data)
	for range head.n {
		from := len(data) - len(r.data)
		key, err := r.key()
		if err != nil {
			return nil, nil, err
		}
		if string(key) == ReservedKey {
			if names, err = r.names(); err != nil {
				return nil, nil, err
			}
			b := appendMap(make([]byte, 0, len(data)), head.n-1)
			b = append(b, data[first:from]...)
			return append(b, r.data...), names, nil
		}
		v, err := r.next()
		if err == nil {
			err = r.skip(v)
		}
		if err != nil {
			return nil, nil, err
		}
	}
	return data, nil, nil
}

// names reads the value of the reserved key. The names share one string.
func (r *reader) names() ([]string, error) {
	before := r.data
	v, err := r.next()
	if err != nil {
		return nil, err
	}
	if v.kind == kindText {
		return []string{string(v.raw)}, nil
	}
	if v.kind != kindList || v.n == 0 {
		return nil, errAddress
	}
	ends := make([]int, 2*v.n)
	for i := range v.n {
		t, err := r.next()
		if err != nil {
			return nil, err
		}
		if t.kind != kindText {
			return nil, errAddress
		}
		end := len(before) - len(r.data)
		ends[2*i], ends[2*i+1] = end-len(t.raw), end
	}
	all := string(before[:len(before)-len(r.data)])
	names := make([]string, v.n)
	for i := range names {
		names[i] = all[ends[2*i]:ends[2*i+1]]
	}
	return names, nil
}
