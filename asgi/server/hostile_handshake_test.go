package server_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
)

const (
	keyLine      = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	versionLine  = "Sec-WebSocket-Version: 13\r\n"
	upgradeLine  = "Upgrade: websocket\r\n"
	transferLine = "Connection: Upgrade\r\n"
)

// instead is the good handshake with one thing replaced.
func instead(old, new string) string {
	s := handshake + "\r\n"
	if !strings.Contains(s, old) {
		panic(old + " is not in a handshake")
	}
	return strings.Replace(s, old, new, 1)
}

// with is the good handshake with more lines.
func with(lines string) string { return handshake + lines + "\r\n" }

// hostileHandshakes are handshakes that may be wrong, beside those of TestMalformedHandshakes, and the status of the answer.
// 200 is plain HTTP, which the witness answers.
var hostileHandshakes = []struct {
	name, request string
	status        int
}{
	{"Connection does not say Upgrade", instead(transferLine, ""), 200},
	{"Connection has it inside a word", instead(transferLine, "Connection: NotUpgrade\r\n"), 200},
	{"Connection in a second line", instead(transferLine, "Connection: keep-alive\r\n"+transferLine), 101},
	{"no Upgrade", instead(upgradeLine, ""), 200},
	{"upgrade to h2c", instead("websocket", "h2c"), 200},
	{"upgrade to h2c with settings", instead(upgradeLine, "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"), 200},
	{"two Upgrade headers", instead(upgradeLine, "Upgrade: h2c\r\n"+upgradeLine), 101},
	{"the same Upgrade header twice", instead(upgradeLine, upgradeLine+upgradeLine), 101},
	{"websocket with a version", instead("websocket", "websocket/13"), 200},
	{"websocket in quotes", instead("websocket", `"websocket"`), 200},
	{"HEAD", instead("GET", "HEAD"), 405},
	{"PUT", instead("GET", "PUT"), 405},
	{"OPTIONS", instead("GET", "OPTIONS"), 405},
	{"CONNECT", instead("GET /ws/room/?q=1", "CONNECT example.org:80"), 400},
	{"HTTP/0.9", instead("HTTP/1.1", "HTTP/0.9"), 505},
	{"HTTP/2.0", instead("HTTP/1.1", "HTTP/2.0"), 505},
	{"version 8", instead("Version: 13", "Version: 8"), 400},
	{"version 130", instead("Version: 13", "Version: 130"), 400},
	{"a list of versions", instead("Version: 13", "Version: 13, 8"), 400},
	{"empty version", instead("Version: 13", "Version:"), 400},
	{"empty key", instead(keyLine, "Sec-WebSocket-Key:\r\n"), 400},
	{"key of 15 bytes", instead(keyLine, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j\r\n"), 400},
	{"key of 17 bytes", instead(keyLine, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZSE=\r\n"), 400},
	{"key of 16 characters", instead(keyLine, "Sec-WebSocket-Key: 0123456789abcdef\r\n"), 400},
	{"key of 8 kB", instead(keyLine, "Sec-WebSocket-Key: "+strings.Repeat("A", 8192)+"\r\n"), 400},
	{"key for URLs", instead(keyLine, "Sec-WebSocket-Key: _-hlIHNhbXBsZSBub25jZQ==\r\n"), 400},
	{"key with a space inside", instead(keyLine, "Sec-WebSocket-Key: dGhlIHNhbXBsZ SBub25jZQ==\r\n"), 400},
	{"two keys in one line", instead(keyLine, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ==\r\n"), 400},
	{"case 175: byte 0xE9 in the path", instead("/ws/room/", "/ws/\xe9/"), 400},
	{"case 175: byte 0xE9 in the query", instead("q=1", "q=\xe9"), 400},
	{"case 175: 0x85 in a value", with("a: b\x85c\r\n"), 400},
	{"case 175: 0x0B in a value", with("a: b\x0bc\r\n"), 400},
	{"case 175: 0x0C in a value", with("a: b\x0cc\r\n"), 400},
	{"case 175: 0x1C in a value", with("a: b\x1cc\r\n"), 400},
	{"case 175: 0x1D in a value", with("a: b\x1dc\r\n"), 400},
	{"case 175: 0x1E in a value", with("a: b\x1ec\r\n"), 400},
	{"case 175: space in a name", with("a b: c\r\n"), 400},
	{"case 175: NUL in a name", with("a\x00: c\r\n"), 400},
	{"case 175: 0x01 in a name", with("a\x01: c\r\n"), 400},
	{"case 175: 0xFF in a name", with("a\xff: c\r\n"), 400},
	{"space before a colon", instead(upgradeLine, "Upgrade : websocket\r\n"), 400},
	{"folded header", instead(upgradeLine, "Upgrade:\r\n websocket\r\n"), 101},
	{"two hosts", with("Host: example.org\r\n"), 400},
	{"Content-Length: 0", with("Content-Length: 0\r\n"), 101},
	{"Expect", with("Expect: 100-continue\r\n"), 101},
	{"Expect with a body", with("Expect: 100-continue\r\nContent-Length: 5\r\n"), 400},

	{"origin: own", with("Origin: http://example.org\r\n"), 101},
	{"origin: own behind TLS", with("Origin: https://example.org\r\n"), 101},
	{"origin: own in capitals", with("Origin: HTTP://EXAMPLE.ORG\r\n"), 101},
	{"origin: null", with("Origin: null\r\n"), 403},
	{"origin: empty", with("Origin:\r\n"), 403},
	{"origin: garbage", with("Origin: %%%\r\n"), 403},
	{"origin: no scheme", with("Origin: example.org\r\n"), 403},
	{"origin: only a scheme", with("Origin: http://\r\n"), 403},
	{"origin: file", with("Origin: file://\r\n"), 403},
	{"origin: another port", with("Origin: http://example.org:8080\r\n"), 403},
	{"origin: the port of the scheme", with("Origin: http://example.org:80\r\n"), 101},
	{"origin: port of letters", with("Origin: http://example.org:http\r\n"), 403},
	{"origin: port beyond 65535", with("Origin: http://example.org:99999\r\n"), 403},
	{"origin: subdomain", with("Origin: http://www.example.org\r\n"), 403},
	{"origin: longer name in front", with("Origin: http://evilexample.org\r\n"), 403},
	{"origin: longer name behind", with("Origin: http://example.org.evil\r\n"), 403},
	{"origin: trailing dot", with("Origin: http://example.org.\r\n"), 403},
	{"origin: as a user", with("Origin: http://example.org@evil.example\r\n"), 403},
	{"origin: as a path", with("Origin: http://evil.example/example.org\r\n"), 403},
	{"origin: as a fragment", with("Origin: http://evil.example#example.org\r\n"), 403},
	{"origin: behind a backslash", with("Origin: http://evil.example\\example.org\r\n"), 403},
	{"origin: with a path", with("Origin: http://example.org/\r\n"), 403},
	{"origin: two in one line", with("Origin: http://example.org http://evil.example\r\n"), 403},
	{"origin: two lines", with("Origin: http://example.org\r\nOrigin: http://example.org\r\n"), 403},
	{"origin: another one second", with("Origin: http://example.org\r\nOrigin: http://evil.example\r\n"), 403},
	{"origin: the client names the server's host", strings.Replace(with("Origin: http://evil.example\r\n"), "Host: example.org", "Host: example.org:80", 1), 403},

	{"subprotocols: only commas", with("Sec-WebSocket-Protocol: ,,, ,\r\n"), 101},
	{"subprotocols: empty", with("Sec-WebSocket-Protocol:\r\n"), 101},
	{"subprotocols: no tokens", with("Sec-WebSocket-Protocol: a b, \"c\", d=e, <script>\r\n"), 101},
	{"subprotocols: the same twice", with("Sec-WebSocket-Protocol: a, a\r\n"), 101},
	{"subprotocols: 1000", with("Sec-WebSocket-Protocol: " + strings.Repeat("abc, ", 1000) + "\r\n"), 101},
	{"subprotocols: bytes that are not ASCII", with("Sec-WebSocket-Protocol: \xe9\r\n"), 101},

	{"extensions: garbage", with("Sec-WebSocket-Extensions: ;;,,==\"\r\n"), 101},
	{"extensions: quote without an end", with("Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=\"15\r\n"), 101},
	{"extensions: no window", with("Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=0\r\n"), 101},
	{"extensions: a parameter twice", with("Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; server_no_context_takeover\r\n"), 101},
	{"extensions: 1000", with("Sec-WebSocket-Extensions: " + strings.Repeat("permessage-deflate; x, ", 1000) + "\r\n"), 101},
}

// TestHostileHandshakes demands the right status of each handshake, that those which are let in are good sockets, and that the server is
// afterwards what it was.
func TestHostileHandshakes(t *testing.T) {
	s := variant{}.serveTCP(t, asgi.AppFunc(witness), server.Options{Compression: true})
	unharmed := aftermath(t, s)
	for _, tc := range hostileHandshakes {
		t.Run(tc.name, func(t *testing.T) {
			p := s.peer()
			defer p.Close()
			go io.WriteString(p, tc.request) // the server may answer before it has read all
			resp, err := p.response()
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != tc.status {
				t.Fatalf("answered %s, want %d", resp.Status, tc.status)
			}
			if tc.status != 101 {
				return
			}
			p.send(fin|text, tc.name)
			if err := p.expect(fin|text, tc.name); err != nil {
				t.Error("the socket: ", err)
			}
			if chosen := resp.Header.Get("Sec-Websocket-Protocol"); chosen != "" {
				t.Errorf("chose the subprotocol %q, which the application did not", chosen)
			}
		})
	}
	unharmed()
}

// response reads the header of a final response.
func (p *peer) response() (*http.Response, error) {
	for {
		resp, err := http.ReadResponse(p.br, nil)
		if err != nil || resp.StatusCode != http.StatusContinue {
			return resp, err
		}
	}
}

// What stands behind a handshake in the same packet are frames, never requests: also when it looks like one, and when the
// application takes its time to accept.
func TestBytesBehindAHandshake(t *testing.T) {
	gate := make(chan struct{}, 1)
	s := variant{}.serveTCP(t, gated(gate), server.Options{})
	unharmed := func() func() { gate <- struct{}{}; return aftermath(t, s) }()
	for _, tc := range []struct {
		name   string
		behind []byte
		code   int
	}{
		{"a pipelined request", []byte(second), 1002},
		{"frames", join(frame(fin|text, "one"), frame(text, "tw"), frame(fin|cont, "o"), frame(fin|closing, closePayload(4000, ""))), 4000},
		{"a large frame", join(frame(fin|bin, strings.Repeat("x", 100_000)), frame(fin|closing, "")), 1005},
		{"another handshake", []byte(handshake + "\r\n"), 1002},
		{"an unmasked frame", []byte{fin | text, 2, 'h', 'i'}, 1002},
		{"a line end", []byte("\r\n"), 1002},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := s.peer()
			defer p.Close()
			go p.Write(append([]byte(handshake+"\r\n"), tc.behind...))
			gate <- struct{}{}
			resp, err := p.response()
			if err != nil || resp.StatusCode != 101 {
				t.Fatal(resp, err)
			}
			if err := p.expectEnd(tc.code); err != nil {
				t.Error(err)
			}
		})
	}
	gate <- struct{}{}
	unharmed()
}

// Many handshakes wait for a slow application at once. None of them is answered before it has decided, and others that it decides
// about are served meanwhile.
func TestManyHandshakesWait(t *testing.T) {
	const waiting = 200
	gate := make(chan struct{})
	slow := gated(gate)
	s := variant{}.serveTCP(t, byQuery("slow", slow, asgi.AppFunc(witness)), server.Options{})
	unharmed := aftermath(t, s)
	request := instead("q=1", "slow")
	var peers []*peer
	for range waiting {
		p := s.peer()
		io.WriteString(p, request)
		peers = append(peers, p)
	}
	if !eventually(func() bool { return s.srv.Stats().Handshaking == waiting }) {
		t.Fatalf("%d handshakes wait, want %d", s.srv.Stats().Handshaking, waiting)
	}
	other := s.open()
	other.send(fin|text, "unharmed")
	if err := other.expect(fin|text, "unharmed"); err != nil {
		t.Error(err)
	}
	other.Close()
	for _, p := range peers[:waiting/2] {
		p.Close() // they give up
	}
	if !eventually(func() bool { return s.srv.Stats().Handshakes.Abandoned == waiting/2 }) {
		t.Errorf("%d handshakes are abandoned, want %d", s.srv.Stats().Handshakes.Abandoned, waiting/2)
	}
	close(gate)
	for i, p := range peers[waiting/2:] {
		if resp, err := p.response(); err != nil || resp.StatusCode != 101 {
			t.Fatal(i, resp, err)
		}
		said := fmt.Sprint("client ", i)
		p.send(fin|text, said)
		if err := p.expect(fin|text, said); err != nil {
			t.Error(err)
		}
		p.Close()
	}
	unharmed()
}
