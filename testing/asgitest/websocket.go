package asgitest

import (
	"context"
	"fmt"
	"net/http"
	"unicode/utf8"

	"github.com/tideway-go/tideway/asgi"
)

// A WebSocket is the client's end of a connection that exists in memory. Reading it yields, in order, what the app sent:
// the accept (which [Site.Dial] has taken already), messages, and one [asgi.WebSocketClose] at the end, however the
// server's side ended: 1000 when the app returned, 1011 when it failed, 1001 in a [Site.Shutdown], 1006 when the server cut the connection. There is no close when the client ended it.
//
// Once the connection has ended, sending and closing are harmless and do nothing.
type WebSocket struct {
	client
	server *wsServer
}

// Open begins a handshake and does not wait for the answer, which is the first event to receive. The path may have a
// query, and may be a whole URL.
func (s *Site) Open(path string) *WebSocket {
	s.t.Helper()
	scope, err := s.scope(asgi.WebSocket, "", path)
	if err != nil {
		s.t.Fatalf("asgitest: open a WebSocket: %v", err)
	}
	server := &wsServer{scope: scope}
	ctx := server.open(s.options)
	server.onStall = func() {
		server.emit(asgi.WebSocketClose{Code: codeLost})
		server.over(asgi.DisconnectError{Code: codeLost, Reason: "write: the client does not read", By: asgi.ByNetwork}, lost)
	}
	server.in = []asgi.Event{asgi.WebSocketConnect{}}
	ws := &WebSocket{server: server}
	ws.client = client{t: s.t, timeout: s.options.Timeout, link: &server.link}
	ws.log.add("client", asgi.WebSocketConnect{})
	down := s.enlist(server)
	ws.run = s.begin(ctx, "websocket "+path, ws.Drop, func(ctx context.Context) error {
		if down {
			return asgi.Deny{Status: http.StatusServiceUnavailable}
		}
		return s.app.Serve(ctx, scope, server.receive, server.send)
	}, server.settle)
	return ws
}

// Dial opens a WebSocket and fails the test unless the app accepts it.
func (s *Site) Dial(path string) *WebSocket {
	s.t.Helper()
	ws := s.Open(path)
	const expected = "websocket.accept"
	event := ws.want(expected)
	if _, ok := event.(asgi.WebSocketAccept); ok {
		return ws
	}
	if r, ok := ws.refusal(event); ok {
		ws.fatalf("expected %s, got %v", expected, r)
	}
	ws.mismatch(expected, event)
	return nil
}

// DialWith is Dial with other options, as [Site.With] lays them over those of the Site.
func (s *Site) DialWith(path string, o *Options) *WebSocket {
	s.t.Helper()
	return s.With(o).Dial(path)
}

// Subprotocol is the one that the app chose, "" if none.
func (ws *WebSocket) Subprotocol() string {
	ws.server.mu.Lock()
	defer ws.server.mu.Unlock()
	return ws.server.accepted.Subprotocol
}

// Header holds the headers that the app put into the accept.
func (ws *WebSocket) Header() http.Header {
	ws.server.mu.Lock()
	defer ws.server.mu.Unlock()
	return ws.server.accepted.Header
}

// SendText sends a text message, which may be empty. Text that is not UTF-8 makes the server close with 1007. Like
// SendBinary it waits while the app has too much unread, and fails the test when that takes too long.
func (ws *WebSocket) SendText(text string) {
	ws.t.Helper()
	ws.sendFrame(asgi.TextFrame(text))
}

// SendBinary sends a copy of data, which may be empty, as a binary message.
func (ws *WebSocket) SendBinary(data []byte) {
	ws.t.Helper()
	ws.sendFrame(asgi.BinaryFrame(append([]byte{}, data...)))
}

func (ws *WebSocket) sendFrame(f asgi.Frame) {
	ws.t.Helper()
	event := asgi.WebSocketReceive{Frame: f}
	s := ws.server
	s.mu.Lock()
	early := s.phase != open && !s.ended
	switch {
	case early:
	case !f.Binary && !utf8.Valid(f.Data):
		s.closeBy(codeNotUTF8, "the text is not UTF-8", appCloseTimeout)
	case len(f.Data) > s.limits.MaxMessage:
		s.closeBy(codeTooBig, fmt.Sprintf("the message has more than %d bytes", s.limits.MaxMessage), appCloseTimeout)
	}
	s.mu.Unlock()
	if early {
		ws.fatalf("send %s: the handshake is not answered yet: use Site.Dial, or receive the websocket.accept first", describeFrame(f))
	}
	ws.give(event)
}

// Close sends a close frame, with any code, also one that only a browser may send. 1005 stands for a frame without a
// code. It does not wait for the app; see [WebSocket.Wait] and [WebSocket.Disconnect]. Messages that the app had already
// sent can still be read. Before the answer to the handshake it is a Drop.
func (ws *WebSocket) Close(code int, reason string) {
	s := ws.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	if s.phase != open {
		s.over(asgi.DisconnectError{Code: codeLost, By: asgi.ByNetwork}, lost)
		return
	}
	d := asgi.DisconnectError{Code: code, Reason: reason, By: asgi.ByClient}
	ws.log.add("client", asgi.WebSocketClose{Code: code, Reason: reason})
	s.over(d, appCloseTimeout)
}

// Drop cuts the connection without a word, as a lost network does: the app sees code 1006, and its ctx ends at once.
func (ws *WebSocket) Drop() {
	s := ws.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended { // orderly, and yet there is nothing more to wait for
		s.hurry()
		return
	}
	s.over(asgi.DisconnectError{Code: codeLost, By: asgi.ByNetwork}, lost)
}

// Disconnect closes with 1000, waits for the app and fails the test if it failed or does not end. Tests usually end so.
func (ws *WebSocket) Disconnect() {
	ws.t.Helper()
	ws.Close(codeNormal, "")
	if err := ws.settled(); err != nil {
		ws.fatalf("expected the app to end well")
	}
}

// Wait waits for the app to end and returns the error with which it failed; what counts as failing is in the package
// comment. It fails the test when the app goes on.
func (ws *WebSocket) Wait() error {
	ws.t.Helper()
	return ws.settled()
}
