package payload

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"unicode/utf8"
)

// kind is what a msgpack value is.
type kind byte

const (
	kindNil kind = iota
	kindBool
	kindInt  // in token.num, as int64
	kindUint // in token.num, above the range of int64
	kindFloat
	kindText
	kindBytes
	kindList // token.n elements follow
	kindMap  // token.n pairs follow
)

var kindNames = [...]string{"nil", "bool", "integer", "integer", "float", "text", "bytes", "list", "map"}

func (k kind) String() string { return kindNames[k] }

// token is one value, or the head of a list or map.
type token struct {
	kind kind
	num  uint64 // integers, floats (bits), bools (0 or 1)
	n    int
	raw  []byte // text and bytes: part of the input
}

func (t token) float() float64 { return math.Float64frombits(t.num) }

var (
	errTruncated = errors.New("message is cut short")
	errUTF8      = errors.New("text is not valid UTF-8")
	errDepth     = fmt.Errorf("nested deeper than %d levels", MaxDepth)
)

// reader takes tokens off a message.
type reader struct {
	data  []byte // what is left
	depth int
}

// enter is called before the elements of a list or map, and leave after them.
func (r *reader) enter() error {
	if r.depth++; r.depth > MaxDepth {
		return errDepth
	}
	return nil
}

func (r *reader) leave() { r.depth-- }

// next reads one token. The length of what it announces is never more than the input has bytes for.
func (r *reader) next() (token, error) {
	if len(r.data) == 0 {
		return token{}, errTruncated
	}
	c := r.data[0]
	r.data = r.data[1:]
	switch {
	case c <= maxFixInt:
		return token{kind: kindInt, num: uint64(c)}, nil
	case c >= negativeFixInt:
		return token{kind: kindInt, num: uint64(int64(int8(c)))}, nil
	case c < fixArray:
		return r.container(kindMap, uint64(c&0x0f))
	case c < fixStr:
		return r.container(kindList, uint64(c&0x0f))
	case c < codeNil:
		return r.text(uint64(c & 0x1f))
	}
	switch c {
	case codeNil:
		return token{kind: kindNil}, nil
	case codeFalse, codeTrue:
		return token{kind: kindBool, num: uint64(c & 1)}, nil
	case float32Code, float64Code, uint8Code, uint16Code, uint32Code, uint64Code, int8Code, int16Code, int32Code, int64Code:
		return r.number(c)
	}
	size, ok := lengthSize[c]
	if !ok {
		return token{}, fmt.Errorf("0x%02x is an extension type or no msgpack", c)
	}
	n, err := r.uint(size)
	if err != nil {
		return token{}, err
	}
	switch c {
	case bin8, bin16, bin32:
		raw, err := r.take(n)
		return token{kind: kindBytes, raw: raw}, err
	case str8, str16, str32:
		return r.text(n)
	case array16, array32:
		return r.container(kindList, n)
	default:
		return r.container(kindMap, n)
	}
}

// lengthSize is how many bytes of length follow a code.
var lengthSize = map[byte]int{
	bin8: 1, bin16: 2, bin32: 4, str8: 1, str16: 2, str32: 4, array16: 2, array32: 4, map16: 2, map32: 4,
}

// number reads what follows the code of a number.
func (r *reader) number(c byte) (token, error) {
	size := 1 << (c & 3) // 1, 2, 4, 8 for the integers
	if c == float32Code {
		size = 4
	} else if c == float64Code {
		size = 8
	}
	v, err := r.uint(size)
	if err != nil {
		return token{}, err
	}
	switch c {
	case float32Code:
		return token{kind: kindFloat, num: math.Float64bits(float64(math.Float32frombits(uint32(v))))}, nil
	case float64Code:
		return token{kind: kindFloat, num: v}, nil
	case int8Code:
		v = uint64(int64(int8(v)))
	case int16Code:
		v = uint64(int64(int16(v)))
	case int32Code:
		v = uint64(int64(int32(v)))
	case uint64Code:
		if v > maxInt64AsUint {
			return token{kind: kindUint, num: v}, nil
		}
	}
	return token{kind: kindInt, num: v}, nil
}

// uint reads a big-endian number of 1, 2, 4 or 8 bytes.
func (r *reader) uint(size int) (uint64, error) {
	b, err := r.take(uint64(size))
	if err != nil {
		return 0, err
	}
	var whole [8]byte
	copy(whole[8-size:], b)
	return binary.BigEndian.Uint64(whole[:]), nil
}

func (r *reader) take(n uint64) ([]byte, error) {
	if n > uint64(len(r.data)) {
		return nil, errTruncated
	}
	b := r.data[:n:n]
	r.data = r.data[n:]
	return b, nil
}

func (r *reader) text(n uint64) (token, error) {
	raw, err := r.take(n)
	if err == nil && !utf8.Valid(raw) {
		err = errUTF8
	}
	return token{kind: kindText, raw: raw}, err
}

func (r *reader) container(k kind, n uint64) (token, error) {
	need := n // each element has at least one byte
	if k == kindMap {
		need = 2 * n
	}
	if need > uint64(len(r.data)) {
		return token{}, errTruncated
	}
	return token{kind: k, n: int(n)}, nil
}

// key reads the key of a pair.
func (r *reader) key() ([]byte, error) {
	t, err := r.next()
	if err != nil {
		return nil, err
	}
	if t.kind != kindText {
		return nil, fmt.Errorf("a key is %s: keys must be text", t.kind)
	}
	return t.raw, nil
}

// skip passes over the rest of the value that t begins.
func (r *reader) skip(t token) error {
	if t.kind != kindList && t.kind != kindMap {
		return nil
	}
	if err := r.enter(); err != nil {
		return err
	}
	for range t.n {
		if t.kind == kindMap {
			if _, err := r.key(); err != nil {
				return err
			}
		}
		v, err := r.next()
		if err == nil {
			err = r.skip(v)
		}
		if err != nil {
			return err
		}
	}
	r.leave()
	return nil
}
