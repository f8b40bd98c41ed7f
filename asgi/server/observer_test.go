package server

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// observeAll feeds b to an observer in pieces that end at the given cuts.
func observeAll(b []byte, cut int) error {
	var o observer
	for len(b) > 0 {
		n := min(max(cut, 1), len(b))
		if k, err := o.observe(b[:n]); err != nil || k != n {
			return err
		}
		b = b[n:]
	}
	return nil
}

// masked makes the bytes of a client's frame.
func masked(first byte, size int) []byte {
	b := appendHeader(nil, 0, size)
	b[0] = first
	b[1] |= bitMask
	return append(append(b, 1, 2, 3, 4), bytes.Repeat([]byte{0xFF}, size)...)
}

// However the bytes are cut, the observer finds the same: frames are followed and payload is not taken for headers.
func TestObserver(t *testing.T) {
	for _, tc := range []struct {
		name   string
		frames [][]byte
		want   error
	}{
		{"nothing wrong", [][]byte{masked(0x81, 0), masked(0x82, 125), masked(0xC1, 126), masked(0x01, 70000), masked(0x80, 3), masked(0x89, 125), masked(0x88, 2)}, nil},
		{"RSV1 on a continuation", [][]byte{masked(0x41, 300), masked(0xC0, 1)}, errReservedBit},
		{"RSV1 on a ping", [][]byte{masked(0x81, 66000), masked(0xC9, 1)}, errReservedBit},
		{"close without a code", [][]byte{masked(0x81, 7), masked(0x88, 0)}, nil},
		{"close with half a code", [][]byte{masked(0x81, 7), masked(0x88, 1)}, errHalfCode},
		{"unmasked, then RSV1 on a pong", [][]byte{{0x81, 2, 0xCA, 0xCA}, masked(0xCA, 0)}, errReservedBit},
		{"125 bytes in two", [][]byte{masked(0x81, 126), {0x81, 0xFE, 0, 125}}, errLongLength},
		{"65535 bytes in eight", [][]byte{masked(0x81, 65536), {0x81, 0xFF, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF}}, errLongLength},
		{"2^63 bytes", [][]byte{binary.BigEndian.AppendUint64([]byte{0x82, 0xFF}, 1<<63), bytes.Repeat([]byte{0xC9, 0x81}, 100)}, nil},
	} {
		all := bytes.Join(tc.frames, nil)
		for _, cut := range []int{1, 2, 3, 5, 7, 512, len(all)} {
			if err := observeAll(all, cut); err != tc.want {
				t.Errorf("%s, cut at %d: got %v, want %v", tc.name, cut, err, tc.want)
			}
		}
	}
}

// What comes before the violation may be read: it is handed on, and no more than the header of the offender with it.
func TestObserverHandsOnWhatIsGood(t *testing.T) {
	good := masked(0x81, 5)
	var o observer
	n, err := o.observe(append(good, masked(0xC9, 0)...))
	if n != len(good) || err != errReservedBit {
		t.Errorf("got %d, %v; want %d, %v", n, err, len(good), errReservedBit)
	}
	o = observer{}
	if n, err := o.observe(append(good, 0x82, 0xFE, 0, 1)); n != len(good) || err != errLongLength {
		t.Errorf("got %d, %v; want %d, %v", n, err, len(good), errLongLength)
	}
}

func FuzzObserver(f *testing.F) {
	f.Add(masked(0x81, 5), 3)
	f.Add(masked(0xC9, 5), 1)
	f.Add([]byte{0x82, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0, 1}, 2)
	f.Fuzz(func(t *testing.T, b []byte, cut int) {
		whole, pieces := observeAll(b, len(b)), observeAll(b, cut)
		if whole != pieces {
			t.Errorf("whole: %v, in pieces of %d: %v", whole, cut, pieces)
		}
	})
}
