package accesslog_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/middleware/accesslog"
)

// TestBodyThatNobodyCanRead: the line has the status that the client gets, whatever the app makes of Receive's error. So nobody
// can make failures in the log by sending rubbish.
func TestBodyThatNobodyCanRead(t *testing.T) {
	own := errors.New("broken")
	for name, tc := range map[string]struct {
		body   string
		result func(error) error
		want   int
		starts bool // before it reads
	}{
		"the app returns the error":  {"zz\r\n", func(err error) error { return err }, 400, false},
		"it returns one around it":   {"zz\r\n", func(err error) error { return fmt.Errorf("upload: %w", err) }, 400, false},
		"it returns nothing":         {"zz\r\n", func(error) error { return nil }, 400, false},
		"it returns ErrClosed":       {"zz\r\n", func(error) error { return asgi.ErrClosed }, 400, false},
		"it fails by itself":         {"zz\r\n", func(error) error { return own }, 500, false},
		"a negative length":          {"-1\r\n", func(err error) error { return err }, 400, false},
		"data after too short chunk": {"1\r\nabc\r\n", func(error) error { return nil }, 400, false},
		"the response has a start":   {"zz\r\n", func(err error) error { return err }, 400, true},
		"it has, and the app fails":  {"zz\r\n", func(error) error { return own }, 500, true},
	} {
		t.Run(name, func(t *testing.T) {
			logger, lines := observed()
			app := accesslog.New(&accesslog.Options{Logger: logger})(asgi.AppFunc(func(ctx context.Context, _ *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
				if tc.starts {
					if err := send(ctx, asgi.HTTPResponseStart{Status: 200}); err != nil {
						return err
					}
				}
				for {
					if _, err := receive(ctx); err != nil {
						return tc.result(err)
					}
				}
			}))
			s := httptest.NewServer(asgi.Handler{App: app})
			c, err := net.Dial("tcp", s.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"+tc.body)
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			c.Close()
			s.Close()
			if err != nil || resp.StatusCode != tc.want {
				t.Fatalf("the client got %v, %v, want %d", resp, err, tc.want)
			}
			if all := lines.All(); len(all) != 1 || all[0].ContextMap()["status"] != int64(tc.want) {
				t.Errorf("the log has %v, want one line with %d", all, tc.want)
			}
		})
	}
}
