package asgi_test

import (
	"bufio"
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/tideway-go/tideway/asgi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// app is an AppFunc without the arguments that a test does not need.
func app(f func(ctx context.Context, c conn) error) asgi.App {
	return asgi.AppFunc(func(ctx context.Context, s *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		return f(ctx, conn{s, receive, send})
	})
}

type conn struct {
	scope   *asgi.Scope
	receive asgi.Receive
	send    asgi.Send
}

// respond sends a response in as many parts as there are.
func (c conn) respond(ctx context.Context, status int, header http.Header, parts ...string) error {
	if err := c.send(ctx, asgi.HTTPResponseStart{Status: status, Header: header}); err != nil {
		return err
	}
	for i, part := range parts {
		more := i < len(parts)-1
		if err := c.send(ctx, asgi.HTTPResponseBody{Body: []byte(part), MoreBody: more}); err != nil {
			return err
		}
	}
	return nil
}

// serve starts a server for h and returns its URL and a client of its own.
func serve(t *testing.T, h http.Handler) (url string, client *http.Client) {
	t.Helper()
	server := httptest.NewUnstartedServer(h)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // net/http's remarks on handlers that are compared with ours
	server.Start()
	t.Cleanup(server.Close)
	return server.URL, server.Client()
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatalf("body: %v", err)
	}
	return string(b)
}

func TestHandlerEchoesABody(t *testing.T) {
	url, client := serve(t, asgi.Handler{App: app(func(ctx context.Context, c conn) error {
		var whole []byte
		for {
			event, err := c.receive(ctx)
			if err != nil {
				return err
			}
			part, ok := event.(asgi.HTTPRequest)
			if !ok {
				return asgi.ErrClosed
			}
			whole = append(whole, part.Body...)
			if !part.MoreBody {
				break
			}
		}
		return c.respond(ctx, 200, nil, string(whole))
	})})
	for _, size := range []int{0, 1, 4096, 64 << 10, 64<<10 + 1, 1 << 20} {
		want := strings.Repeat("x", size)
		r, err := client.Post(url, "text/plain", strings.NewReader(want))
		if err != nil {
			t.Fatal(err)
		}
		if got := body(t, r); got != want || r.ContentLength != int64(size) {
			t.Errorf("%d bytes: got %d back, Content-Length %d", size, len(got), r.ContentLength)
		}
	}
}

// raw sends bytes to a server and reads one response. The connection stays open until the test ends.
func raw(t *testing.T, server *httptest.Server, request string) *http.Response {
	t.Helper()
	c := dial(t, server)
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// dial opens a connection to a server that ends with the test.
func dial(t *testing.T, server *httptest.Server) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.(*net.TCPConn)
}
