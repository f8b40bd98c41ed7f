//go:build darwin || linux

package server_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
)

// The system holds little for a client that never reads, so many of them do not take all that it has for everybody.
func TestLittleIsHeldForWhoNeverReads(t *testing.T) {
	const (
		piece  = 16 << 10
		enough = 32 << 20
		most   = 3 << 19 // a queue of 1 MiB, and what the system holds; Linux alone would hold 2.5 MB or more
	)
	taken := make(chan int, 1)
	app := func(accept asgi.Event, part asgi.Event) asgi.App {
		return asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
			if scope.Type() == asgi.Lifespan {
				return errors.ErrUnsupported
			}
			if _, err := receive(ctx); err != nil {
				return err
			}
			err := send(ctx, accept)
			n := 0
			for ; err == nil && n < enough; n += piece {
				err = send(ctx, part)
			}
			taken <- n
			return err
		})
	}
	socket := app(asgi.WebSocketAccept{}, asgi.WebSocketSend{Frame: asgi.BinaryFrame(make([]byte, piece))})
	page := app(asgi.HTTPResponseStart{Status: 200}, asgi.HTTPResponseBody{Body: make([]byte, piece), MoreBody: true})
	plain := server.Options{WriteTimeout: 300 * time.Millisecond}
	secure, files := plain, newCertFiles(t, issue(t, "mine"))
	secure.CertFile, secure.KeyFile = files.cert, files.key
	dial := func(s *site) (net.Conn, error) { return s.dial() }
	for _, tc := range []struct {
		name  string
		serve func(variant, testing.TB, asgi.App, server.Options) *site
		app   asgi.App
		ask   string
		opts  server.Options
		dial  func(*site) (net.Conn, error)
	}{
		{"WebSocket", variant.serveTCP, socket, handshake + "\r\n", plain, dial},
		{"mounted WebSocket", variant.mount, socket, handshake + "\r\n", plain, dial},
		{"HTTP", variant.serveTCP, page, getRequest, plain, dial},
		{"HTTP over TLS", variant.serveTCP, page, getRequest, secure, dialTLS},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, err := tc.dial(tc.serve(variant{}, t, tc.app, tc.opts))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			io.WriteString(c, tc.ask)
			n := <-taken
			t.Logf("%d kB were taken", n>>10)
			if n > most {
				t.Errorf("that is more than %d kB for a client that never reads", most>>10)
			}
		})
	}
}
