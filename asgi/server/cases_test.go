package server_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
)

// Cases 189, 197 and 203: what a handshake's answer may be.
func TestHandshakeAnswers(t *testing.T) {
	for _, tc := range []struct {
		name   string
		answer []asgi.Event
		status int
		header http.Header
		body   string
		errs   string // of the first answer; the last one must succeed
	}{
		{"case 188: accept", []asgi.Event{asgi.WebSocketAccept{}}, 101, nil, "", ""},
		{"case 188: close", []asgi.Event{asgi.WebSocketClose{Code: 4000}}, 403, nil, "", ""},
		{"case 189: chosen subprotocol", []asgi.Event{asgi.WebSocketAccept{Subprotocol: "v2"}}, 101,
			http.Header{"Sec-Websocket-Protocol": {"v2"}}, "", ""},
		{"case 189: unoffered subprotocol", []asgi.Event{asgi.WebSocketAccept{Subprotocol: "v4"}, asgi.WebSocketAccept{}}, 101,
			http.Header{"Sec-Websocket-Protocol": nil}, "", `choose one of Scope.Subprotocols, ["v1" "v2" "v3"], or none`},
		{"case 197: headers", []asgi.Event{asgi.WebSocketAccept{Header: http.Header{"Set-Cookie": {"a=1", "b=2"}}}}, 101,
			http.Header{"Set-Cookie": {"a=1", "b=2"}}, "", ""},
		{"header name", []asgi.Event{asgi.WebSocketAccept{Header: http.Header{"A b": {"1"}}}, asgi.WebSocketAccept{}}, 101, nil, "", "no header name"},
		{"header value", []asgi.Event{asgi.WebSocketAccept{Header: http.Header{"A": {"1\r\nB: 2"}}}, asgi.WebSocketAccept{}}, 101,
			http.Header{"B": nil}, "", "control character"},
		{"header of the server's", []asgi.Event{asgi.WebSocketAccept{Header: http.Header{"Upgrade": {"h2c"}}}, asgi.WebSocketAccept{}}, 101,
			http.Header{"Upgrade": {"websocket"}}, "", "leave it out"},
		{"subprotocol as a header", []asgi.Event{asgi.WebSocketAccept{Header: http.Header{"Sec-Websocket-Protocol": {"v1"}}}, asgi.WebSocketAccept{}}, 101,
			http.Header{"Sec-Websocket-Protocol": nil}, "", "set Subprotocol instead"},
		{"case 203: denial response", []asgi.Event{
			asgi.WebSocketHTTPResponseStart{Status: 429, Header: http.Header{"Retry-After": {"7"}}},
			asgi.WebSocketHTTPResponseBody{Body: []byte("slow "), MoreBody: true},
			asgi.WebSocketHTTPResponseBody{Body: []byte("down")},
		}, 429, http.Header{"Retry-After": {"7"}}, "slow down", ""},
		{"case 203: in one part", []asgi.Event{
			asgi.WebSocketHTTPResponseStart{Status: 401}, asgi.WebSocketHTTPResponseBody{Body: []byte("who?")},
		}, 401, http.Header{"Content-Length": {"4"}}, "who?", ""},
		{"denial without a status", []asgi.Event{asgi.WebSocketHTTPResponseBody{}, asgi.WebSocketClose{}}, 403, nil, "", "send websocket.http.response.start first"},
		{"denial with a bad status", []asgi.Event{
			asgi.WebSocketHTTPResponseStart{Status: 42}, asgi.WebSocketHTTPResponseStart{Status: 410}, asgi.WebSocketHTTPResponseBody{},
		}, 410, nil, "", "42"},
		{"case 198: send before accept", []asgi.Event{asgi.WebSocketSend{}, asgi.WebSocketAccept{}}, 101, nil, "", "send websocket.accept first"},
		{"flush before accept", []asgi.Event{asgi.WebSocketFlush{}, asgi.WebSocketAccept{}}, 101, nil, "", "send websocket.accept first"},
		{"another protocol's event", []asgi.Event{asgi.HTTPResponseStart{}, asgi.WebSocketAccept{}}, 101, nil, "", "this is a websocket connection"},
		{"nil", []asgi.Event{nil, asgi.WebSocketAccept{}}, 101, nil, "", "the event is nil"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			errs := make(chan error, len(tc.answer))
			s := variant{}.mount(t, asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
				if offered := scope.Subprotocols(); !slices.Equal(offered, []string{"v1", "v2", "v3"}) {
					t.Errorf("scope offers %q", offered)
				}
				if _, ok := scope.Extension("websocket.http.response"); !ok {
					t.Error("the scope does not have websocket.http.response")
				}
				for _, event := range tc.answer {
					errs <- send(ctx, event)
				}
				return nil
			}), server.Options{})
			resp, err := s.peer().request(handshake + "Sec-WebSocket-Protocol: v1, v2\r\nSec-WebSocket-Protocol: v3\r\n\r\n")
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != tc.status {
				t.Fatalf("got %s, want %d", resp.Status, tc.status)
			}
			for name, want := range tc.header {
				if got := resp.Header[name]; !slices.Equal(got, want) {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
			if tc.status != 101 && tc.body != "" {
				if got := body(resp); got != tc.body {
					t.Errorf("body %q, want %q", got, tc.body)
				}
			}
			first := <-errs
			if tc.errs == "" && first != nil || tc.errs != "" && (first == nil || !strings.Contains(first.Error(), tc.errs)) {
				t.Errorf("the first send returned %v, want %q", first, tc.errs)
			}
			for range len(tc.answer) - 1 {
				if err := <-errs; err != nil {
					t.Errorf("a later send returned %v", err)
				}
			}
		})
	}
}

// Case 190: text with emoji and binary that is not UTF-8 pass unchanged both ways. Case 197: so do empty frames.
func TestFramesPass(t *testing.T) {
	for _, opts := range []server.Options{{}, {Compression: true}} {
		s := variant{}.mount(t, echoing(nil), opts)
		p := s.open()
		for _, payload := range []string{"", "a", "🚣🏽 tideway", strings.Repeat("é", 70), strings.Repeat("x", 126), strings.Repeat("x", 1<<16), strings.Repeat("日", 1<<17)} {
			for _, kind := range []byte{text, bin} {
				if kind == bin {
					payload += "\xff\x00\xfe"
				}
				p.send(fin|kind, payload)
				if err := p.expect(fin|kind, payload); err != nil {
					t.Error(err)
				}
			}
		}
	}
}

// Case 191: an HTTP timeout does not apply to sockets.
func TestServerTimeoutsEndWithTheHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := variant{}.serve(t, echoing(nil), server.Options{PingInterval: -1})
		p := s.open()
		<-time.After(5 * time.Minute)
		p.send(fin|text, "still here")
		if err := p.expect(fin|text, "still here"); err != nil {
			t.Error(err)
		}
		p.Close()
	})
}

// Case 192: a message over the limit closes with 1009, whether it comes in one frame or in many, and is not delivered; one
// under the limit passes.
func TestMessageLimit(t *testing.T) {
	for _, tc := range []struct {
		name string
		over []byte
	}{
		{"one frame", frame(fin|text, "123456789")},
		{"two frames", append(frame(text, "12345"), frame(fin|cont, "6789")...)},
		{"announced", frameOf(fin|bin, 1<<40, "")},
		{"2^63", frameOf(fin|bin, 1<<63, "")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ends := make(chan asgi.WebSocketDisconnect, 1)
			s := variant{}.mount(t, echoing(ends), server.Options{MaxMessage: 8})
			p := s.open()
			p.send(fin|text, "12345678")
			if err := p.expect(fin|text, "12345678"); err != nil {
				t.Fatal(err)
			}
			p.Write(tc.over)
			if err := p.expectEnd(1009); err != nil {
				t.Fatal(err)
			}
			p.Close()
			if e := <-ends; e.Code != 1009 || e.By != asgi.ByServer {
				t.Errorf("the application heard %+v", e)
			}
		})
	}
}

// Case 193: an application that stops by itself leaves nothing behind. TestMain looks for goroutines.
func TestAppEndsByItself(t *testing.T) {
	s := variant{}.mount(t, echoing(nil), server.Options{})
	for range 10 {
		p := s.open()
		p.send(fin|text, "quit")
		if err := p.expectEnd(1000); err != nil {
			t.Error(err)
		}
		p.send(fin|closing, closePayload(1000, ""))
		if n, err := p.Read(make([]byte, 1)); err == nil {
			t.Errorf("the server sent %d bytes after the close", n)
		}
	}
}

// Case 194: a ping gets a pong with the same payload, also between the fragments of a message.
func TestPing(t *testing.T) {
	s := variant{}.mount(t, echoing(nil), server.Options{})
	p := s.open()
	p.send(text, "a mess")
	p.send(fin|ping, "are you there?")
	if err := p.expect(fin|pong, "are you there?"); err != nil {
		t.Error(err)
	}
	p.send(fin|cont, "age")
	if err := p.expect(fin|text, "a message"); err != nil {
		t.Error(err)
	}
	p.send(fin|ping, "")
	if err := p.expect(fin|pong, ""); err != nil {
		t.Error(err)
	}
}

// Case 196: what the application hears of the end.
func TestDisconnect(t *testing.T) {
	for _, tc := range []struct {
		name string
		do   func(*peer) error
		want asgi.WebSocketDisconnect
	}{
		{"case 196: code and reason", sends(fin|closing, closePayload(4001, "bye")), asgi.WebSocketDisconnect{Code: 4001, Reason: "bye", By: asgi.ByClient}},
		{"case 196: no code", sends(fin|closing, ""), asgi.WebSocketDisconnect{Code: 1005, By: asgi.ByClient}},
		{"case 196: abrupt", func(p *peer) error { return p.Close() }, asgi.WebSocketDisconnect{Code: 1006, By: asgi.ByNetwork}},
		{"case 195: bad UTF-8", sends(fin|text, "caf\xe9"), asgi.WebSocketDisconnect{Code: 1007, By: asgi.ByServer}},
		{"case 195: unmasked", func(p *peer) error { _, err := p.Write([]byte{fin | text, 1, 'x'}); return err }, asgi.WebSocketDisconnect{Code: 1002, By: asgi.ByServer}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ends := make(chan asgi.WebSocketDisconnect, 1)
			s := variant{}.mount(t, echoing(ends), server.Options{})
			p := s.open()
			tc.do(p)
			p.end()
			p.Close()
			e := <-ends
			if tc.want.Reason == "" {
				e.Reason = "" // our own wording
			}
			if e != tc.want {
				t.Errorf("the application heard %+v, want %+v", e, tc.want)
			}
		})
	}
}

// Case 198: events that do not fit an open connection are errors to the application, and the peer sees nothing of them.
func TestSendErrors(t *testing.T) {
	for name, event := range map[string]asgi.Event{
		"case 198: second accept: send it once":       asgi.WebSocketAccept{},
		"case 198: code 1006 is not for applications": asgi.WebSocketClose{Code: 1006},
		"code 1005 is not for applications":           asgi.WebSocketClose{Code: 1005},
		"code 999 is not for applications":            asgi.WebSocketClose{Code: 999},
		"code 5000 is not for applications":           asgi.WebSocketClose{Code: 5000},
		"the reason has 124 bytes: use at most 123":   asgi.WebSocketClose{Reason: strings.Repeat("x", 124)},
		"the reason is not UTF-8":                     asgi.WebSocketClose{Reason: "\xff"},
		"refusal: accepted already":                   asgi.WebSocketHTTPResponseStart{},
		"this is a websocket connection":              asgi.HTTPResponseBody{},
		"the event is nil":                            nil,
	} {
		t.Run(name, func(t *testing.T) {
			result := make(chan error, 1)
			s := variant{}.mount(t, socket(func(ctx context.Context, _ *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
				result <- send(ctx, event)
				return send(ctx, asgi.WebSocketSend{Frame: asgi.TextFrame("marker")})
			}), server.Options{})
			p := s.open()
			if err := p.expect(fin|text, "marker"); err != nil {
				t.Error("the peer saw something: ", err)
			}
			words := name[strings.LastIndex(name, ": ")+1:]
			if err := <-result; err == nil || !strings.Contains(err.Error(), strings.TrimSpace(words)) {
				t.Errorf("send returned %v", err)
			}
		})
	}
}

// Case 199: what the end of an application means after the accept; before it is promise S1.
func TestAppResults(t *testing.T) {
	for _, tc := range []struct {
		name   string
		result func() error
		code   int
		reason string
		lines  int
	}{
		{"case 199: nil", func() error { return nil }, 1000, "", 0},
		{"case 199: error", func() error { return errors.New("no database") }, 1011, "", 1},
		{"panic", func() error { panic("no database") }, 1011, "", 1},
		{"CloseError", func() error { return asgi.CloseError{Code: 4003, Reason: "banned"} }, 4003, "banned", 0},
		{"CloseError without a code", func() error { return asgi.CloseError{Reason: "done"} }, 1000, "done", 0},
		{"wrapped CloseError", func() error { return fmt.Errorf("chat: %w", asgi.CloseError{Code: 4003, Reason: "banned"}) }, 4003, "banned", 1},
		{"panic with a CloseError", func() error { panic(asgi.CloseError{Code: 4003}) }, 1011, "", 1},
		{"CloseError with a code that is not for applications", func() error { return asgi.CloseError{Code: 1006} }, 1011, "", 1},
		{"panic with ErrClosed", func() error { panic(asgi.ErrClosed) }, 1011, "", 1},
		{"Goexit", func() error { runtime.Goexit(); return nil }, 1011, "", 1},
		{"ErrClosed", func() error { return fmt.Errorf("send: %w", asgi.ErrClosed) }, 1000, "", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := variant{}.mount(t, socket(func(context.Context, *asgi.Scope, asgi.Receive, asgi.Send) error { return tc.result() }), server.Options{})
			p := s.open()
			if code, reason := p.end(); code != tc.code || reason != tc.reason {
				t.Errorf("the connection ended with %d %q, want %d %q", code, reason, tc.code, tc.reason)
			}
			p.Close()
			s.stop()
			if got := s.warnings(); len(got) != tc.lines {
				t.Errorf("%d lines, want %d: %q", len(got), tc.lines, got)
			}
			for _, e := range s.logs.All() {
				stack, _ := e.ContextMap()["stack"].(string)
				if wants := strings.HasPrefix(tc.name, "panic"); wants != strings.Contains(stack, "TestAppResults") {
					t.Errorf("stack %q", stack)
				}
			}
		})
	}
}

// Case 201: malformed handshakes. Case 175 asks the same of headers: net/http refuses them.
func TestMalformedHandshakes(t *testing.T) {
	s := variant{}.serveTCP(t, echoing(nil), server.Options{})
	good := handshake + "\r\n"
	for _, tc := range []struct {
		name, request string
		status        int
		header        string // name: value
		lines         int    // in the log; net/http is silent about what it refuses itself
	}{
		{"good", good, 101, "Upgrade: websocket", 0},
		{"tokens in any case, among others", strings.NewReplacer("Upgrade: websocket", "upgrade: h2c, WebSocket", "Connection: Upgrade", "connection: keep-alive, UPGRADE").Replace(good), 101, "", 0},
		{"case 201: version 12", strings.Replace(good, "Version: 13", "Version: 12", 1), 400, "Sec-Websocket-Version: 13", 1},
		{"no version", strings.Replace(good, "Sec-WebSocket-Version: 13\r\n", "", 1), 400, "Sec-Websocket-Version: 13", 1},
		{"case 201: no key", strings.Replace(good, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "", 1), 400, "", 1},
		{"short key", strings.Replace(good, "dGhlIHNhbXBsZSBub25jZQ==", "dGhl", 1), 400, "", 1},
		{"key that is no base64", strings.Replace(good, "dGhl", "%%%%", 1), 400, "", 1},
		{"two keys", strings.Replace(good, "Host:", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nHost:", 1), 400, "", 1},
		{"case 201: POST", strings.Replace(good, "GET", "POST", 1), 405, "Allow: GET", 1},
		{"HTTP/1.0", strings.Replace(good, "HTTP/1.1", "HTTP/1.0", 1), 400, "", 1},
		{"body", handshake + "Content-Length: 2\r\n\r\nhi", 400, "", 1},
		{"chunked body", handshake + "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", 400, "", 1},
		{"foreign origin", handshake + "Origin: https://evil.example\r\n\r\n", 403, "", 1},
		{"no host", strings.Replace(good, "Host: example.org\r\n", "", 1), 400, "", 0},
		{"bad header name", handshake + "a b: c\r\n\r\n", 400, "", 0},
		{"control character in a value", handshake + "a: b\x01\r\n\r\n", 400, "", 0},
		{"huge header", handshake + "a: " + strings.Repeat("x", 1<<17) + "\r\n\r\n", 431, "", 0},
		{"many headers", handshake + strings.Repeat("a: b\r\n", 1<<15) + "\r\n", 431, "", 0},
		{"garbage", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, "", 0},
		{"not an upgrade: Connection does not say so", strings.Replace(good, "Connection: Upgrade", "Connection: close", 1), 500, "", 1},
		{"not an upgrade: another protocol", strings.Replace(good, "websocket", "h2c", 1), 500, "", 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, before := s.peer(), len(s.warnings())
			go p.Write([]byte(tc.request)) // the server may answer before it has read all
			resp, err := http.ReadResponse(p.br, nil)
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != tc.status {
				t.Errorf("got %s, want %d", resp.Status, tc.status)
			}
			if name, value, _ := strings.Cut(tc.header, ": "); name != "" && resp.Header.Get(name) != value {
				t.Errorf("%s is %q, want %q", name, resp.Header.Get(name), value)
			}
			if got := s.warnings()[before:]; len(got) != tc.lines {
				t.Errorf("%d lines in the log, want %d: %q", len(got), tc.lines, got)
			}
		})
	}
}

// Case 202: permessage-deflate is negotiated when it is offered and configured.
func TestCompression(t *testing.T) {
	offer := "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"
	if p := (variant{}).mount(t, echoing(nil), server.Options{}).open(offer); p.resp.Header.Get("Sec-Websocket-Extensions") != "" {
		t.Error("compression is on by default")
	}
	s := variant{}.mount(t, echoing(nil), server.Options{Compression: true})
	for offer, want := range map[string]bool{
		offer: true,
		"Sec-WebSocket-Extensions: foo, permessage-deflate":                                                    true,
		"Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=10":                              false,
		"Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=10, permessage-deflate":          true,
		"Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover": true,
		"Sec-WebSocket-Extensions: permessage-deflate; unheard_of":                                             false,
		"Sec-WebSocket-Extensions: x-webkit-deflate-frame":                                                     false,
	} {
		p := s.open(offer)
		if got := p.resp.Header.Get("Sec-Websocket-Extensions"); strings.HasPrefix(got, "permessage-deflate") != want {
			t.Errorf("%s: answered %q", offer, got)
		}
		long := strings.Repeat("the quick brown fox ", 100)
		p.send(fin|text, long)
		first, payload, err := p.receive()
		if err != nil {
			t.Fatal(err)
		}
		if compressed := first == fin|rsv1|text; compressed != want || compressed && (len(payload) > 200 || inflate(t, payload) != long) {
			t.Errorf("%s: got frame %#x of %d bytes", offer, first, len(payload))
		}
		if want {
			p.send(fin|rsv1|text, deflate(long))
			if first, payload, _ := p.receive(); first != fin|rsv1|text || inflate(t, payload) != long {
				t.Errorf("a compressed message came back as %#x", first)
			}
		}
		p.send(fin|text, "short")
		if err := p.expect(fin|text, "short"); err != nil {
			t.Error(err)
		}
	}
}

// Case 204: a shutdown closes with 1001, delivers the disconnect and waits; promise S5 has the times.
func TestRunStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ends := make(chan asgi.WebSocketDisconnect, 1)
		s := variant{}.serve(t, echoing(ends), server.Options{})
		p := s.open()
		go closeLikeABrowser(p)
		if err := s.stop(); err != nil {
			t.Error("case 204: ", err)
		}
		if e := <-ends; e.Code != 1001 {
			t.Errorf("case 204: the application heard %+v", e)
		}
	})
}
