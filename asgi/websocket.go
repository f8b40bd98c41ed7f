package asgi

import "net/http"

// WebSocketConnect (received) is the client's handshake. Nothing goes back until the application answers with
// [WebSocketAccept], [WebSocketClose] or [WebSocketHTTPResponseStart].
type WebSocketConnect struct{}

// WebSocketAccept (sent) completes the handshake with 101.
type WebSocketAccept struct {
	// Subprotocol is one of those that the client offered, or empty. One that it did not offer is an error.
	Subprotocol string
	// Header is added to the response. It must not contain Sec-Websocket-Protocol.
	Header http.Header
}

// WebSocketReceive (received) is one whole message. Its bytes belong to the application.
type WebSocketReceive struct {
	Frame Frame
	// Waited says that Receive had to wait for the message, so that the server has written what More held back before: an
	// application that sees to it that nothing is held back for long need not flush. A server that cannot tell leaves it false.
	Waited bool
}

// WebSocketSend (sent) is one whole message.
type WebSocketSend struct {
	// Frame is the message. Its bytes must not change any more: they may be written later.
	Frame Frame
	// Prepared, made by [Prepare] of this very Frame, lets a server share the encoded form among connections. A
	// server ignores it when its frame is another one, so a middleware that changes Frame need not clear it.
	Prepared *Prepared
	// More says that something else follows soon: the server may hold the message back until an event without More, a
	// [WebSocketFlush], the next call of Receive that has to wait, or a full queue, and write all of it at once.
	More bool
}

// WebSocketFlush (sent) writes what More held back. It is an extension of ours, "websocket.flush", and does nothing
// when nothing is held back.
type WebSocketFlush struct{}

// WebSocketClose (sent) ends the connection. Before the accept it refuses the handshake with 403; after it the close
// frame carries code and reason, and a WebSocketDisconnect follows.
type WebSocketClose struct {
	Code   int // default 1000
	Reason string
}

// WebSocketDisconnect (received) is the last event of a connection, whoever ended it.
type WebSocketDisconnect struct {
	// Code is that of the close frame which ended the connection; 1005 if it had none, 1006 if there was no such frame.
	Code   int
	Reason string
	By     EndedBy
}

// WebSocketHTTPResponseStart (sent, instead of an accept) refuses the handshake with an HTTP response of the
// application's choice. Extension "websocket.http.response".
type WebSocketHTTPResponseStart struct {
	Status int
	Header http.Header
}

// WebSocketHTTPResponseBody (sent) is a part of the body of a refusal; the last one has MoreBody false.
type WebSocketHTTPResponseBody struct {
	Body     []byte
	MoreBody bool
}

// EventType is "websocket.connect".
func (WebSocketConnect) EventType() string { return "websocket.connect" }

// EventType is "websocket.accept".
func (WebSocketAccept) EventType() string { return "websocket.accept" }

// EventType is "websocket.receive".
func (WebSocketReceive) EventType() string { return "websocket.receive" }

// EventType is "websocket.send".
func (WebSocketSend) EventType() string { return "websocket.send" }

// EventType is "websocket.flush".
func (WebSocketFlush) EventType() string { return "websocket.flush" }

// EventType is "websocket.close".
func (WebSocketClose) EventType() string { return "websocket.close" }

// EventType is "websocket.disconnect".
func (WebSocketDisconnect) EventType() string { return "websocket.disconnect" }

// EventType is "websocket.http.response.start".
func (WebSocketHTTPResponseStart) EventType() string { return "websocket.http.response.start" }

// EventType is "websocket.http.response.body".
func (WebSocketHTTPResponseBody) EventType() string { return "websocket.http.response.body" }
