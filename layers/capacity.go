package layers

import (
	"fmt"
	"regexp"
	"strings"
)

// Capacity is the capacity of the channels whose full name matches a pattern. Make it with [Glob] or [Regexp].
type Capacity struct {
	pattern string
	match   func(channel string) bool
	n       int
}

// Glob matches whole names by a shell pattern, as Channels does: "*" is any text, "?" any byte, "[ab]" and "[a-z]" one
// of a set, "[!ab]" one not in it; everything else is itself, upper and lower case differ. A "[" that is never closed
// is itself. n is the capacity, 0 the default; a negative n panics.
func Glob(pattern string, n int) Capacity {
	return capacity(pattern, globRegexp(pattern), n)
}

// Regexp matches names that re matches from their first byte on, wherever the match ends: "^a" and "a" are alike, and
// "a$" is needed to match "a" alone. n is the capacity, 0 the default; a negative n panics.
func Regexp(re *regexp.Regexp, n int) Capacity {
	if re == nil {
		panic("layers: Regexp(nil): compile a pattern with regexp.MustCompile")
	}
	return capacity(re.String(), regexp.MustCompile(`\A(?:`+re.String()+`)`), n)
}

func capacity(pattern string, re *regexp.Regexp, n int) Capacity {
	if n < 0 {
		panic(fmt.Sprintf("layers: capacity of pattern %q is %d: it must not be negative (0 means the default)", pattern, n))
	}
	return Capacity{pattern: pattern, match: re.MatchString, n: n}
}

// globRegexp turns a shell pattern into a regular expression with the same meaning.
func globRegexp(pattern string) *regexp.Regexp {
	var b strings.Builder
	b.WriteString(`(?s)\A`)
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; c {
		case '*':
			b.WriteString(".*")
		case '?':
			b.WriteString(".")
		case '[':
			set, n := globSet(pattern[i+1:])
			if n == 0 {
				b.WriteString(`\[`)
				continue
			}
			b.WriteString(set)
			i += n
		default:
			b.WriteString(regexp.QuoteMeta(string(rune(c))))
		}
	}
	b.WriteString(`\z`)
	return regexp.MustCompile(b.String())
}

// globSet reads a set after its "[" and returns it as a regular expression, and how many bytes it took; 0 when it is
// not closed. A "]" that comes first is a member.
func globSet(s string) (set string, n int) {
	body := strings.TrimPrefix(s, "!")
	negated := len(body) < len(s)
	end := -1
	if len(body) > 0 {
		end = strings.IndexByte(body[1:], ']')
	}
	if end < 0 {
		return "", 0
	}
	body = body[:end+1]
	n = len(body) + 1
	var b strings.Builder
	for i := 0; i < len(body); i++ {
		lo, hi := body[i], body[i]
		if i+2 < len(body) && body[i+1] == '-' {
			hi = body[i+2]
			i += 2
		}
		if lo <= hi { // an empty range has no members
			fmt.Fprintf(&b, `\x{%x}-\x{%x}`, lo, hi)
		}
	}
	if negated {
		n++
		if b.Len() == 0 {
			return ".", n
		}
		return "[^" + b.String() + "]", n
	}
	if b.Len() == 0 {
		return `[^\x{0}-\x{10ffff}]`, n
	}
	return "[" + b.String() + "]", n
}

// Capacity is how many unread messages a channel of this name holds: of the first pattern that matches, else the
// default. For a durable queue it is that of its declaration. It is 0 for a nil layer.
func (l *Layer) Capacity(channel string) int {
	if l == nil {
		return 0
	}
	if d, ok := l.opts.durable(channel); ok {
		return d.Capacity
	}
	for _, c := range l.opts.Capacities {
		if c.match(channel) {
			if c.n == 0 {
				break
			}
			return c.n
		}
	}
	return l.opts.Capacity
}
