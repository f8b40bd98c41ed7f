package server

import (
	"encoding/binary"
	"unicode/utf8"

	"github.com/tideway-go/tideway/asgi"
)

// Nearly every message of a chat is one frame that a single Read brings: final, masked, not compressed. Such a frame is taken
// here out of the buffer that gorilla reads from, between two of gorilla's messages. Whatever else comes is gorilla's: control
// frames, fragments, compressed messages, those that the buffer does not hold yet, and every violation. Where compression was
// negotiated everything is: gorilla ends a compressed message with its deflate stream, so what is next in the buffer may be the
// rest of a frame, which the client may have made to look like another.

// takeWhole takes the next frame, whose beginning is in the buffer, if it is a whole message. Then an error is that of its text.
func (c *conn) takeWhole() (f asgi.Frame, ok bool, err error) {
	if c.deflate {
		return f, false, nil
	}
	buffered, _ := c.in.Peek(c.in.Buffered())
	w, ok := wholeMessage(buffered)
	if limit := c.srv.opts.MaxMessage; !ok || limit > 0 && len(w.masked) > limit {
		return f, false, nil
	}
	f = asgi.Frame{Binary: w.binary, Data: make([]byte, len(w.masked))}
	ascii := unmask(f.Data, w.masked, w.key)
	c.in.Discard(w.size)
	if !f.Binary && !ascii && !utf8.Valid(f.Data) {
		return f, true, errNotText
	}
	return f, true, nil
}

// whole is a message in one frame (RFC 6455 section 5.2).
type whole struct {
	binary bool
	key    uint32 // little endian
	masked []byte // payload
	size   int    // of the frame
}

// wholeMessage finds such a message at the beginning of b, two bytes or more.
func wholeMessage(b []byte) (w whole, ok bool) {
	if b[0] != bitFin|opText && b[0] != bitFin|opBinary || b[1]&bitMask == 0 {
		return whole{}, false
	}
	head, n := 6, int(b[1]&^bitMask)
	switch {
	case n == 127, n == 126 && len(b) < 4:
		return whole{}, false
	case n == 126:
		head, n = 8, int(binary.BigEndian.Uint16(b[2:]))
	}
	if len(b) < head+n {
		return whole{}, false
	}
	return whole{b[0] == bitFin|opBinary, binary.LittleEndian.Uint32(b[head-4:]), b[head : head+n], head + n}, true
}

// unmask undoes the masking of src (RFC 6455 section 5.3) into dst, which is as long. It reports whether the bytes are ASCII,
// as those of most texts are: that needs no look at them of its own.
func unmask(dst, src []byte, key uint32) (ascii bool) {
	wide, all := uint64(key)<<32|uint64(key), uint64(0)
	for len(src) >= 8 {
		v := binary.LittleEndian.Uint64(src) ^ wide
		binary.LittleEndian.PutUint64(dst, v)
		all |= v
		dst, src = dst[8:], src[8:]
	}
	for i, b := range src {
		dst[i] = b ^ byte(key>>(8*i%32))
		all |= uint64(dst[i])
	}
	return all&0x8080_8080_8080_8080 == 0
}
