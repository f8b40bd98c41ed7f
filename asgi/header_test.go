package asgi_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tideway-go/tideway/asgi"
)

// FuzzHeader: what an application may send reaches the client as it is, and everything else is refused; nothing is
// mended, nothing is smuggled.
func FuzzHeader(f *testing.F) {
	for _, seed := range [][2]string{{"A", "b"}, {"a b", ""}, {"X", "1\r\nY: 2"}, {"content-length", "3"}, {"É", "é"}, {"X", "\t a"}, {"", ""}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, name, value string) {
		w := httptest.NewRecorder()
		var refused error
		asgi.Handler{App: app(func(ctx context.Context, c conn) error {
			refused = c.send(ctx, asgi.HTTPResponseStart{Status: 200, Header: http.Header{name: {value}}})
			return c.respond(ctx, 200, nil, "")
		})}.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
		fine := name != "" && !strings.ContainsFunc(name, func(r rune) bool {
			return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
		}) && !strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
		switch canonical := http.CanonicalHeaderKey(name); {
		case canonical == "Content-Length":
		case fine != (refused == nil):
			t.Errorf("%q: %q: %v", name, value, refused)
		}
	})
}
