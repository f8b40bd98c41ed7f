package limit_test

import (
	"context"
	"io"
	"net/http"
	"testing"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/middleware/limit"
	"github.com/tideway-go/tideway/testing/asgitest"
)

// A real server says to real clients what it says in memory: 503 before the accept, 1013 after it, 429 to a request.
func TestLive(t *testing.T) {
	full := limit.New(&limit.Options{Connections: 1, Key: func(*asgi.Scope) string { return "" }})
	enter, leave := make(chan bool), make(chan bool)
	app := asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		if scope.Path() == "/open" {
			if err := send(ctx, asgi.WebSocketAccept{}); err != nil {
				return err
			}
		}
		return full(echo).Serve(ctx, scope, receive, send)
	})
	holder := full(asgi.AppFunc(func(context.Context, *asgi.Scope, asgi.Receive, asgi.Send) error {
		enter <- true
		<-leave
		return nil
	}))
	go func() { // ends when leave is closed, which the test waits for
		defer close(enter)
		_ = holder.Serve(t.Context(), asgi.NewScope(asgi.Fields{Type: asgi.HTTP}), nil, nil)
	}()
	<-enter
	live := asgitest.New(t, app).Live()
	get := func(path string, header http.Header) *http.Response {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, live.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header = header
		r.Close = len(header) == 0
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		return resp
	}
	upgrade := func() http.Header {
		return http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="}}
	}
	if resp := get("/", upgrade()); resp.StatusCode != 503 {
		t.Errorf("a handshake: %s", resp.Status)
	}
	if resp := get("/", http.Header{}); resp.StatusCode != 503 {
		t.Errorf("a request: %s", resp.Status)
	}
	resp := get("/open", upgrade())
	frame := make([]byte, 4)
	if _, err := io.ReadFull(resp.Body, frame); err != nil || resp.StatusCode != 101 || frame[0] != 0x88 || int(frame[2])<<8|int(frame[3]) != 1013 {
		t.Errorf("an open WebSocket: %s, % x, %v", resp.Status, frame, err)
	}
	close(leave)
	<-enter
	if resp := get("/", http.Header{}); resp.StatusCode != 200 {
		t.Errorf("a request with room: %s", resp.Status)
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
}
