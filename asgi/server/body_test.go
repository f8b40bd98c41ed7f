package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
)

// Case 174: a body that ends where a part does is no special case. No part but the last is empty, and the parts make the whole.
func TestBodyOfWholeParts(t *testing.T) {
	const part = 64 << 10
	parts := make(chan []asgi.HTTPRequest, 1)
	s := variant{}.serveTCP(t, asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, _ asgi.Send) error {
		if scope.Type() != asgi.HTTP {
			return errors.ErrUnsupported
		}
		var all []asgi.HTTPRequest
		for {
			event, err := receive(ctx)
			if err != nil {
				return err
			}
			e, ok := event.(asgi.HTTPRequest)
			if !ok {
				return fmt.Errorf("got %#v within the body", event)
			}
			if all = append(all, e); !e.MoreBody {
				parts <- all
				return asgi.Deny{Status: 204}
			}
		}
	}), server.Options{})
	for _, size := range []int{0, 1, part - 1, part, part + 1, 2 * part, 10 * part} {
		for _, chunked := range []bool{false, true} {
			content := strings.Repeat("x", size)
			request := fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", post, size, content)
			if chunked {
				request = post + "Transfer-Encoding: chunked\r\n\r\n"
				if size > 0 {
					request += fmt.Sprintf("%x\r\n%s\r\n", size, content)
				}
				request += "0\r\n\r\n"
			}
			p := s.peer()
			go io.WriteString(p, request)
			got := 0
			all := <-parts
			for i, e := range all {
				if got += len(e.Body); len(e.Body) == 0 && i < len(all)-1 {
					t.Errorf("case 174: %d bytes, chunked %v: part %d of %d is empty", size, chunked, i+1, len(all))
				}
			}
			if got != size {
				t.Errorf("case 174: %d bytes, chunked %v: the parts make %d", size, chunked, got)
			}
			p.Close()
		}
	}
}
