package consumers_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/consumers"
)

// TestHTTPEvents: files and trailers that SendEvent sends go on with a response, and the last of them completes it: no later,
// no earlier.
func TestHTTPEvents(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("0123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	start, trailing := asgi.HTTPResponseStart{Status: 200}, asgi.HTTPResponseStart{Status: 200, Trailers: true}
	trailer := asgi.HTTPResponseTrailers{Header: http.Header{"X-Sum": {"1"}}}
	more := asgi.HTTPResponseTrailers{Header: http.Header{"X-More": {"2"}}, MoreTrailers: true}
	for name, tc := range map[string]struct {
		events []asgi.Event
		body   string
	}{
		"path":               {[]asgi.Event{start, asgi.HTTPResponsePathSend{Path: path}}, "0123456789"},
		"path and trailers":  {[]asgi.Event{trailing, asgi.HTTPResponsePathSend{Path: path}, trailer}, "0123456789"},
		"file in two parts":  {[]asgi.Event{start, asgi.HTTPResponseZeroCopySend{File: file, Offset: 2, Count: 3, MoreBody: true}, asgi.HTTPResponseZeroCopySend{File: file, Offset: 7, Count: 2}}, "23478"},
		"file, then a part":  {[]asgi.Event{start, asgi.HTTPResponseZeroCopySend{File: file, Offset: 0, Count: 1, MoreBody: true}, asgi.HTTPResponseBody{Body: []byte("x")}}, "0x"},
		"file and trailers":  {[]asgi.Event{trailing, asgi.HTTPResponseZeroCopySend{File: file, Offset: 0, Count: 1}, trailer}, "0"},
		"trailers in two":    {[]asgi.Event{trailing, asgi.HTTPResponseBody{Body: []byte("x")}, more, trailer}, "x"},
		"body with trailers": {[]asgi.Event{trailing, asgi.HTTPResponseBody{Body: []byte("x"), MoreBody: true}, asgi.HTTPResponseBody{}, trailer}, "x"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, later := range []bool{false, true} { // all by Handle, or each by a handler of its own
				synctest.Test(t, func(t *testing.T) {
					table := request{Handle: func(_ *none, ctx context.Context, c *consumers.Conn, _ []byte) error {
						if later {
							return c.GroupAdd(ctx, "room")
						}
						for _, ev := range tc.events {
							if err := c.SendEvent(ctx, ev); err != nil {
								return err
							}
						}
						return nil
					}}
					if later {
						table.Messages = []consumers.Handler[none]{consumers.On(noted, func(_ *none, ctx context.Context, c *consumers.Conn, v note) error {
							return c.SendEvent(ctx, tc.events[v.N])
						})}
					}
					site, layer := site(t, table.App())
					x := site.Stream("GET", "/")
					for i := range tc.events {
						if synctest.Wait(); later {
							toRoom(t, layer, noted.With(note{N: i}))
						}
					}
					r := x.Response()
					if string(r.Body) != tc.body {
						t.Errorf("the body is %q, want %q", r.Body, tc.body)
					}
					last, ok := tc.events[len(tc.events)-1].(asgi.HTTPResponseTrailers)
					if ok && r.Trailers.Get("X-Sum") != last.Header.Get("X-Sum") {
						t.Errorf("the trailers are %v", r.Trailers)
					}
					if err := x.Wait(); err != nil { // where Handle is not known to have answered
						t.Error(err)
					}
				})
			}
		})
	}
}
