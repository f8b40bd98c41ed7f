package server_test

import (
	"context"
	"errors"
	"testing"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
)

// A body that nobody can read is the client's fault: 400 and one warning, also when the application says nothing about it.
func TestUnreadableBody(t *testing.T) {
	s := variant{}.serveTCP(t, asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, _ asgi.Send) error {
		if scope.Type() != asgi.HTTP {
			return errors.ErrUnsupported
		}
		for {
			if _, err := receive(ctx); err != nil {
				return nil
			}
		}
	}), server.Options{})
	resp, err := s.peer().request("POST / HTTP/1.1\r\nHost: example.org\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
	if err != nil || resp.StatusCode != 400 {
		t.Errorf("got %v, %v; want 400", resp, err)
	}
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	if err := s.oneLine("invalid byte in chunk length"); err != nil || s.logs.FilterMessage("http: bad request").Len() != 1 {
		t.Errorf("the log has %v, %v; want one \"http: bad request\"", s.warnings(), err)
	}
}
