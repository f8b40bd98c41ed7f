package middleware_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/middleware"
	"github.com/tideway-go/tideway/testing/asgitest"
)

func TestOrigin(t *testing.T) {
	list := func(patterns ...string) []string { return patterns }
	none := []string(nil)
	for _, tc := range []struct {
		name     string
		patterns []string
		origin   []string // header values
		allowed  bool
	}{
		{"case 136: the host", list("allowed-domain.com"), list("http://allowed-domain.com"), true},
		{"case 136: another host", list("allowed-domain.com"), list("http://bad-domain.com"), false},
		{"case 136: a subdomain is another host", list("allowed-domain.com"), list("http://www.allowed-domain.com"), false},
		{"case 137: a subdomain", list(".allowed-domain.com"), list("http://www.allowed-domain.com"), true},
		{"case 137: deeper", list(".allowed-domain.com"), list("http://a.b.allowed-domain.com"), true},
		{"case 137: the domain itself", list(".allowed-domain.com"), list("http://allowed-domain.com"), true},
		{"case 137: a name that ends so", list(".allowed-domain.com"), list("http://not-allowed-domain.com"), false},
		{"case 138: the scheme's port", list("http://allowed-domain.com"), list("http://allowed-domain.com"), true},
		{"case 138: https and another host", list("http://allowed-domain.com"), list("https://bad-domain.com"), false},
		{"case 138: https", list("http://allowed-domain.com"), list("https://allowed-domain.com"), false},
		{"case 139: * without an origin", list("*"), none, true},
		{"case 139: nothing allowed, no origin", none, none, false},
		{"case 139: nothing allowed, an origin", none, list("http://a.com"), false},
		{"a list without *, no origin", list("a.com"), none, false},
		{"case 140: an empty origin", list(".allowed-domain.com"), list(""), false},
		{"case 140: invalid", list(".allowed-domain.com"), list("something-invalid"), false},
		{"case 140: a file", list(".allowed-domain.com"), list("file://"), false},
		{"case 141: any port", list("a.com"), list("http://a.com:9999"), true},
		{"case 141: any scheme", list("a.com"), list("moz-extension://a.com"), true},
		{"case 141: default port of http named", list("http://a.com"), list("http://a.com:80"), true},
		{"case 141: default port of https named", list("https://a.com:443"), list("https://a.com"), true},
		{"case 141: default port of ws", list("ws://a.com:80"), list("ws://a.com"), true},
		{"case 141: default port of wss", list("wss://a.com"), list("wss://a.com:443"), true},
		{"case 141: another port", list("http://a.com"), list("http://a.com:81"), false},
		{"case 141: a scheme without ports", list("app://a.com"), list("app://a.com"), true},
		{"case 142: case of the origin", list("a.com"), list("HTTP://A.COM"), true},
		{"case 142: case of the pattern", list("HTTP://A.com"), list("http://a.com"), true},
		{"case 142: null", list("a.com"), list("null"), false},
		{"case 142: null and *", list("*"), list("null"), true},
		{"case 142: IPv6 with brackets", list("[::1]"), list("http://[::1]:8000"), true},
		{"case 142: IPv6 without", list("::1"), list("http://[::1]:8000"), true},
		{"IPv6 as nobody writes it", list("0:0::1"), list("http://[::1]"), true},
		{"IPv6 with a port", list("[::1]:8000"), list("http://[::1]:8000"), true},
		{"IPv6, another", list("::1"), list("http://[::2]"), false},
		{"case 143: host and port", list("a.com:9999"), list("http://a.com:9999"), true},
		{"case 143: another port", list("a.com:9999"), list("http://a.com:9998"), false},
		{"case 143: no port", list("a.com:9999"), list("http://a.com"), false},
		{"case 144: a port that is no number", list("http://a.com"), list("http://a.com:x"), false},
		{"case 144: such a port, a pattern for any", list("a.com"), list("http://a.com:x"), false},
		{"case 144: a port too large", list("a.com"), list("http://a.com:99999"), false},
		{"case 144: an empty port", list("a.com"), list("http://a.com:"), false},
		{"case 144: two origins", list("a.com"), list("http://a.com", "http://a.com"), false},
		{"a user before the host", list("a.com"), list("http://a.com@b.com"), false},
		{"a path", list("a.com"), list("http://a.com/"), false},
		{"the second pattern", list("a.com", "b.com"), list("http://b.com"), true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			started := false
			app := middleware.Origin(tc.patterns...)(page(func(*asgi.Scope) error { started = true; return nil }))
			site := asgitest.New(t, app).With(&asgitest.Options{Header: http.Header{"Origin": tc.origin}})
			if tc.allowed {
				site.Dial("/").Disconnect()
			} else if r := site.Refused("/"); r.Status != 403 || started || len(r.Body) == 0 { // case 147
				t.Errorf("refused with %v, app started: %v; want 403 without the app", r, started)
			}
		})
	}
}

// The error of a refusal says what to change, for the log.
func TestOriginSaysWhy(t *testing.T) {
	for want, origins := range map[string][]string{
		"no Origin header":              nil,
		"2 Origin headers":              {"http://a.com", "http://a.com"},
		`"http://b.com" is not on the`:  {"http://b.com"},
		`"null": the scheme is missing`: {"null"},
	} {
		site := asgitest.New(t, middleware.Origin("a.com")(page(nil))).With(&asgitest.Options{Header: http.Header{"Origin": origins}})
		if r := site.Refused("/"); !strings.Contains(fmt.Sprint(r.Err), want) {
			t.Errorf("origins %q: got %v, want %q", origins, r.Err, want)
		}
	}
}

// Case 145. HTTP requests pass, with and without an Origin.
func TestOriginLeavesRequestsAlone(t *testing.T) {
	site := asgitest.New(t, middleware.Origin("a.com")(page(nil)))
	if r := site.With(&asgitest.Options{Header: http.Header{"Origin": {"http://b.com"}}}).Request("POST", "/"); r.Status != 200 {
		t.Errorf("got %d", r.Status)
	}
}

// Case 137. "*.domain" never matches, so it is refused at start; so is what else could never match.
func TestBadPatternsPanic(t *testing.T) {
	for pattern, want := range map[string]string{
		"*.allowed-domain.com": `write ".allowed-domain.com"`,
		"http://*":             `"*" alone`,
		"//a.com":              "has only",
		"null":                 `write "*"`,
		"":                     "the host is empty",
		".":                    "the host is empty",
		"..a.com":              "no name",
		"://a.com":             "the scheme is empty",
		"a.com:x":              "invalid port",
		"a.com:0":              "the port",
		"http://a.com/":        "has only",
		"bücher.example":       "xn--",
	} {
		panicsWith(t, "asgi/middleware: Origin: ", want, func() { middleware.Origin(pattern) })
		panicsWith(t, "asgi/middleware: Host: ", want, func() { middleware.Host(pattern) })
	}
	panicsWith(t, "asgi/middleware: Host: ", `the scheme "https"`, func() { middleware.Host("a.com", "https://b.com") })
}

func panicsWith(t *testing.T, prefix, want string, f func()) {
	t.Helper()
	defer func() {
		t.Helper()
		if got := fmt.Sprint(recover()); !strings.HasPrefix(got, prefix) || !strings.Contains(got, want) {
			t.Errorf("panicked with %q, want %q and %q in it", got, prefix, want)
		}
	}()
	f()
}
