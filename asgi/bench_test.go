package asgi_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/tideway-go/tideway/asgi"
)

// discard is a ResponseWriter that costs nothing.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}

// BenchmarkHandler is what an App costs beside a handler of net/http, without a connection.
func BenchmarkHandler(b *testing.B) {
	hello := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "hello") })
	for name, h := range map[string]http.Handler{
		"net/http": hello,
		"app": asgi.Handler{App: app(func(ctx context.Context, c conn) error {
			if _, err := c.receive(ctx); err != nil {
				return err
			}
			return c.respond(ctx, 200, nil, "hello")
		})},
		"both adapters": asgi.Handler{App: asgi.FromHandler(hello)},
	} {
		b.Run(name, func(b *testing.B) {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			r := httptest.NewRequestWithContext(ctx, "GET", "/", nil)
			b.ReportAllocs()
			for b.Loop() {
				h.ServeHTTP(discard{http.Header{}}, r)
			}
		})
	}
}
