package origin_test

import (
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/tideway-go/tideway/asgi/internal/origin"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestParse(t *testing.T) {
	for in, want := range map[string]string{
		"https://Example.ORG":     "https example.org 443",
		"HTTP://a:8000":           "http a 8000",
		"ws://a":                  "ws a 80",
		"wss://a":                 "wss a 443",
		"moz-extension://a-b":     "moz-extension a-b ",
		"http://[::1]:1":          "http ::1 1",
		"http://a:65535":          "http a 65535",
		"null":                    "the scheme is missing",
		"":                        "the scheme is missing",
		"a.example":               "the scheme is missing",
		"://a":                    "the scheme is missing",
		"file://":                 "the host is empty",
		"http://:80":              "the host is empty",
		"http://a:0":              "the port",
		"http://a:65536":          "the port",
		"http://a:":               "the port",
		"http://a:x":              "invalid port",
		"http://a/":               "has only",
		"http://a?q":              "has only",
		"http://a#f":              "has only",
		"http://u@a":              "has only",
		"http://u@a.example@evil": "has only",
		"http://a b":              "invalid character",
		"http://[::1":             "missing",
	} {
		o, err := origin.Parse(in)
		got := o.Scheme + " " + o.Host + " " + o.Port
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, want) {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
	}
}

// A pattern that is accepted matches an origin that can be made of it, and one that is refused says what to write.
func FuzzParseList(f *testing.F) {
	for _, s := range []string{"*", "a", ".a", "a:1", "http://a", "https://.a:1", "[::1]", "::1", "null", "*.a", "//a", "http://*", "a.", "..a", "é"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		l, err := origin.ParseList([]string{s})
		if err != nil {
			if !strings.Contains(err.Error(), "write ") && !strings.Contains(err.Error(), `"*"`) {
				t.Errorf("%q gives %q, which does not say what to write", s, err)
			}
			return
		}
		scheme, rest, found := strings.Cut(s, "://")
		if !found {
			scheme, rest = "http", s
		}
		rest = strings.TrimPrefix(rest, ".")
		if s == "*" {
			rest = "a"
		}
		for _, candidate := range []string{scheme + "://" + rest, scheme + "://[" + rest + "]"} {
			if o, err := origin.Parse(candidate); err == nil && l.Match(o) {
				return
			}
		}
		if !strings.Contains(s, ":") || !strings.Contains(s, "[") && strings.Count(s, ":") < 2 {
			t.Errorf("%q was accepted and matches nothing", s)
		}
	})
}
