package server

import "errors"

// An observer follows the frames that a client sends, header by header, and finds what gorilla does not look for:
//
//   - RSV1 on a control frame or on a continuation, once compression was negotiated (RFC 7692 section 6.1);
//   - a close frame with a payload of one byte, which is half a code (RFC 6455 section 5.5.1);
//   - a length in more bytes than it needs (RFC 6455 section 5.2).
//
// It counts frames that bring no message, too. All else is left to gorilla, which reads the same bytes afterwards. The zero observer stands before the first frame.
type observer struct {
	skip   uint64 // bytes of payload, and of masking key, still to come
	head   [2]byte
	have   uint8 // header bytes seen
	length uint8 // bytes of extended length still to come

	noise  uint8  // frames that bring no message: control frames and empty fragments
	slowed uint8  // seconds in a row that had too many of them
	since  uint16 // second in which noise was 0; its lower half
}

var (
	errReservedBit = errors.New("RSV1 set on a control frame or a continuation")
	errHalfCode    = errors.New("close frame with half a code")
	errLongLength  = errors.New("frame length in more bytes than it needs")
)

// observe looks at the next bytes. On a violation it returns how many bytes come before the offending frame's end of
// header, which may still be read.
func (o *observer) observe(p []byte) (int, error) {
	for i := 0; i < len(p); {
		switch {
		case o.have < 2:
			o.head[o.have] = p[i]
			o.have++
			i++
			if o.have == 2 {
				if err := o.begin(); err != nil {
					return max(i-2, 0), err
				}
			}
		case o.length > 0:
			o.skip = o.skip<<8 | uint64(p[i])
			o.length--
			i++
			if o.length == 0 {
				if before := o.tooLong(); before > 0 {
					return max(i-before, 0), errLongLength
				}
				o.addMask()
			}
		case o.skip > 0:
			n := min(o.skip, uint64(len(p)-i))
			o.skip -= n
			i += int(n)
		}
		if o.have == 2 && o.length == 0 && o.skip == 0 {
			*o = observer{noise: o.noise, slowed: o.slowed, since: o.since}
		}
	}
	return len(p), nil
}

// begin reads the two bytes that every frame starts with.
func (o *observer) begin() error {
	opcode, size := o.head[0]&0x0F, o.head[1]&0x7F
	if o.head[0]&bitRSV1 != 0 && (opcode >= opClose || opcode == opContinuation) {
		return errReservedBit
	}
	if opcode == opClose && size == 1 {
		return errHalfCode
	}
	if (opcode >= opClose || size == 0 && o.head[0]&bitFin == 0) && o.noise <= maxNoise {
		o.noise++
	}
	switch size {
	case 126:
		o.length = 2
	case 127:
		o.length = 8
	default:
		o.skip = uint64(size)
		o.addMask()
	}
	return nil
}

// tooLong returns the size of a header whose length should have been shorter, or 0.
func (o *observer) tooLong() int {
	switch size := o.head[1] & 0x7F; {
	case size == 126 && o.skip < 126:
		return 4
	case size == 127 && o.skip < 1<<16:
		return 10
	}
	return 0
}

// addMask counts the masking key as if it were payload. A length beyond 2^63 is refused by gorilla before its payload.
func (o *observer) addMask() {
	if o.head[1]&bitMask != 0 && o.skip <= 1<<63 {
		o.skip += 4
	}
}
