package layers_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/memlayer"
)

// Case 60.
func TestCapacityPatterns(t *testing.T) {
	l := memlayer.New(&layers.Options{Capacity: 5, Capacities: []layers.Capacity{
		layers.Glob("http.response!*", 10),
		layers.Regexp(regexp.MustCompile(`^websocket.send!.+`), 20),
		layers.Glob("tiny", 1),
		layers.Glob("t*", 2),
		layers.Glob("zero*", 0),
		layers.Glob("z*", 7),
		layers.Regexp(regexp.MustCompile(`mid`), 8),
	}})
	for channel, want := range map[string]int{
		"http.response!abc": 10, "websocket.send!x": 20, "websocket.send!": 5, "tiny": 1, "tinyx": 2, "TINY": 5,
		"zero": 5, "zeros": 5, "zed": 7, "middle": 8, "a.mid": 5,
	} {
		if got := l.Capacity(channel); got != want {
			t.Errorf("L5, case 60: Capacity(%q) = %d, want %d", channel, got, want)
		}
	}
	// Case 67: 0 is the default.
	if got := memlayer.New(nil).Capacity("x"); got != layers.DefaultCapacity {
		t.Errorf("L5, case 67: default capacity %d, want 100", got)
	}
}

var globs = []struct {
	pattern, name string
	want          bool
}{
	{"a*c", "abc", true}, {"a*c", "ac", true}, {"a*c", "abd", false}, {"*", "", true}, {"?", "", false}, {"?", "x", true},
	{"a.c", "abc", false}, {"a.c", "a.c", true}, {"[ab]x", "bx", true}, {"[!ab]x", "bx", false}, {"[!ab]x", "cx", true},
	{"[a-c]", "b", true}, {"[a-c]", "d", false}, {"[c-a]", "b", false}, {"[!c-a]", "b", true}, {"[]]", "]", true}, {"[!]]", "]", false},
	{"[!]", "[!]", true}, {"[a", "[a", true}, {"[^a]", "^", true}, {"[^a]", "b", false}, {"[a-]", "-", true}, {"[-a]", "-", true},
	{`\*`, `\x`, true}, {"a|b", "a", false}, {"(a)", "a", false}, {"A", "a", false}, {"[[]", "[", true}, {`[\d]`, "d", true}, {`[\d]`, "5", false},
	{"[]", "[]", true}, {"*!*", "a!b", true}, {"[a-c-e]", "-", true}, {"[a-c-e]", "d", false},
}

func TestGlob(t *testing.T) {
	for _, test := range globs {
		if got := matches(test.pattern, test.name); got != test.want {
			t.Errorf("Glob(%q) matches %q: %v, want %v", test.pattern, test.name, got, test.want)
		}
	}
}

func matches(pattern, name string) bool {
	return memlayer.New(&layers.Options{Capacities: []layers.Capacity{layers.Glob(pattern, 7)}}).Capacity(name) == 7
}

// FuzzGlob compares with a matcher that is written the other way round.
func FuzzGlob(f *testing.F) {
	for _, g := range globs {
		f.Add(g.pattern, g.name)
	}
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if len(pattern) > 12 || len(name) > 12 || !ascii(pattern) || !ascii(name) {
			return
		}
		if got, want := matches(pattern, name), globModel(pattern, name); got != want {
			t.Errorf("Glob(%q) matches %q: %v, want %v", pattern, name, got, want)
		}
	})
}

func ascii(s string) bool { return strings.IndexFunc(s, func(r rune) bool { return r > 126 }) < 0 }

func globModel(p, s string) bool {
	if p == "" {
		return s == ""
	}
	if p[0] == '*' {
		return globModel(p[1:], s) || s != "" && globModel(p, s[1:])
	}
	if s == "" {
		return false
	}
	if p[0] == '?' {
		return globModel(p[1:], s[1:])
	}
	if p[0] == '[' {
		set := p[1:]
		not := strings.HasPrefix(set, "!")
		set = strings.TrimPrefix(set, "!")
		if end := strings.IndexByte(set[min(1, len(set)):], ']') + 1; end > 0 {
			return inSet(set[:end], s[0]) != not && globModel(set[end+1:], s[1:])
		}
	}
	return p[0] == s[0] && globModel(p[1:], s[1:])
}

func inSet(set string, c byte) bool {
	for set != "" {
		if len(set) > 2 && set[1] == '-' {
			if set[0] <= c && c <= set[2] {
				return true
			}
			set = set[3:]
			continue
		}
		if set[0] == c {
			return true
		}
		set = set[1:]
	}
	return false
}

// Case 85: what is wrong with a configuration shows where it is made.
func TestOptionsThatCannotWork(t *testing.T) {
	for _, test := range []struct {
		name, want string
		f          func()
	}{
		{"case 67: capacity", "Options.Capacity is -1", func() { memlayer.New(&layers.Options{Capacity: -1}) }},
		{"expiry", "Options.Expiry is -1000000000", func() { memlayer.New(&layers.Options{Expiry: -time.Second}) }},
		{"expiry without a unit", "Options.Expiry is 60ns: did you mean 60*time.Second?", func() { memlayer.New(&layers.Options{Expiry: 60}) }},
		{"age without a unit", "Options.Durables[0].MaxAge is 7ns: did you mean 7*time.Second?", func() {
			memlayer.New(&layers.Options{Durables: []layers.Durable{{Queues: "jobs", MaxAge: 7}}})
		}},
		{"size", "Options.MaxMessageSize is -5", func() { memlayer.New(&layers.Options{MaxMessageSize: -5}) }},
		{"glob", `pattern "a*" is -2`, func() { layers.Glob("a*", -2) }},
		{"regexp", `pattern "a" is -2`, func() { layers.Regexp(regexp.MustCompile("a"), -2) }},
		{"nil regexp", "regexp.MustCompile", func() { layers.Regexp(nil, 2) }},
		{"empty Capacity", "layers.Glob or layers.Regexp", func() { memlayer.New(&layers.Options{Capacities: make([]layers.Capacity, 1)}) }},
		{"nil driver", "memlayer.New(nil)", func() { layers.New(nil, nil) }},
	} {
		t.Run(test.name, func(t *testing.T) { mustPanic(t, test.want, test.f) })
	}
}

func mustPanic(t *testing.T, want string, f func()) {
	t.Helper()
	defer func() {
		t.Helper()
		if v := recover(); v == nil {
			t.Errorf("no panic, want one with %q", want)
		} else if s, _ := v.(string); !strings.Contains(s, want) {
			t.Errorf("panic %v, want one with %q", v, want)
		}
	}()
	f()
}
