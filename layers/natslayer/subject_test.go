package natslayer

import (
	"strings"
	"testing"
)

// FuzzToken demands that any name becomes one token, and comes back.
func FuzzToken(f *testing.F) {
	for _, s := range []string{"", "a", "chat.lobby", ".", "..", ".a", "a.", "a..b", "*", ">", "a.*", "a>b", "a b", "~", "=", "=2E",
		"specific.abc!1", "$SYS.x", "ä", "\x00", "\xff", strings.Repeat(".", 99), strings.Repeat("a", 99)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		tok := token(name)
		if tok == "" || strings.ContainsAny(tok, ".*> \t\r\n\x00$/\\") {
			t.Fatalf("%q became %q, which is no single token", name, tok)
		}
		for i := range len(tok) {
			if tok[i] <= ' ' || tok[i] > '~' {
				t.Fatalf("%q became %q, which has a byte that is not printable ASCII", name, tok)
			}
		}
		if back, ok := untoken(tok); !ok || back != name {
			t.Fatalf("%q became %q, and that %q, %v", name, tok, back, ok)
		}
	})
}

// FuzzUntoken demands that only one token stands for a name: whoever escapes otherwise is not understood.
func FuzzUntoken(f *testing.F) {
	for _, s := range []string{"", "=", "~", "a~b", "=2E", "=2e", "=41", "=7E", "=3D", "=FF", "==", "=4", "a.b", "*"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, tok string) {
		if name, ok := untoken(tok); ok && token(name) != tok {
			t.Fatalf("%q was read as %q, which is written %q", tok, name, token(name))
		}
	})
}

// Names that are valid keep their length, so that they fit wherever a name fits.
func TestTokens(t *testing.T) {
	for name, want := range map[string]string{
		"chat.lobby":              "chat~lobby",
		"a_b-C9":                  "a_b-C9",
		"..":                      "~~",
		"":                        "=",
		"a*b>c":                   "a=2Ab=3Ec",
		"~":                       "=7E",
		strings.Repeat("a.", 49):  strings.Repeat("a~", 49),
		strings.Repeat(".", 99):   strings.Repeat("~", 99),
		"specific.process!1z.9_-": "specific~process!1z~9_-",
	} {
		if got := token(name); got != want {
			t.Errorf("token(%q) = %q, want %q", name, got, want)
		}
	}
	if n := testing.AllocsPerRun(100, func() { token("lobby"); _, _ = untoken("lobby") }); n != 0 {
		t.Errorf("a plain name costs %v allocations", n)
	}
}

func TestSubjects(t *testing.T) {
	s := newSubjects("tideway", "abc")
	for _, test := range []struct{ got, want string }{
		{s.group("chat.lobby"), "tideway.group.chat~lobby"},
		{s.groupOf("tideway.group.chat~lobby"), "chat.lobby"},
		{s.ownChannels(), "tideway.channel.abc.*"},
		{s.channelOf("tideway.channel.abc.1z"), "specific.abc!1z"},
		{s.channelOf("tideway.channel.abc.a~b"), "specific.abc!a.b"},
		{s.control("abc"), "tideway.control.abc"},
		{s.control("a.b"), "tideway.control.a~b"},
		{s.flush(), "tideway.flush"},
		{s.marks(), "tideway.mark.abc"},
	} {
		if test.got != test.want {
			t.Errorf("got %q, want %q", test.got, test.want)
		}
	}
	for name, want := range map[string]string{
		"specific.abc!1z":  "tideway.channel.abc.1z",
		"specific.a.b!c.d": "tideway.channel.a~b.c~d",
		"specific.abc!":    "",
		"specific.!1":      "",
		"other.abc!1":      "",
		"jobs":             "",
	} {
		if got, ok := s.channel(name); got != want || ok != (want != "") {
			t.Errorf("channel(%q) = %q, %v; want %q", name, got, ok, want)
		}
	}
}

// Leading, trailing and double dots, and 99 bytes, are names like others on a real broker.
func TestOddNames(t *testing.T) {
	b := newBroker(t)
	p, q := b.process(nil), b.process(nil)
	for _, group := range []string{".", "..", ".a", "a.", "a..b", "-", strings.Repeat(".", 99), strings.Repeat("x", 99)} {
		in, out := p.channel(), p.channel()
		p.join(group, in)
		p.join("a.b", out)
		q.groupSend(group, "hello")
		p.want(in, "hello")
		p.empty(q, out)
	}
}

func TestPrefix(t *testing.T) {
	for _, bad := range []string{"a.b", "a b", "*", ">", "é", strings.Repeat("x", 33), "a!", "~"} {
		func() {
			defer func() {
				if v := recover(); v == nil || !strings.Contains(v.(string), "Options.Prefix") {
					t.Errorf("prefix %q: panic %v", bad, v)
				}
			}()
			(&Options{Prefix: bad}).withDefaults()
		}()
	}
}
