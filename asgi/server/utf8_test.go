package server

import (
	"testing"
	"unicode/utf8"
)

// checkPieces feeds b in pieces and reports whether it is text.
func checkPieces(b []byte, cut int) bool {
	var c textCheck
	for len(b) > 0 {
		n := min(max(cut, 1), len(b))
		if !c.write(b[:n]) {
			return false
		}
		b = b[n:]
	}
	return c.done()
}

// Each of these cannot become text whatever follows: the check fails at the last byte, not later.
func TestTextCheckIsEarly(t *testing.T) {
	for _, s := range []string{"\xff", "a\xc0", "\xc3a", "\xe0\x80", "\xed\xa0", "\xf0\x8f", "\xf4\x90", "\xf5", "日\x80", "\xf0\x9f\x9a\x20"} {
		for cut := 1; cut <= len(s); cut++ {
			var c textCheck
			ok := true
			for i := 0; i < len(s) && ok; i += cut {
				ok = c.write([]byte(s[i:min(i+cut, len(s))]))
			}
			if ok {
				t.Errorf("%q in pieces of %d: not noticed", s, cut)
			}
		}
		var c textCheck
		if !c.write([]byte(s[:len(s)-1])) {
			t.Errorf("%q: refused before its last byte", s)
		}
	}
}

func FuzzTextCheck(f *testing.F) {
	for _, s := range []string{"", "a", "é", "日本", "🚣🏽", "\xff", "a\xe2\x82", "\xed\xa0\x80"} {
		f.Add([]byte(s), 1)
		f.Add([]byte(s), 2)
	}
	f.Fuzz(func(t *testing.T, b []byte, cut int) {
		if got, want := checkPieces(b, cut), utf8.Valid(b); got != want {
			t.Errorf("%q in pieces of %d: %v, want %v", b, cut, got, want)
		}
	})
}
