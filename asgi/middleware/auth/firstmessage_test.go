package auth_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/middleware/auth"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/layers/memlayer"
	"github.com/tideway-go/tideway/testing/asgitest"
)

// A token in the first message: what is taken, and how the rest is closed.
func TestFirstMessage(t *testing.T) {
	for _, c := range []struct {
		name   string
		send   func(ws *asgitest.WebSocket)
		code   int
		reason string
	}{
		{name: "a token", send: func(ws *asgitest.WebSocket) { ws.SendText("ann") }},
		{name: "A1: nobody's", send: func(ws *asgitest.WebSocket) { ws.SendText("eve") }, code: 4401, reason: "token is not valid"},
		{name: "A1: no token", send: func(ws *asgitest.WebSocket) { ws.SendText("a b") }, code: 4401, reason: "the first message is no token"},
		{name: "A1: binary", send: func(ws *asgitest.WebSocket) { ws.SendBinary([]byte("ann")) }, code: 4401, reason: "the first message is no token"},
		{name: "too large", send: func(ws *asgitest.WebSocket) { ws.SendText(strings.Repeat("a", 8<<10+1)) }, code: 1009, reason: "the first message is a token of at most 8192 bytes"},
		{name: "none in time", send: func(*asgitest.WebSocket) {}, code: 4401, reason: "no token in time"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := start(t, newManager(), newAccounts(), nil, func(o *auth.Options[account]) { o.FirstMessage = &auth.FirstMessage{} })
				p.Site = p.With(&asgitest.Options{Timeout: time.Minute})
				began := time.Now()
				ws := p.Dial("/ws/private")
				c.send(ws)
				if c.code == 0 {
					asks(ws, "ann")
					ws.Disconnect()
					return
				}
				ws.ExpectClose(c.code, c.reason)
				if took := time.Since(began); c.reason == "no token in time" && took != 10*time.Second {
					t.Errorf("the limit is %v, want 10 s", took)
				}
				ws.Wait()
			})
		})
	}
}

// One that leaves, and one that has shown a token before.
func TestFirstMessageNotNeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newManager(), newAccounts(), nil, func(o *auth.Options[account]) { o.FirstMessage = &auth.FirstMessage{} })
		p.Dial("/ws/private").Disconnect()
		ws := p.as("ann").Dial("/ws/private")
		asks(ws, "ann")
		ws.Disconnect()
		if r := p.Request("GET", "/private"); r.Status != 401 {
			t.Errorf("a request has no messages, and gets %d", r.Status)
		}
	})
}

// The message's form and the subprotocol are the site's.
func TestFirstMessageOptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newManager(), newAccounts(), nil, func(o *auth.Options[account]) {
			o.FirstMessage = &auth.FirstMessage{
				Within:      time.Minute,
				MaxSize:     20,
				Subprotocol: func(offered []string) string { return offered[1] },
				Decode: func(m asgi.Frame) (string, bool) {
					var hello struct{ Token string }
					err := json.Unmarshal(m.Data, &hello)
					return hello.Token, err == nil
				},
			}
		})
		ws := p.DialWith("/ws/private", &asgitest.Options{Subprotocols: []string{"v1", "v2"}})
		if ws.Subprotocol() != "v2" {
			t.Errorf("the subprotocol is %q", ws.Subprotocol())
		}
		<-time.After(59 * time.Second)
		ws.SendText(`{"token":"bob"}`)
		asks(ws, "bob")
		ws.Disconnect()
		ws = p.DialWith("/ws/private", &asgitest.Options{Subprotocols: []string{"v1", "v2"}})
		ws.SendText(`{"token":"anybody"}` + "  ")
		ws.ExpectClose(1009, "the first message is a token of at most 20 bytes")
		ws.Wait()
	})
}

// What an app does with the handshake, when it is over already.
func TestAdmitted(t *testing.T) {
	for _, c := range []struct {
		name   string
		app    asgi.App
		code   int
		reason string
	}{
		{"deny", denying(asgi.Deny{}), 4403, "Forbidden"},
		{"deny with a status", denying(asgi.Deny{Status: 404}), 4404, "Not Found"},
		{"close", closing(asgi.WebSocketClose{Code: 4000, Reason: "no"}), 4000, "no"},
		{"denial response", closing(asgi.WebSocketHTTPResponseStart{Status: 429}, asgi.WebSocketHTTPResponseBody{}), 4429, "Too Many Requests"},
		{"return of an error", denying(asgi.CloseError{Code: 4001}), 4001, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				users := tokens(func(o *auth.Options[account]) { o.FirstMessage = &auth.FirstMessage{} })
				ws := asgitest.New(t, users.Require(c.app)).Dial("/")
				ws.SendText("ann")
				ws.ExpectClose(c.code, c.reason)
				ws.Wait()
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		users := tokens(func(o *auth.Options[account]) { o.FirstMessage = &auth.FirstMessage{} })
		var early, other, header, twice error
		ws := asgitest.New(t, users.Require(asgi.AppFunc(func(ctx context.Context, _ *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
			if event, err := receive(ctx); event != (asgi.WebSocketConnect{}) || err != nil {
				t.Errorf("the app's first event is %v, %v", event, err)
			}
			early = send(ctx, asgi.WebSocketSend{Frame: asgi.TextFrame("early")})
			other = send(ctx, asgi.WebSocketAccept{Subprotocol: "chat"})
			header = send(ctx, asgi.WebSocketAccept{Header: http.Header{"X": {"y"}}})
			if err := send(ctx, asgi.WebSocketAccept{}); err != nil {
				return err
			}
			twice = send(ctx, asgi.WebSocketAccept{})
			return send(ctx, asgi.WebSocketSend{Frame: asgi.TextFrame("in")})
		}))).Dial("/")
		ws.SendText("ann")
		ws.ExpectText("in")
		for name, err := range map[string]error{"early": early, "other": other, "header": header, "twice": twice} {
			if err == nil {
				t.Errorf("%s: what does not fit is no error", name)
			}
		}
		ws.Wait()
	})
}

func denying(err error) asgi.App {
	return consumers.AsyncWebsocketConsumer[struct{}]{
		Connect: func(*struct{}, context.Context, *consumers.Conn) error { return err },
	}.App()
}

func closing(events ...asgi.Event) asgi.App {
	return asgi.AppFunc(func(ctx context.Context, _ *asgi.Scope, _ asgi.Receive, send asgi.Send) error {
		for _, e := range events {
			if err := send(ctx, e); err != nil {
				return err
			}
		}
		return nil
	})
}

// A revocation finds a connection by first message too.
func TestFirstMessageRevoked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newManager(), newAccounts(), memlayer.New(nil), func(o *auth.Options[account]) { o.FirstMessage = &auth.FirstMessage{} })
		ws := p.Dial("/ws/private")
		ws.SendText("ann")
		asks(ws, "ann")
		if err := auth.Revoke(t.Context(), p.Layer(), auth.Revocation{User: "ann"}); err != nil {
			t.Fatal(err)
		}
		ws.ExpectClose(4401, "logged out")
		ws.Wait()
	})
}
