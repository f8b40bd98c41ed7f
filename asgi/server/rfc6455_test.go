package server_test

import (
	"compress/flate"
	"encoding/binary"
	"io"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tideway-go/tideway/asgi"
)

// fuzzLimit is the size of the largest message here.
const fuzzLimit = 1000

// A reading is what a stream of frames says.
type reading struct {
	messages []asgi.Frame
	pings    []string
	code     int   // of the close frame that answers; 1006: none, the connection is lost
	or       []int // codes that are as right, where it depends on how the bytes arrive what is noticed first
	stricter bool  // gorilla does not look for it
	ended    bool
	noise    int // frames that bring no message

	deflate           bool
	rest              []byte
	open, packed, bin bool   // a message is under way
	data              []byte // of that message, as on the wire
	announced         uint64 // by its headers
	unclear           bool   // its deflate stream says that it ends before the message does
}

// read reads a stream to its end.
func read(stream []byte, deflate bool) *reading {
	r := &reading{deflate: deflate, rest: stream}
	for !r.ended {
		r.frame()
	}
	if r.packed { // what was wrong with it may have been noticed earlier
		r.or = append(r.or, 1007, 1009)
		_, left, _ := unpack(r.data)
		r.unclear = r.unclear || left > 0
	}
	return r
}

func (r *reading) end(code int, stricter bool, or ...int) {
	r.code, r.stricter, r.or, r.ended = code, stricter, or, true
}

// take takes the next n bytes, or ends the stream.
func (r *reading) take(n int) []byte {
	if len(r.rest) < n {
		r.end(1006, false)
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reading) frame() {
	head := r.take(2)
	if head == nil {
		return
	}
	opcode, last, control := head[0]&0xF, head[0]&fin != 0, head[0]&8 != 0
	size := uint64(head[1] & 0x7F)
	if control || size == 0 && !last {
		r.noise++
	}
	switch {
	case head[0]&rsv1 != 0 && (control || opcode == cont || !r.deflate), opcode == closing && size == 1:
		r.end(1002, true)
	case head[0]&(rsv2|rsv3) != 0, opcode > bin && opcode < closing, opcode > pong, head[1]&0x80 == 0,
		control && (size > 125 || !last), !control && (opcode == cont) != r.open:
		r.end(1002, false)
	default:
		if size = r.length(size); r.ended {
			return
		}
		if control {
			r.control(opcode, int(size))
			return
		}
		r.fragment(head[0], size, last)
	}
}

// length reads the longer forms of a length.
func (r *reading) length(size uint64) uint64 {
	shortest, bytes := uint64(0), 0
	switch size {
	case 126:
		shortest, bytes = 126, 2
	case 127:
		shortest, bytes = 1<<16, 8
	}
	b := r.take(bytes)
	if r.ended {
		return 0
	}
	if bytes > 0 {
		size = binary.BigEndian.Uint64(append(make([]byte, 8-bytes), b...))
	}
	switch {
	case size < shortest:
		r.end(1002, true)
	case size > math.MaxInt64:
		r.end(1009, false)
	}
	return size
}

// payload takes a key and as much of the payload as there is.
func (r *reading) payload(key []byte, size uint64) []byte {
	there := int(min(size, uint64(len(r.rest))))
	b := slices.Clone(r.rest[:there])
	for i := range b {
		b[i] ^= key[i&3]
	}
	r.rest = r.rest[there:]
	return b
}

func (r *reading) control(opcode byte, size int) {
	b := r.take(4 + size)
	if r.ended {
		return
	}
	body := (&reading{rest: b[4:]}).payload(b, uint64(size))
	switch {
	case opcode == ping:
		r.pings = append(r.pings, string(body))
	case opcode == pong:
	case size == 0:
		r.end(1005, false)
	default:
		switch code := int(binary.BigEndian.Uint16(body)); {
		case !(code >= 1000 && code <= 1003 || code >= 1007 && code <= 1013 || code >= 3000 && code <= 4999):
			r.end(1002, false)
		case !utf8.Valid(body[2:]):
			r.end(1007, true)
		default:
			r.end(code, false)
		}
	}
}

// fragment reads a data frame.
func (r *reading) fragment(first byte, size uint64, last bool) {
	key := r.take(4)
	if r.ended {
		return
	}
	if first&0xF != cont {
		r.open, r.packed, r.bin, r.data, r.announced = true, first&rsv1 != 0, first&0xF == bin, nil, 0
	}
	wire := uint64(fuzzLimit)
	if r.deflate {
		wire += fuzzLimit/64 + 64
	}
	if r.announced += size; r.announced > wire {
		r.end(1009, false)
		return
	}
	before := len(r.rest)
	r.data = append(r.data, r.payload(key, size)...)
	complete := uint64(before-len(r.rest)) == size
	if !r.packed {
		r.judge(r.data, last && complete)
	}
	if !r.ended && !complete {
		r.end(1006, false)
	}
	if r.ended || !last {
		return
	}
	if r.packed {
		text, _, err := unpack(r.data)
		if r.judge(text, true); err != nil {
			r.or = append(r.or, r.code)
			r.end(1007, true, r.or...)
		}
	}
	if !r.ended {
		r.messages = append(r.messages, asgi.Frame{Binary: r.bin, Data: r.dataOf()})
	}
	r.open, r.packed = false, false
}

func (r *reading) dataOf() []byte {
	if r.packed {
		text, _, _ := unpack(r.data)
		return text
	}
	return r.data
}

// judge ends a message whose text is none, or which is too long.
func (r *reading) judge(text []byte, whole bool) {
	bad, long := !r.bin && !isText(text, whole), len(text) > fuzzLimit
	switch {
	case bad && long:
		r.end(1007, true, 1009)
	case bad:
		r.end(1007, true)
	case long:
		r.end(1009, true)
	}
}

// isText reports whether b is UTF-8, or its beginning.
func isText(b []byte, whole bool) bool {
	for len(b) > 0 {
		c, n := utf8.DecodeRune(b)
		if c == utf8.RuneError && n == 1 {
			return !whole && !utf8.FullRune(b)
		}
		b = b[n:]
	}
	return true
}

// unpack inflates a message, up to a byte more than it may have. left is not 0 if its
// deflate stream has a last block, behind which something stands.
func unpack(b []byte) (text []byte, left int, err error) {
	const tail = "\x00\x00\xff\xff\x01\x00\x00\xff\xff"
	in := strings.NewReader(string(b) + tail)
	text, err = io.ReadAll(io.LimitReader(flate.NewReader(in), fuzzLimit+1))
	if err != nil || len(text) > fuzzLimit {
		return text, 0, err
	}
	return text, in.Len(), nil
}
