package server

import "unicode/utf8"

// A textCheck checks text that comes in pieces: it fails at the first byte that no continuation could make right
// (RFC 6455 section 8.1), and not only at the end of the message.
type textCheck struct {
	tail [utf8.UTFMax]byte // the beginning of a character whose end has not come yet
	n    int
}

// write checks the next piece.
func (t *textCheck) write(p []byte) bool {
	for t.n > 0 && len(p) > 0 {
		t.tail[t.n] = p[0]
		t.n++
		p = p[1:]
		if utf8.FullRune(t.tail[:t.n]) {
			if r, size := utf8.DecodeRune(t.tail[:t.n]); r == utf8.RuneError && size <= 1 {
				return false
			}
			t.n = 0
		}
	}
	if len(p) == 0 {
		return true
	}
	cut := completeLen(p)
	if !utf8.Valid(p[:cut]) {
		return false
	}
	t.n = copy(t.tail[:], p[cut:])
	return true
}

// done reports whether the text ended with a whole character.
func (t *textCheck) done() bool { return t.n == 0 }

// completeLen is the length of p without an unfinished character at its end.
func completeLen(p []byte) int {
	for i := len(p) - 1; i >= 0 && i >= len(p)-utf8.UTFMax+1; i-- {
		if utf8.RuneStart(p[i]) {
			if !utf8.FullRune(p[i:]) {
				return i
			}
			break
		}
	}
	return len(p)
}
