package asgitest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"testing/synctest"

	"github.com/tideway-go/tideway/asgi"
)

// Next waits for the app's next event until ctx ends, whose cause it then returns; nothing is lost. After the last
// event it returns [asgi.ErrClosed]. It never fails the test, and may be called from any goroutine.
func (ws *WebSocket) Next(ctx context.Context) (asgi.Event, error) { return ws.next(ctx) }

// Receive returns the app's next event, whatever it is.
func (ws *WebSocket) Receive() asgi.Event {
	ws.t.Helper()
	return ws.want("an event")
}

// ReceiveText returns the next event, which must be a text message.
func (ws *WebSocket) ReceiveText() string {
	ws.t.Helper()
	return string(ws.frame("websocket.send (text)", false))
}

// ReceiveBinary returns the next event, which must be a binary message.
func (ws *WebSocket) ReceiveBinary() []byte {
	ws.t.Helper()
	return ws.frame("websocket.send (binary)", true)
}

// frame demands a message of one kind.
func (ws *WebSocket) frame(expected string, binary bool) []byte {
	ws.t.Helper()
	event := ws.want(expected)
	send, ok := event.(asgi.WebSocketSend)
	if !ok || send.Frame.Binary != binary {
		ws.mismatch(expected, event)
	}
	return send.Frame.Data
}

// ExpectText demands that the next event is this text message.
func (ws *WebSocket) ExpectText(want string) {
	ws.t.Helper()
	expected := "websocket.send (text " + showText(want) + ")"
	if got := string(ws.frame(expected, false)); got != want {
		ws.fatalf("expected %s, got text %s%s", expected, showText(got), difference(want, got))
	}
}

// ExpectBinary demands that the next event is this binary message.
func (ws *WebSocket) ExpectBinary(want []byte) {
	ws.t.Helper()
	expected := "websocket.send (binary " + showBytes(want) + ")"
	if got := ws.frame(expected, true); !bytes.Equal(got, want) {
		ws.fatalf("expected %s, got binary %s%s", expected, showBytes(got), difference(string(want), string(got)))
	}
}

// difference says where two long payloads part; short ones are shown whole.
func difference(want, got string) string {
	if len(want) <= maxShown/4 && len(got) <= maxShown/4 {
		return ""
	}
	i := 0
	for i < len(want) && i < len(got) && want[i] == got[i] {
		i++
	}
	return fmt.Sprintf("; they differ from byte %d on", i)
}

// SendJSON sends v as JSON in a text message.
func (ws *WebSocket) SendJSON(v any) {
	ws.t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		ws.fatalf("SendJSON: %v", err)
	}
	ws.SendText(string(text))
}

// ReceiveJSON decodes the next event, which must be a text message of JSON, into v, a pointer.
func (ws *WebSocket) ReceiveJSON(v any) {
	ws.t.Helper()
	text := ws.frame("websocket.send (text of JSON)", false)
	if err := json.Unmarshal(text, v); err != nil {
		ws.fatalf("expected websocket.send (text of JSON for a %T), got text %s: %v", v, showText(string(text)), err)
	}
}

// ExpectJSON demands that the next event is a text message of the JSON that want encodes to; white space and the order
// of names do not matter. A [json.RawMessage] is JSON already.
func (ws *WebSocket) ExpectJSON(want any) {
	ws.t.Helper()
	encoded, err := json.Marshal(want)
	if err != nil {
		ws.fatalf("ExpectJSON: %v", err)
	}
	expected := "websocket.send (JSON " + showText(string(encoded)) + ")"
	got := ws.frame(expected, false)
	if !sameJSON(encoded, got) {
		ws.fatalf("expected %s, got text %s", expected, showText(string(got)))
	}
}

// sameJSON compares two JSON texts by what they mean. Numbers are the same when they are written alike.
func sameJSON(a, b []byte) bool {
	x, errX := decodeJSON(a)
	y, errY := decodeJSON(b)
	return errX == nil && errY == nil && reflect.DeepEqual(x, y)
}

func decodeJSON(text []byte) (v any, err error) {
	if !json.Valid(text) {
		return nil, fmt.Errorf("not JSON")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	err = d.Decode(&v)
	return v, err
}

// ReceiveClose returns code and reason of the next event, which must be the close.
func (ws *WebSocket) ReceiveClose() asgi.CloseError {
	ws.t.Helper()
	return ws.closing("websocket.close")
}

// ExpectClose demands that the next event is a close with this code and reason.
func (ws *WebSocket) ExpectClose(code int, reason string) {
	ws.t.Helper()
	expected := "websocket.close (" + describeClose(code, reason) + ")"
	if got := ws.closing(expected); got.Code != code || got.Reason != reason {
		ws.fatalf("expected %s, got websocket.close (%s)", expected, describeClose(got.Code, got.Reason))
	}
}

func (ws *WebSocket) closing(expected string) asgi.CloseError {
	ws.t.Helper()
	event := ws.want(expected)
	e, ok := event.(asgi.WebSocketClose)
	if !ok {
		ws.mismatch(expected, event)
	}
	return asgi.CloseError{Code: e.Code, Reason: e.Reason}
}

// ExpectNothing demands that the app has sent nothing that was not received, nor will before the clock moves. Messages
// that it sent with More and has not flushed count as sent. It needs a [testing/synctest] bubble, unless the connection
// has ended: outside of one, send a marker and expect that instead; see the package comment.
func (ws *WebSocket) ExpectNothing() {
	ws.t.Helper()
	ws.nothing()
}

// nothing is ExpectNothing for every kind of client.
func (c *client) nothing() {
	c.t.Helper()
	bubble := inBubble()
	l := c.link
	l.mu.Lock()
	waiting := append(append([]asgi.Event{}, l.out...), l.held...)
	flushed, over := len(l.out), l.outOver
	l.mu.Unlock()
	switch {
	case len(waiting) > 0 && flushed == 0:
		c.fatalf("expected nothing, but the app has sent, and not flushed, %s", describe(waiting[0]))
	case len(waiting) > 0:
		c.mismatch("nothing", waiting[0])
	case !over && !bubble:
		c.fatalf("ExpectNothing proves nothing outside of a bubble: call synctest.Test, or let the app send a marker and expect that next")
	}
}

// inBubble waits until all other goroutines of the bubble are blocked, and reports whether there is a bubble.
func inBubble() (ok bool) {
	defer func() {
		if recover() != nil { // how synctest.Wait says that there is none
			ok = false
		}
	}()
	synctest.Wait()
	return true
}
