package server

import (
	"net/http"
	"testing"

	"github.com/tideway-go/tideway/asgi/internal/origin"
)

func TestOrigins(t *testing.T) {
	for _, tc := range []struct {
		name    string
		list    []string
		host    string
		origin  []string // header values
		allowed bool
	}{
		{"no browser", nil, "a.example", nil, true},
		{"same host", nil, "a.example", []string{"https://a.example"}, true},
		{"same host, other case", nil, "A.example", []string{"https://a.EXAMPLE"}, true},
		{"same host and port", nil, "a.example:8000", []string{"http://a.example:8000"}, true},
		{"the scheme's port, named", nil, "a.example:443", []string{"https://a.example"}, true},
		{"the scheme's port, named in the origin", nil, "a.example", []string{"https://a.example:443"}, true},
		{"IPv6", nil, "[::1]:8000", []string{"http://[::1]:8000"}, true},
		{"IPv6 without a port", nil, "[::1]", []string{"http://[::1]"}, true},
		{"other port", nil, "a.example:8000", []string{"http://a.example:8001"}, false},
		{"other port than the scheme's", nil, "a.example", []string{"http://a.example:8001"}, false},
		{"subdomain", nil, "a.example", []string{"http://b.a.example"}, false},
		{"null", nil, "a.example", []string{"null"}, false},
		{"null, any", []string{"*"}, "a.example", []string{"null"}, true},
		{"empty", nil, "a.example", []string{""}, false},
		{"two", nil, "a.example", []string{"http://a.example", "http://a.example"}, false},
		{"bad port", nil, "a.example", []string{"http://a.example:x"}, false},
		{"with a path", nil, "a.example", []string{"http://a.example/"}, false},
		{"with a user", nil, "a.example", []string{"http://a.example@b.example"}, false},
		{"a path in both", nil, "a.example/x", []string{"http://a.example/x"}, false},
		{"no host in both", nil, "", []string{"http://"}, false},
		{"no scheme", nil, "a.example", []string{"a.example"}, false},
		{"listed host", []string{"b.example"}, "a.example", []string{"http://b.example:99"}, true},
		{"listed host and port", []string{"b.example:99"}, "a.example", []string{"http://b.example:99"}, true},
		{"listed host, other port", []string{"b.example:99"}, "a.example", []string{"http://b.example"}, false},
		{"listed origin", []string{"https://b.example"}, "a.example", []string{"https://b.example:443"}, true},
		{"listed origin, other scheme", []string{"https://b.example"}, "a.example", []string{"http://b.example:443"}, false},
		{"listed domain", []string{".b.example"}, "a.example", []string{"http://c.b.example:99"}, true},
		{"listed domain, another that ends so", []string{".b.example"}, "a.example", []string{"http://cb.example"}, false},
		{"listed origin with a port", []string{"https://b.example:8443"}, "a.example", []string{"https://b.example:8443"}, true},
	} {
		o := parseOrigins(tc.list)
		r := &http.Request{Host: tc.host, Header: http.Header{}}
		if tc.origin != nil {
			r.Header["Origin"] = tc.origin
		}
		if got := o.allow(r); got != tc.allowed {
			t.Errorf("%s: allowed %v, want %v", tc.name, got, tc.allowed)
		}
	}
}

func FuzzOrigin(f *testing.F) {
	for _, s := range []string{"https://a.example:1", "null", "", "://", "http://[::1]:80", "a b", "*"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var o origins
		r := &http.Request{Host: "a.example", Header: http.Header{"Origin": {s}}}
		if from, err := origin.Parse(s); o.allow(r) && (err != nil || from.Host != "a.example") {
			t.Errorf("%q is taken for the host's own origin", s)
		}
	})
}
