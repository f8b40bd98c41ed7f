package asgitest_test

import (
	"context"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/testing/asgitest"
)

func text(s string) asgi.Event   { return asgi.WebSocketSend{Frame: asgi.TextFrame(s)} }
func binary(s string) asgi.Event { return asgi.WebSocketSend{Frame: asgi.BinaryFrame([]byte(s))} }

// accepting is an app that accepts, sends events and waits for the end of the connection before it returns.
func accepting(events ...asgi.Event) asgi.App {
	return asgi.AppFunc(func(ctx context.Context, _ *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		for _, e := range append([]asgi.Event{asgi.WebSocketAccept{}}, events...) {
			if err := send(ctx, e); err != nil {
				return err
			}
		}
		for {
			if event, err := receive(ctx); err != nil || event.EventType() == "websocket.disconnect" {
				return err
			}
		}
	})
}

// Case 162. A failure text names what was expected and what came, the connection, how the app is, and what was said.
func TestWebSocketFailureTexts(t *testing.T) {
	long := strings.Repeat("a", 300)
	for _, c := range []struct {
		name string
		app  asgi.App
		use  func(*asgitest.WebSocket)
		want string
	}{
		{"case 162: text for a close", accepting(asgi.WebSocketClose{Code: 4001, Reason: "bye"}),
			func(ws *asgitest.WebSocket) { ws.ExpectText("hi") },
			`asgitest: websocket /ws/: expected websocket.send (text "hi"), got websocket.close (4001 "bye")
	the app returned nil
	so far:
		client: websocket.connect
		app: websocket.accept
		app: websocket.close (4001 "bye")`},
		{"another text", accepting(text("ho")), func(ws *asgitest.WebSocket) { ws.ExpectText("hi") },
			`asgitest: websocket /ws/: expected websocket.send (text "hi"), got text "ho"
	the app waits in Receive
	so far:
		client: websocket.connect
		app: websocket.accept
		app: websocket.send (text "ho")`},
		{"a long text", accepting(text(long + "b")), func(ws *asgitest.WebSocket) { ws.ExpectText(long + "c") },
			`expected websocket.send (text "` + long[:200] + `"... of 301 bytes), got text "` + long[:200] +
				`"... of 301 bytes; they differ from byte 300 on`},
		{"binary for text", accepting(binary("\x01\x02")), func(ws *asgitest.WebSocket) { ws.ReceiveText() },
			`expected websocket.send (text), got websocket.send (binary [01 02] of 2 bytes)`},
		{"text for binary", accepting(text("hi")), func(ws *asgitest.WebSocket) { ws.ExpectBinary([]byte{1}) },
			`expected websocket.send (binary [01] of 1 bytes), got websocket.send (text "hi")`},
		{"other bytes", accepting(binary("\x02")), func(ws *asgitest.WebSocket) { ws.ExpectBinary([]byte{1}) },
			`expected websocket.send (binary [01] of 1 bytes), got binary [02] of 1 bytes`},
		{"other JSON", accepting(text(`{"a":2}`)), func(ws *asgitest.WebSocket) { ws.ExpectJSON(map[string]int{"a": 1}) },
			`expected websocket.send (JSON "{\"a\":1}"), got text "{\"a\":2}"`},
		{"no JSON", accepting(text("{")), func(ws *asgitest.WebSocket) { ws.ReceiveJSON(&struct{}{}) },
			`expected websocket.send (text of JSON for a *struct {}), got text "{": unexpected end of JSON input`},
		{"unencodable JSON", accepting(), func(ws *asgitest.WebSocket) { ws.SendJSON(func() {}) },
			`SendJSON: json: unsupported type: func()`},
		{"another close", accepting(asgi.WebSocketClose{Code: 4001, Reason: "bye"}), func(ws *asgitest.WebSocket) { ws.ExpectClose(1000, "") },
			`expected websocket.close (1000), got websocket.close (4001 "bye")`},
		{"a message for a close", accepting(text("hi")), func(ws *asgitest.WebSocket) { ws.ReceiveClose() },
			`expected websocket.close, got websocket.send (text "hi")`},
		{"nothing", accepting(), func(ws *asgitest.WebSocket) { ws.Receive() },
			`expected an event, got nothing within 5s
	the app waits in Receive
	so far:`},
		{"nothing for want of a flush", holds, func(ws *asgitest.WebSocket) { ws.Receive() },
			"expected an event, got nothing within 5s\n\tthe app is at work, and 1 events that it sent with More are not flushed"},
		{"case 163: held back", holds, func(ws *asgitest.WebSocket) { ws.ExpectNothing() },
			`expected nothing, but the app has sent, and not flushed, websocket.send (text "hi")`},
		{"after the end", accepting(asgi.WebSocketClose{}), func(ws *asgitest.WebSocket) { ws.ReceiveClose(); ws.Receive() },
			`expected an event, got the end of the connection
	the app returned nil`},
		{"case 165: failed", script(errBoom, asgi.WebSocketAccept{}), func(ws *asgitest.WebSocket) { ws.ReceiveText() },
			`expected websocket.send (text), got websocket.close (1011)
	the app failed: boom`},
		{"case 163: something", accepting(text("hi")), func(ws *asgitest.WebSocket) { ws.ExpectNothing() },
			`expected nothing, got websocket.send (text "hi")`},
		{"many events", accepting(text("1"), text("2"), text("3"), text("4"), text("5"), text("6"), text("7"), text("8"), text("9")),
			func(ws *asgitest.WebSocket) {
				for range 9 {
					ws.ReceiveText()
				}
				ws.Receive()
			}, `	so far:
		(3 events)
		app: websocket.send (text "2")`},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got := record(t, func(t testing.TB) { c.use(asgitest.New(t, c.app).Dial("/ws/")) })
				if len(got.texts) != 1 || !strings.Contains(got.text(), c.want) {
					t.Errorf("got %d failures:\n%s\nwant one with:\n%s", len(got.texts), got.text(), c.want)
				}
			})
		})
	}
}

// What the handshake, the request and the end of the test say.
func TestOtherFailureTexts(t *testing.T) {
	denial := []asgi.Event{
		asgi.WebSocketHTTPResponseStart{Status: 401, Header: http.Header{"Www-Authenticate": {"Basic"}}},
		asgi.WebSocketHTTPResponseBody{Body: []byte("who?")},
	}
	start, part := asgi.HTTPResponseStart{Status: 200}, asgi.HTTPResponseBody{Body: []byte("abc"), MoreBody: true}
	for _, c := range []struct {
		name string
		app  asgi.App
		use  func(*asgitest.Site)
		want string // a regular expression
	}{
		{"refused", script(nil, denial...), func(s *asgitest.Site) { s.Dial("/ws/") },
			`^asgitest: websocket /ws/: expected websocket.accept, got a refusal with status 401, Www-Authenticate: Basic, body "who\?"`},
		{"closed", script(nil, asgi.WebSocketClose{Code: 4003, Reason: "no"}), func(s *asgitest.Site) { s.Dial("/ws/") },
			`expected websocket.accept, got a refusal with status 403 \(websocket.close 4003 "no"\)`},
		{"denied", script(asgi.Deny{Status: 429}), func(s *asgitest.Site) { s.Dial("/ws/") },
			`got a refusal with status 429\n\tthe app returned: asgi: denied: 429 Too Many Requests`},
		{"returned", script(nil), func(s *asgitest.Site) { s.Dial("/ws/") },
			`got a refusal with status 500\n\tthe app failed: it returned before it accepted or refused: send asgi.WebSocketAccept`},
		{"half a refusal", script(nil, denial[0]), func(s *asgitest.Site) { s.Refused("/ws/") },
			`expected websocket.http.response.body, got the end of the connection\n\tthe app failed: it returned before the last part`},
		{"accepted", echo, func(s *asgitest.Site) { s.Refused("/ws/") }, `expected a refusal, got websocket.accept`},
		{"never answered", blocked, func(s *asgitest.Site) { s.Dial("/ws/") },
			`expected websocket.accept, got nothing within 5s\n\tthe app is at work\n\tgoroutine:\n\t\t\S*asgitest_test\.\S+ \S+failure_test.go:\d+`},
		{"sent too early", blocked, func(s *asgitest.Site) { s.Open("/ws/").SendText("hi") },
			`send text "hi": the handshake is not answered yet: use Site.Dial`},
		{"client too fast", accepts, func(s *asgitest.Site) {
			s.With(&asgitest.Options{Queue: 20}).Dial("/ws/").SendText("0123456789")
			ws := s.With(&asgitest.Options{Queue: 20}).Dial("/ws/")
			ws.SendText("0123456789")
			ws.SendText("0")
		}, `send websocket.receive \(text "0"\): the app has not received what was sent before, and the queue of 20 bytes is full for 5s`},
		{"app too fast", accepting(binary("0123456789"), binary("0")), func(s *asgitest.Site) {
			ws := s.With(&asgitest.Options{Queue: 20}).Dial("/ws/")
			synctest.Wait()
			_ = ws.Wait()
		}, `expected the app to end, but it still runs after 5s\n\tthe app waits in Send: its queue is full and the test does not read`},
		{"disconnect of a failing app", failing, func(s *asgitest.Site) { s.Dial("/ws/").Disconnect() },
			`expected the app to end well\n\tthe app failed: boom`},
		{"case 166: wait in vain", accepting(), func(s *asgitest.Site) { _ = s.Dial("/ws/").Wait() },
			`expected the app to end, but it still runs after 5s\n\tthe app waits in Receive`},
		{"case 166: disconnect in vain", deaf, func(s *asgitest.Site) { s.Dial("/ws/").Disconnect() },
			`expected the app to end, but it still runs after 5s\n\tthe app is at work\n\tgoroutine:`},
		{"error unseen", failing, func(s *asgitest.Site) { s.Dial("/ws/").Close(1000, "") },
			`^asgitest: websocket /ws/: the app failed, and no expectation has shown it: boom$`},
		{"request failed", script(errBoom), func(s *asgitest.Site) { s.Request("get", "/p") },
			`^asgitest: GET /p: expected a response of the app, got status 500 from the server, because the app did not give one\n\tthe app failed: boom`},
		{"no response", script(nil), func(s *asgitest.Site) { s.Request("GET", "/p") }, `the app failed: it returned without a response: send`},
		{"half a start", script(nil, start), func(s *asgitest.Site) { s.Request("GET", "/p") }, `it returned after asgi.HTTPResponseStart`},
		{"half a response", script(nil, start, part), func(s *asgitest.Site) { s.Request("GET", "/p") },
			`expected the rest of the response, but the response was cut before its end\n\tthe app failed: it returned before its response was complete`},
		{"another chunk", script(nil, start, part), func(s *asgitest.Site) { s.Stream("GET", "/p").ExpectChunk("abd") },
			`expected http.response.body \("abd"\), got "abc"`},
		{"no chunk", script(nil, start, asgi.HTTPResponseBody{}), func(s *asgitest.Site) { s.Stream("GET", "/p").Chunk() },
			`expected http.response.body, got the end of the response`},
		{"no response in time", blocked, func(s *asgitest.Site) { s.Request("GET", "/p") },
			`expected http.response.start, got nothing within 5s\n\tthe app is at work`},
		{"raw: another event", script(nil, asgi.LifespanStartupFailed{Message: "no"}), func(s *asgitest.Site) { s.Startup() },
			`^asgitest: raw lifespan: expected lifespan.startup.complete, got lifespan.startup.failed \(Message:no\)`},
		{"raw: another detail", script(nil, text("a")), func(s *asgitest.Site) {
			s.Raw(asgi.NewScope(asgi.Fields{Type: "x"})).Expect(asgi.WebSocketSend{Frame: asgi.TextFrame("a"), Prepared: asgi.Prepare(asgi.TextFrame("b"))})
		}, `expected asgi.WebSocketSend\{.*Prepared:\(\*asgi.Prepared\)\(0x`},
		{"no scope", echo, func(s *asgitest.Site) { s.Raw(nil) }, `Raw: the scope is nil: make one with asgi.NewScope`},
		{"live in a bubble", echo, func(s *asgitest.Site) { s.Live() }, `Live: a bubble has no network`},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got := record(t, func(t testing.TB) { c.use(asgitest.New(t, c.app)) })
				if len(got.texts) != 1 || !regexp.MustCompile(c.want).MatchString(got.text()) {
					t.Errorf("got %d failures:\n%s\nwant one that matches:\n%s", len(got.texts), got.text(), c.want)
				}
			})
		})
	}
}

// blocked answers nothing until ctx ends.
var blocked = asgi.AppFunc(func(ctx context.Context, _ *asgi.Scope, _ asgi.Receive, _ asgi.Send) error {
	<-ctx.Done()
	return context.Cause(ctx)
})

// accepts answers the handshake, and receives nothing.
var accepts = asgi.AppFunc(func(ctx context.Context, _ *asgi.Scope, _ asgi.Receive, send asgi.Send) error {
	err := send(ctx, asgi.WebSocketAccept{})
	<-ctx.Done()
	return err
})

// holds accepts, sends with More, and never flushes.
var holds = asgi.AppFunc(func(ctx context.Context, _ *asgi.Scope, _ asgi.Receive, send asgi.Send) error {
	err := send(ctx, asgi.WebSocketAccept{})
	if err == nil {
		err = send(ctx, asgi.WebSocketSend{Frame: asgi.TextFrame("hi"), More: true})
	}
	<-ctx.Done()
	return err
})

// deaf is like accepts, and goes on for 6 s after a disconnect.
var deaf = asgi.AppFunc(func(ctx context.Context, _ *asgi.Scope, _ asgi.Receive, send asgi.Send) error {
	err := send(ctx, asgi.WebSocketAccept{})
	select {
	case <-ctx.Done():
	case <-time.After(6 * time.Second):
	}
	return err
})

// failing fails when its client has closed.
var failing = asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
	if err := echo(ctx, scope, receive, send); err != nil {
		return err
	}
	return errBoom
})

func TestSetUpFailureTexts(t *testing.T) {
	if got := record(t, func(t testing.TB) { asgitest.New(t, nil) }).text(); got != "asgitest: New: the app is nil: pass the application under test" {
		t.Errorf("got %q", got)
	}
	got := record(t, func(t testing.TB) { asgitest.New(t, echo).Dial("/").ExpectNothing() }).text()
	if want := "ExpectNothing proves nothing outside of a bubble: call synctest.Test, or let the app send a marker"; !strings.Contains(got, want) {
		t.Errorf("got %q, want %q in it", got, want)
	}
	got = record(t, func(t testing.TB) { asgitest.New(t, echo).Dial("/").ExpectJSON(json.RawMessage("{")) }).text()
	if want := "ExpectJSON: json: error calling MarshalJSON"; !strings.Contains(got, want) {
		t.Errorf("got %q, want %q in it", got, want)
	}
}
