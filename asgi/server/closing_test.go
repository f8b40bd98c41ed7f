package server_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
)

// A response without an end of its own hears of the shutdown when it begins, long before its ctx ends.
func TestClosing(t *testing.T) {
	app := asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		if scope.Type() != asgi.HTTP {
			return echoing(nil).Serve(ctx, scope, receive, send)
		}
		if err := send(ctx, asgi.HTTPResponseStart{Status: 200}); err != nil {
			return err
		}
		if err := send(ctx, asgi.HTTPResponseBody{Body: []byte("begun "), MoreBody: true}); err != nil {
			return err
		}
		<-scope.Closing().Done()
		return send(ctx, asgi.HTTPResponseBody{Body: []byte("ended")})
	})
	synctest.Test(t, func(t *testing.T) {
		s := variant{}.serve(t, app, server.Options{})
		conn, err := s.dial()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		start := time.Now()
		body := make(chan string)
		go func() { // ends with the response
			all, err := io.ReadAll(res.Body)
			body <- fmt.Sprint(string(all), err)
		}()
		if err := s.stop(); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("S5: the shutdown took %v, though the response has ended", took)
		}
		if got := <-body; got != "begun ended<nil>" {
			t.Errorf("the client got %q", got)
		}
	})
}
