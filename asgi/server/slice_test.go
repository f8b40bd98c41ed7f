package server_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/gorilla/websocket"
	"go.uber.org/zap/zaptest"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
)

func echo(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
	switch scope.Type() {
	case asgi.HTTP:
		send(ctx, asgi.HTTPResponseStart{Status: 200})
		return send(ctx, asgi.HTTPResponseBody{Body: []byte("hello\n")})
	case asgi.Lifespan:
		return asgi.Deny{Status: 404}
	}
	if _, err := receive(ctx); err != nil {
		return err
	}
	if err := send(ctx, asgi.WebSocketAccept{}); err != nil {
		return err
	}
	for {
		ev, err := receive(ctx)
		if err != nil {
			return err
		}
		switch ev := ev.(type) {
		case asgi.WebSocketReceive:
			if err := send(ctx, asgi.WebSocketSend{Frame: ev.Frame, More: true}); err != nil {
				return err
			}
		case asgi.WebSocketDisconnect:
			return nil
		}
	}
}

func TestSlice(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() {
		done <- server.New(asgi.AppFunc(echo), &server.Options{Logger: zaptest.NewLogger(t)}).Serve(ctx, ln)
	}()
	resp, err := http.Get("http://" + ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	t.Log(string(b))
	http.DefaultClient.CloseIdleConnections()
	c, _, err := websocket.DefaultDialer.Dial("ws://"+ln.Addr().String()+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		c.WriteMessage(websocket.TextMessage, []byte("hey"))
		_, p, err := c.ReadMessage()
		if err != nil || string(p) != "hey" {
			t.Fatal(string(p), err)
		}
	}
	c.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(4001, "bye"))
	_, _, err = c.ReadMessage()
	t.Log(err)
	c2, _, err := websocket.DefaultDialer.Dial("ws://"+ln.Addr().String()+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	_, _, err = c2.ReadMessage()
	t.Log(err)
	c.Close()
	c2.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
