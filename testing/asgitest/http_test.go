package asgitest_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/testing/asgitest"
)

// mirror answers with the request: method, path, query and each part of the body.
var mirror = asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
	start := asgi.HTTPResponseStart{Status: http.StatusAccepted, Header: http.Header{"X-Query": {scope.RawQuery()}}}
	if err := send(ctx, start); err != nil {
		return err
	}
	first := fmt.Sprintf("%s %s\n", scope.Method(), scope.Path())
	if err := send(ctx, asgi.HTTPResponseBody{Body: []byte(first), MoreBody: true}); err != nil {
		return err
	}
	for {
		event, err := receive(ctx)
		if err != nil {
			return err
		}
		part := event.(asgi.HTTPRequest)
		if err := send(ctx, asgi.HTTPResponseBody(part)); err != nil || !part.MoreBody {
			return err
		}
	}
})

// Case 159. Path and query are split, the method is upper case, the body is joined, status and headers are there.
func TestRequest(t *testing.T) {
	both(t, func(t *testing.T) {
		r := asgitest.New(t, mirror).Request("post", "/a/b?c=d&e", "one ", "two")
		if got, want := string(r.Body), "POST /a/b\none two"; got != want {
			t.Errorf("body %q, want %q", got, want)
		}
		if r.Status != http.StatusAccepted || r.Header.Get("X-Query") != "c=d&e" {
			t.Errorf("status %d, header %v", r.Status, r.Header)
		}
		if len(r.Chunks) != 3 || string(r.Chunks[1]) != "one " {
			t.Errorf("chunks %q", r.Chunks)
		}
	})
}

func TestRequestFailsWithTheApp(t *testing.T) {
	got := record(t, func(t testing.TB) { asgitest.New(t, script(errBoom)).Request("GET", "/x") }).text()
	for _, want := range []string{"GET /x", "status 500", "boom"} {
		if !strings.Contains(got, want) {
			t.Errorf("failure text lacks %q:\n%s", want, got)
		}
	}
	t.Log(got)
}
