package asgitest_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/testing/asgitest"
)

// echo accepts and sends every message back.
var echo = asgi.AppFunc(func(ctx context.Context, _ *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
	for {
		event, err := receive(ctx)
		if err != nil {
			return err
		}
		switch e := event.(type) {
		case asgi.WebSocketConnect:
			err = send(ctx, asgi.WebSocketAccept{})
		case asgi.WebSocketReceive:
			err = send(ctx, asgi.WebSocketSend{Frame: e.Frame})
		case asgi.WebSocketDisconnect:
			return nil
		}
		if err != nil {
			return err
		}
	}
})

// script is an app that sends events and returns err once it has them all sent.
func script(err error, events ...asgi.Event) asgi.App {
	return asgi.AppFunc(func(ctx context.Context, _ *asgi.Scope, _ asgi.Receive, send asgi.Send) error {
		for _, e := range events {
			if err := send(ctx, e); err != nil {
				return err
			}
		}
		return err
	})
}

// both runs a test in a bubble and outside of one.
func both(t *testing.T, test func(t *testing.T)) {
	t.Run("bubble", func(t *testing.T) { synctest.Test(t, test) })
	t.Run("real time", test)
}

// Case 160. Connect, text, bytes and JSON round trips, disconnect.
// Case 168. Empty frames go both ways.
func TestRoundTrips(t *testing.T) {
	both(t, func(t *testing.T) {
		ws := asgitest.New(t, echo).Dial("/ws/")
		if got := ws.Subprotocol(); got != "" {
			t.Errorf("subprotocol %q, want none", got)
		}
		ws.SendText("hi")
		ws.ExpectText("hi")
		ws.SendText("")
		ws.ExpectText("")
		ws.SendBinary([]byte{0, 0xff})
		ws.ExpectBinary([]byte{0, 0xff})
		ws.SendBinary(nil)
		if got := ws.ReceiveBinary(); len(got) != 0 {
			t.Errorf("got % x, want an empty message", got)
		}
		ws.SendJSON(map[string]any{"a": 1, "b": []string{"x"}})
		ws.ExpectJSON(map[string]any{"b": []string{"x"}, "a": 1})
		ws.SendJSON(nil)
		var v any = "something"
		if ws.ReceiveJSON(&v); v != nil {
			t.Errorf("got %v, want nil", v)
		}
		ws.Disconnect()
	})
}

var errBoom = errors.New("boom")

// Case 106. A close before the accept shows its code; the app that closed without one shows 1000.
// Case 169. A denial response is seen whole.
func TestRefused(t *testing.T) {
	for _, c := range []struct {
		name string
		app  asgi.App
		want asgitest.Refusal
	}{
		{"case 106: close", script(nil, asgi.WebSocketClose{}), asgitest.Refusal{Status: 403, Code: 1000}},
		{"case 106: close with a code", script(nil, asgi.WebSocketClose{Code: 4005, Reason: "why"}),
			asgitest.Refusal{Status: 403, Code: 4005, Reason: "why"}},
		{"case 169: denial response", script(nil,
			asgi.WebSocketHTTPResponseStart{Status: 401, Header: http.Header{"Www-Authenticate": {"Basic"}}},
			asgi.WebSocketHTTPResponseBody{Body: []byte("who "), MoreBody: true},
			asgi.WebSocketHTTPResponseBody{Body: []byte("are you?")}),
			asgitest.Refusal{Status: 401, Header: http.Header{"Www-Authenticate": {"Basic"}}, Body: []byte("who are you?")}},
		{"failed", script(errBoom), asgitest.Refusal{Status: 500, Err: errBoom}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := asgitest.New(t, c.app).Refused("/ws/")
			if got.String() != c.want.String() || !errors.Is(got.Err, c.want.Err) {
				t.Errorf("got %v, error %v, want %v, error %v", got, got.Err, &c.want, c.want.Err)
			}
		})
	}
}

func TestDialSaysHowItWasRefused(t *testing.T) {
	got := record(t, func(t testing.TB) { asgitest.New(t, script(errBoom)).Dial("/ws/?a=b") }).text()
	for _, want := range []string{"websocket /ws/?a=b", "expected websocket.accept", "status 500", "boom"} {
		if !strings.Contains(got, want) {
			t.Errorf("failure text lacks %q:\n%s", want, got)
		}
	}
}
