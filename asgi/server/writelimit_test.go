package server_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
)

const getRequest = "GET /page HTTP/1.1\r\nHost: example.org\r\n\r\n"

// An HTTP client that reads nothing is cut when one piece of the response has taken 10 s, in whatever way the application
// sends (S2, S6).
func TestHTTPWriteLimit(t *testing.T) {
	big := bytes.Repeat([]byte("tideway "), 1<<15)
	path := filepath.Join(t.TempDir(), "page")
	if err := os.WriteFile(path, big, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, event := range map[string]asgi.Event{
		"body":            asgi.HTTPResponseBody{Body: big},
		"small body":      asgi.HTTPResponseBody{Body: []byte("x")},
		"part":            asgi.HTTPResponseBody{Body: big, MoreBody: true},
		"pathsend":        asgi.HTTPResponsePathSend{Path: path},
		"early hint":      asgi.HTTPResponseEarlyHint{Links: []string{"</a>; rel=preload"}},
		"zerocopysend":    asgi.HTTPResponseZeroCopySend{Offset: -1},
		"zerocopysend at": asgi.HTTPResponseZeroCopySend{Offset: 1},
	} {
		t.Run(name, func(t *testing.T) {
			cutAfterLimit(t, true, func(ctx context.Context, _ *asgi.Scope, _ asgi.Receive, send asgi.Send) error {
				if e, ok := event.(asgi.HTTPResponseZeroCopySend); ok {
					file, err := os.Open(path)
					if err != nil {
						return err
					}
					defer file.Close()
					e.File = file
					event = e
				}
				send(ctx, asgi.HTTPResponseStart{Status: 200})
				return send(context.WithoutCancel(ctx), event)
			})
		})
	}
	t.Run("pipe", func(t *testing.T) {
		cutAfterLimit(t, true, func(ctx context.Context, _ *asgi.Scope, _ asgi.Receive, send asgi.Send) error {
			r, w, err := os.Pipe()
			if err != nil {
				return err
			}
			defer r.Close()
			w.Write([]byte("x"))
			w.Close()
			send(ctx, asgi.HTTPResponseStart{Status: 200})
			return send(ctx, asgi.HTTPResponseZeroCopySend{File: r, Offset: -1})
		})
	})
	t.Run("FromHandler", func(t *testing.T) {
		cutAfterLimit(t, true, asgi.FromHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(big) })).Serve)
	})
	t.Run("Deny", func(t *testing.T) {
		cutAfterLimit(t, false, func(context.Context, *asgi.Scope, asgi.Receive, asgi.Send) error { return asgi.Deny{Body: big} })
	})
	t.Run("Deny without a body", func(t *testing.T) {
		cutAfterLimit(t, false, func(context.Context, *asgi.Scope, asgi.Receive, asgi.Send) error { return asgi.Deny{} })
	})
}

// cutAfterLimit serves one request of a client that reads nothing. sends says that act waits for the client, and must hear
// of the end.
func cutAfterLimit(t *testing.T, sends bool, act asgi.AppFunc) {
	synctest.Test(t, func(t *testing.T) {
		returned := make(chan error, 1)
		var cause error
		s := variant{}.mountPipes(t, asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
			err := act(ctx, scope, receive, send)
			cause = context.Cause(ctx)
			returned <- err
			return err
		}), server.Options{})
		p, start := s.peer(), time.Now()
		io.WriteString(p, getRequest)
		if err := <-returned; sends {
			var end asgi.DisconnectError
			if !errors.Is(err, asgi.ErrClosed) || !errors.As(cause, &end) || end.By != asgi.ByServer {
				t.Errorf("S7: send returned %v, and the cause is %v", err, cause)
			}
			if err := takes(start, 10*time.Second); err != nil {
				t.Error("S2: a write may take 10 s: ", err)
			}
		}
		<-time.After(time.Hour - time.Since(start))
		if _, err := io.ReadAll(p); err != nil {
			t.Errorf("S6: after an hour the connection is not closed: %v", err)
		}
		lines := s.logs.All()
		if len(lines) != 1 || !strings.Contains(lines[0].ContextMap()["reason"].(string), "does not read: a write took longer than 10s") {
			t.Errorf("the log says %v", lines)
		}
	})
}

// The limit is for each piece, not for a response, and the time in which the application thinks does not count: neither
// before its response nor between two parts, nor while the file that it sends has nothing to read.
func TestHTTPWriteLimitIsPerPiece(t *testing.T) {
	const piece = 64 << 10
	file := filepath.Join(t.TempDir(), "page")
	if err := os.WriteFile(file, make([]byte, 4*piece), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, send := range map[string]func(context.Context, asgi.Send) error{
		"body": func(ctx context.Context, send asgi.Send) error {
			return send(ctx, asgi.HTTPResponseBody{Body: make([]byte, 4*piece)})
		},
		"file": func(ctx context.Context, send asgi.Send) error {
			return send(ctx, asgi.HTTPResponsePathSend{Path: file})
		},
		"parts": func(ctx context.Context, send asgi.Send) error {
			for i := range 4 {
				<-time.After(time.Minute)
				if err := send(ctx, asgi.HTTPResponseBody{Body: make([]byte, piece), MoreBody: i < 3}); err != nil {
					return err
				}
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := variant{}.serve(t, asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, sendEvent asgi.Send) error {
					if scope.Type() != asgi.HTTP {
						return errors.ErrUnsupported
					}
					<-time.After(time.Minute)
					if err := sendEvent(ctx, asgi.HTTPResponseStart{Status: 200}); err != nil {
						return err
					}
					return send(ctx, sendEvent)
				}), server.Options{})
				p := s.peer()
				p.SetDeadline(time.Time{})
				for range 2 { // also on a connection that has been used before, and has been idle
					io.WriteString(p, getRequest)
					resp, err := http.ReadResponse(p.br, nil)
					if err != nil {
						t.Fatal(err)
					}
					for got := 0; got < 4*piece; got += piece {
						<-time.After(9 * time.Second)
						if _, err := io.CopyN(io.Discard, resp.Body, piece); err != nil {
							t.Fatalf("after %d bytes: %v", got, err)
						}
					}
					io.Copy(io.Discard, resp.Body)
					<-time.After(time.Minute)
				}
				p.Close()
				if got := s.warnings(); len(got) != 0 {
					t.Errorf("the log says %q", got)
				}
			})
		})
	}
}

// What net/http writes by itself, the end of a response in chunks and its own refusals, is bounded where this server runs it.
func TestNetHTTPWriteLimit(t *testing.T) {
	for name, request := range map[string]string{"end of chunks": getRequest, "refusal": "nonsense\r\n\r\n"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := variant{}.serve(t, asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
					if scope.Type() != asgi.HTTP {
						return errors.ErrUnsupported
					}
					<-time.After(time.Minute)
					if err := send(ctx, asgi.HTTPResponseStart{Status: 200}); err != nil {
						return err
					}
					send(ctx, asgi.HTTPResponseBody{Body: []byte("part"), MoreBody: true})
					return send(ctx, asgi.HTTPResponseBody{})
				}), server.Options{})
				p := s.peer()
				io.WriteString(p, request)
				if request == getRequest {
					for got := ""; !strings.Contains(got, "part\r\n"); {
						b, err := p.br.ReadByte()
						if err != nil {
							t.Fatal(err)
						}
						got += string(b)
					}
				}
				<-time.After(11 * time.Second)
				if rest, err := io.ReadAll(p.br); err != nil || len(rest) != 0 {
					t.Errorf("S6: never a hang: after 11 s the client can still read %q, %v", rest, err)
				}
			})
		})
	}
}

// No deadline stays behind what was written in time: a client that leaves a minute later is no slow one, and a client that
// waits to be asked for its body is asked.
func TestWriteLimitEndsWithTheWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cause := make(chan error, 1)
		s := variant{}.serve(t, asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
			if scope.Type() != asgi.HTTP {
				return errors.ErrUnsupported
			}
			<-time.After(time.Minute)
			if e, err := receive(ctx); err != nil || string(e.(asgi.HTTPRequest).Body) != "hi" {
				t.Errorf("received %v, %v", e, err)
			}
			send(ctx, asgi.HTTPResponseStart{Status: 200})
			send(ctx, asgi.HTTPResponseBody{Body: []byte("part"), MoreBody: true})
			<-ctx.Done()
			cause <- context.Cause(ctx)
			return nil
		}), server.Options{})
		p := s.peer()
		io.WriteString(p, "POST / HTTP/1.1\r\nHost: example.org\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
		for _, status := range []int{100, 200} {
			resp, err := http.ReadResponse(p.br, nil)
			if err != nil || resp.StatusCode != status {
				t.Fatalf("got %v, %v; want %d", resp, err, status)
			}
			if status == 100 {
				io.WriteString(p, "hi")
			} else {
				io.ReadFull(resp.Body, make([]byte, 4))
			}
		}
		<-time.After(time.Minute)
		p.Close()
		if end, _ := (<-cause).(asgi.DisconnectError); end.By != asgi.ByClient {
			t.Errorf("the cause is %v, want the client", end)
		}
	})
}
