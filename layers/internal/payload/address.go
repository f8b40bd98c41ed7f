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

// An Address is what stands under the reserved key.
type Address struct {
	Names []string // none when there is no such key
	List  bool     // it is a list, as of a message for members of a group; else one name
}

// CutAddress returns a message without the reserved key, and what stands there. What it returns is not checked yet.
func CutAddress(data []byte) (body []byte, to Address, err error) {
	r := reader{data: data}
	head, err := r.root()
	if err != nil {
		return nil, Address{}, err
	}
	first := len(data) - len(r.data)
	for range head.n {
		from := len(data) - len(r.data)
		key, err := r.key()
		if err != nil {
			return nil, Address{}, err
		}
		if string(key) == ReservedKey {
			if to, err = r.address(); err != nil {
				return nil, Address{}, err
			}
			b := appendMap(make([]byte, 0, len(data)), head.n-1)
			b = append(b, data[first:from]...)
			return append(b, r.data...), to, nil
		}
		v, err := r.next()
		if err == nil {
			err = r.skip(v)
		}
		if err != nil {
			return nil, Address{}, err
		}
	}
	return data, Address{}, nil
}

// names reads the value of the reserved key. The names share one string.
func (r *reader) address() (Address, error) {
	before := r.data
	v, err := r.next()
	if err != nil {
		return Address{}, err
	}
	if v.kind == kindText {
		return Address{Names: []string{string(v.raw)}}, nil
	}
	if v.kind != kindList || v.n == 0 {
		return Address{}, errAddress
	}
	ends := make([]int, 2*v.n)
	for i := range v.n {
		t, err := r.next()
		if err != nil {
			return Address{}, err
		}
		if t.kind != kindText {
			return Address{}, errAddress
		}
		end := len(before) - len(r.data)
		ends[2*i], ends[2*i+1] = end-len(t.raw), end
	}
	all := string(before[:len(before)-len(r.data)])
	names := make([]string, v.n)
	for i := range names {
		names[i] = all[ends[2*i]:ends[2*i+1]]
	}
	return Address{names, true}, nil
}
