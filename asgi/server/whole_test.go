package server

import (
	"bytes"
	"testing"
)

// What is taken is a message in one frame, all of it there; gorilla has the rest.
func TestWholeMessage(t *testing.T) {
	with := func(b []byte, more ...byte) []byte { return append(b, more...) }
	for _, tc := range []struct {
		name string
		b    []byte
		size int // of the frame; 0: not taken
	}{
		{"empty text", masked(0x81, 0), 6},
		{"text", masked(0x81, 125), 131},
		{"binary", masked(0x82, 5), 11},
		{"two bytes of length", masked(0x82, 126), 134},
		{"another one behind it", with(masked(0x81, 5), masked(0x82, 1)...), 11},
		{"eight bytes of length", masked(0x82, 1<<16), 0},
		{"one byte missing", masked(0x81, 5)[:10], 0},
		{"half a length", masked(0x82, 126)[:3], 0},
		{"half a key", masked(0x81, 0)[:5], 0},
		{"only the beginning", masked(0x81, 0)[:2], 0},
		{"a first fragment", masked(0x01, 5), 0},
		{"a continuation", masked(0x80, 5), 0},
		{"compressed", masked(0xC1, 5), 0},
		{"a reserved bit", masked(0xA1, 5), 0},
		{"a ping", masked(0x89, 5), 0},
		{"a close", masked(0x88, 2), 0},
		{"a reserved opcode", masked(0x83, 5), 0},
		{"no mask", []byte{0x81, 1, 'x', 0, 0, 0, 0}, 0},
		{"no mask, two bytes of length", append([]byte{0x81, 126, 0, 126}, make([]byte, 130)...), 0},
	} {
		w, ok := wholeMessage(tc.b)
		if ok != (tc.size > 0) || w.size != tc.size {
			t.Errorf("%s: taken %v, %d bytes, want %d", tc.name, ok, w.size, tc.size)
		}
		if want := bytes.Repeat([]byte{0xFF}, len(w.masked)); ok && (w.binary != (tc.b[0] == 0x82) || w.key != 0x04030201 || !bytes.Equal(w.masked, want)) {
			t.Errorf("%s: got %+v", tc.name, w)
		}
	}
}

func TestUnmask(t *testing.T) {
	key := []byte{1, 2, 3, 4}
	for n := range 40 {
		src, want := make([]byte, n), make([]byte, n)
		for i := range src {
			src[i] = byte(3*i) ^ key[i%4] // ASCII
			want[i] = src[i] ^ key[i%4]
		}
		got := make([]byte, n)
		ascii := unmask(got, src, 0x04030201)
		if !bytes.Equal(got, want) || !ascii {
			t.Errorf("%d bytes: got %x, ASCII %v, want %x", n, got, ascii, want)
		}
		for i := range src {
			src[i] ^= 0x80
			if unmask(got, src, 0x04030201) {
				t.Errorf("%d bytes, of which number %d is 0x%x: ASCII", n, i, got[i])
			}
			src[i] ^= 0x80
		}
	}
}
