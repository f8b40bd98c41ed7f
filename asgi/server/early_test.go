package server_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
)

// A client that sends no body before it has seen a response is answered all the same, and without the time that it takes.
func TestResponseBeforeTheBody(t *testing.T) {
	for name, respond := range map[string]func(context.Context, asgi.Send) error{
		"parts": func(ctx context.Context, send asgi.Send) error {
			send(ctx, asgi.HTTPResponseStart{Status: 403})
			send(ctx, asgi.HTTPResponseBody{Body: []byte("n"), MoreBody: true})
			return send(ctx, asgi.HTTPResponseBody{Body: []byte("o")})
		},
		"whole": func(ctx context.Context, send asgi.Send) error {
			send(ctx, asgi.HTTPResponseStart{Status: 403})
			return send(ctx, asgi.HTTPResponseBody{Body: []byte("no")})
		},
		"Deny": func(context.Context, asgi.Send) error { return asgi.Deny{Body: []byte("no")} },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := variant{}.mountPipes(t, asgi.AppFunc(func(ctx context.Context, _ *asgi.Scope, _ asgi.Receive, send asgi.Send) error {
					return respond(ctx, send)
				}), server.Options{})
				p, start := s.peer(), time.Now()
				io.WriteString(p, "POST / HTTP/1.1\r\nHost: example.org\r\nContent-Length: 5\r\n\r\n")
				resp, err := http.ReadResponse(p.br, nil)
				if err != nil || resp.StatusCode != 403 {
					t.Fatalf("got %v, %v; want 403", resp, err)
				}
				first := make([]byte, 1)
				if _, err := io.ReadFull(resp.Body, first); err != nil || first[0] != 'n' {
					t.Errorf("got %q, %v", first, err)
				}
				if err := takes(start, 0); err != nil {
					t.Error(err)
				}
				p.Close()
			})
		})
	}
}

// A connection that is cut is reset: the kernel keeps nothing for a peer that does not read.
func TestCutResets(t *testing.T) {
	s := variant{}.mount(t, echoing(nil), server.Options{})
	p := s.open()
	s.srv.Shutdown(endedContext())
	if _, err := io.Copy(io.Discard, p); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the peer read %v, want a reset", err)
	}
}

// An answer to the handshake is carried out, whatever the ctx of its Send.
func TestAcceptWithAnEndedContext(t *testing.T) {
	s := variant{}.mount(t, asgi.AppFunc(func(ctx context.Context, _ *asgi.Scope, _ asgi.Receive, send asgi.Send) error {
		if err := send(endedContext(), asgi.WebSocketAccept{}); err != nil {
			t.Errorf("accept: %v", err)
		}
		return send(ctx, message("hello", false))
	}), server.Options{})
	if err := s.open().expect(fin|text, "hello"); err != nil {
		t.Error(err)
	}
}
