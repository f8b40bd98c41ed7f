package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/tideway-go/tideway/layers/memlayer"
)

// TestAdmin asks the chat as an operator does, on a listener of its own, while somebody chats.
func TestAdmin(t *testing.T) {
	listen := func() net.Listener {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return ln
	}
	public, operators := listen(), listen()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- serve(ctx, public, operators, app(), memlayer.New(nil)) }() // ends with ctx; received below

	ws, _, err := websocket.DefaultDialer.Dial("ws://"+public.Addr().String()+"/ws/chat/lobby/", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	if err := ws.WriteMessage(websocket.TextMessage, []byte(`{"message":"hello","user":"Ann"}`)); err != nil {
		t.Fatal(err)
	}
	if _, text, err := ws.ReadMessage(); err != nil || !strings.Contains(string(text), "hello") {
		t.Fatalf("%s, %v", text, err)
	}

	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for _, tc := range []struct {
		addr   net.Addr
		path   string
		status int
		body   string
	}{
		{operators.Addr(), "/live", 200, `"ok"`},
		{operators.Addr(), "/ready", 200, `"server chat":"ok"`},
		{operators.Addr(), "/ready", 200, `"layer default":"ok"`},
		{operators.Addr(), "/metrics", 200, `tideway_websocket_connections{server="chat"} 1`},
		{operators.Addr(), "/metrics", 200, `tideway_layer_group_sent_total{layer="default"} 1`},
		{operators.Addr(), "/metrics", 200, `tideway_handler_calls_total{consumer="main.chat",kind="connect",outcome="ok",type=""} 1`},
		{operators.Addr(), "/debug/pprof/", 404, ""},
		{public.Addr(), "/metrics", 200, "<!doctype html>"}, // a room of that name
		{public.Addr(), "/live", 200, "<!doctype html>"},
	} {
		answer, err := client.Get("http://" + tc.addr.String() + tc.path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || answer.StatusCode != tc.status || !strings.Contains(string(body), tc.body) {
			t.Errorf("%s is %s, %v, want %d and %s in it; it is\n%s", tc.path, answer.Status, err, tc.status, tc.body, body)
		}
	}
	cancel()
	for err == nil { // the client answers the close
		_, _, err = ws.ReadMessage()
	}
	if err := <-done; err != nil {
		t.Errorf("the end of ctx ends both with %v, want nil", err)
	}
}
