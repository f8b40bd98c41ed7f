package natslayer

import (
	"fmt"
	"strings"

	"github.com/tideway-go/tideway/layers/driver"
)

// subjects are the names of one layer's subjects. The package comment is their specification.
type subjects struct {
	prefix  string // one token
	process string // as driver.Namer drew it, one token as it is

	groups   string // before a group's token
	channels string // before an own channel's token
	mark     string
	flushing string
}

func newSubjects(prefix, process string) *subjects {
	return &subjects{
		prefix:   prefix,
		process:  process,
		groups:   prefix + ".group.",
		channels: prefix + ".channel." + process + ".",
		mark:     prefix + ".mark." + process,
		flushing: prefix + ".flush",
	}
}

// group is the subject of a group's messages.
func (s *subjects) group(name string) string { return s.groups + token(name) }

// groupOf is the group of a subject that group returned.
func (s *subjects) groupOf(subject string) string {
	name, _ := untoken(subject[len(s.groups):])
	return name
}

// channel is the subject of a process-local channel's messages. ok is false for a name that no process has made.
func (s *subjects) channel(name string) (subject string, ok bool) {
	process, ok := driver.Owner(name)
	_, id, _ := strings.Cut(name, "!")
	if !ok || process == "" || id == "" {
		return "", false
	}
	return s.prefix + ".channel." + token(process) + "." + token(id), true
}

// channelOf is the own channel of a subject below channels.
func (s *subjects) channelOf(subject string) string {
	id, _ := untoken(subject[len(s.channels):])
	return "specific." + s.process + "!" + id
}

// ownChannels matches the subjects of all channels of this process.
func (s *subjects) ownChannels() string { return s.channels + "*" }

// control is the subject on which a process answers requests.
func (s *subjects) control(process string) string { return s.prefix + ".control." + token(process) }

// marks is the subject on which this process sends marks to itself.
func (s *subjects) marks() string { return s.mark }

// flush is the subject on which every process is asked to flush.
func (s *subjects) flush() string { return s.flushing }

// checkPrefix panics unless a prefix is one subject token that can also be a part of a stream's name.
func checkPrefix(prefix string) {
	for i := range len(prefix) {
		if c := prefix[i]; !plain(c) || c == '!' {
			panic(fmt.Sprintf("natslayer: Options.Prefix is %q: it may have ASCII letters, digits, '-' and '_' only", prefix))
		}
	}
	if len(prefix) > maxPrefix {
		panic(fmt.Sprintf("natslayer: Options.Prefix has %d bytes: it may have %d", len(prefix), maxPrefix))
	}
}

const maxPrefix = 32

// plain says which bytes stand for themselves in a token.
func plain(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '!'
}

// token writes a name as one token of a subject: a dot as "~", and every byte that no name can have as "=" and two
// hexadecimal digits. A valid name keeps its length, so tokens fit wherever names do. The empty name is "=".
func token(name string) string {
	if name == "" {
		return "="
	}
	i := 0
	for i < len(name) && plain(name[i]) {
		i++
	}
	if i == len(name) {
		return name
	}
	var b strings.Builder
	b.Grow(len(name))
	b.WriteString(name[:i])
	for ; i < len(name); i++ {
		switch c := name[i]; {
		case plain(c):
			b.WriteByte(c)
		case c == '.':
			b.WriteByte('~')
		default:
			b.WriteByte('=')
			b.WriteByte(hexDigits[c>>4])
			b.WriteByte(hexDigits[c&15])
		}
	}
	return b.String()
}

const hexDigits = "0123456789ABCDEF"

// untoken is the name that token wrote so; ok is false for what it never writes.
func untoken(tok string) (name string, ok bool) {
	if tok == "=" {
		return "", true
	}
	i := 0
	for i < len(tok) && plain(tok[i]) {
		i++
	}
	if i == len(tok) {
		return tok, tok != ""
	}
	var b strings.Builder
	b.Grow(len(tok))
	b.WriteString(tok[:i])
	for ; i < len(tok); i++ {
		switch c := tok[i]; {
		case plain(c):
			b.WriteByte(c)
		case c == '~':
			b.WriteByte('.')
		case c == '=' && i+2 < len(tok):
			hi, lo := strings.IndexByte(hexDigits, tok[i+1]), strings.IndexByte(hexDigits, tok[i+2])
			x := byte(hi<<4 | lo)
			if hi < 0 || lo < 0 || plain(x) || x == '.' {
				return "", false
			}
			b.WriteByte(x)
			i += 2
		default:
			return "", false
		}
	}
	return b.String(), true
}
