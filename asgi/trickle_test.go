package asgi_test

import (
	"context"
	"io"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/tideway-go/tideway/asgi"
)

// A client that claims a long body and sends a byte at a time must not make each byte cost a large buffer.
func TestTrickledBody(t *testing.T) {
	const parts = 1000
	r := httptest.NewRequest("POST", "/", io.NopCloser(iotest.OneByteReader(strings.NewReader(strings.Repeat("x", parts)))))
	r.ContentLength = 1 << 20
	var before, after runtime.MemStats
	got := 0
	runtime.ReadMemStats(&before)
	asgi.Handler{App: asgi.AppFunc(func(ctx context.Context, _ *asgi.Scope, receive asgi.Receive, _ asgi.Send) error {
		for {
			event, err := receive(ctx)
			e, ok := event.(asgi.HTTPRequest)
			if err != nil || !ok {
				return err
			}
			if got += len(e.Body); !e.MoreBody {
				return nil
			}
		}
	})}.ServeHTTP(httptest.NewRecorder(), r)
	runtime.ReadMemStats(&after)
	if got != parts {
		t.Fatalf("received %d bytes, want %d", got, parts)
	}
	if each := (after.TotalAlloc - before.TotalAlloc) / parts; each > 8<<10 {
		t.Errorf("each byte took %d bytes of memory", each)
	}
}
