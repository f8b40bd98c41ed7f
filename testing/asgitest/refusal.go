package asgitest

import (
	"fmt"
	"net/http"

	"github.com/tideway-go/tideway/asgi"
)

// A Refusal is how an app turned a WebSocket down.
type Refusal struct {
	// Status, Header and Body are the HTTP response that a real client gets: that of the app's [asgi.Deny] or denial
	// response, 403 for a close before the accept (an [asgi.CloseError] that it returned, too), 500 for an app that failed, or
	// what its error says ([asgi.StatusOf]), and for one that returned without an answer.
	Status int
	Header http.Header
	Body   []byte
	// Code and Reason are those of a close before the accept, which no real client sees: 1000 where the app named no code.
	// Code is 0 if the app did not close.
	Code   int
	Reason string
	// Err is the error with which the app refused by returning: its [asgi.Deny] or [asgi.CloseError], or what it failed with.
	Err error
}

// String is the refusal in the words of a failure text.
func (r *Refusal) String() string {
	s := fmt.Sprintf("a refusal with status %d", r.Status)
	if r.Code != 0 {
		s += " (websocket.close " + describeClose(r.Code, r.Reason) + ")"
	}
	for _, h := range headers(r.Header) {
		s += ", " + h
	}
	if len(r.Body) > 0 {
		s += ", body " + showText(string(r.Body))
	}
	return s
}

// Refused opens a WebSocket and fails the test unless the app refuses it. An app that failed has refused with 500: check
// the status.
func (s *Site) Refused(path string) *Refusal {
	s.t.Helper()
	ws := s.Open(path)
	const expected = "a refusal"
	event := ws.want(expected)
	r, ok := ws.refusal(event)
	if !ok {
		ws.mismatch(expected, event)
	}
	return r
}

// refusal reads the rest of a refusal that begins with event, and reports whether it is one.
func (ws *WebSocket) refusal(event asgi.Event) (*Refusal, bool) {
	ws.t.Helper()
	var r *Refusal
	switch e := event.(type) {
	case asgi.WebSocketClose:
		r = &Refusal{Status: http.StatusForbidden, Header: http.Header{}, Code: e.Code, Reason: e.Reason}
	case asgi.WebSocketHTTPResponseStart:
		r = &Refusal{Status: e.Status, Header: e.Header}
		if r.Header == nil {
			r.Header = http.Header{}
		}
		for more := true; more; {
			part, ok := ws.want("websocket.http.response.body").(asgi.WebSocketHTTPResponseBody)
			r.Body = append(r.Body, part.Body...)
			more = ok && part.MoreBody
		}
	default:
		return nil, false
	}
	ws.server.mu.Lock()
	r.Err = ws.server.refusedBy
	ws.server.mu.Unlock()
	if r.Err != nil {
		ws.run.shown.Store(true)
	}
	return r, true
}
