package asgi

import (
	"errors"
	"fmt"
	"net/http"
)

var (
	// ErrClosed is returned by Send after the connection's end, and by Receive after its last event. It means that
	// the other side was faster; an App that returns it has not failed.
	ErrClosed = errors.New("asgi: connection is closed")

	// ErrFull is returned by Send, called with a ctx that has already ended, when the connection's queue has no room.
	ErrFull = errors.New("asgi: connection's queue is full")
)

// Deny, returned by an App before it accepted a WebSocket or began a response, refuses the connection with an HTTP
// response. The zero value is 403 with an empty body.
type Deny struct {
	Status int // default 403
	Header http.Header
	Body   []byte
}

// Error says the status.
func (d Deny) Error() string {
	return fmt.Sprintf("asgi: denied: %d %s", d.StatusCode(), http.StatusText(d.StatusCode()))
}

// StatusCode is Status, or 403 where that is zero.
func (d Deny) StatusCode() int {
	if d.Status == 0 {
		return http.StatusForbidden
	}
	return d.Status
}

// StatusOf finds an error that says by itself how to answer a client, where nothing has been answered yet: one with a method
// StatusCode() int that returns 400 to 599, as the errors of a channel layer do while its broker is away, 503. It is a failure all
// the same, and logged. A panic says nothing, whatever its value, and a [Deny] is a response of its own. For servers, and
// for middleware that tells what they answer.
func StatusOf(err error) (status int, ok bool) {
	var says interface {
		error
		StatusCode() int
	}
	var panicked *PanicError
	var deny Deny
	if errors.As(err, &panicked) || errors.As(err, &deny) || !errors.As(err, &says) {
		return 0, false
	}
	status = says.StatusCode()
	return status, status >= 400 && status <= 599
}

// CloseError, returned by an App or a handler, closes a WebSocket with a code and a reason (RFC 6455 section 7.4).
// An App may use 1000 to 1003, 1007 to 1014 and 3000 to 4999, and 0 for 1000; the reason has at most 123 bytes of UTF-8.
// Before the accept it refuses the connection with 403, as [WebSocketClose] does. A server logs nothing of a CloseError
// that is returned as it is, and one line, without a stack, of one that is wrapped in another error.
type CloseError struct {
	Code   int
	Reason string
}

// Error says code and reason.
func (e CloseError) Error() string {
	if e.Reason == "" {
		return fmt.Sprintf("asgi: close %d", e.Code)
	}
	return fmt.Sprintf("asgi: close %d: %s", e.Code, e.Reason)
}

// EndedBy says who ended a connection.
type EndedBy string

// The four ways in which a connection ends.
const (
	ByClient  EndedBy = "client"  // the client closed it
	ByApp     EndedBy = "app"     // the application closed it
	ByServer  EndedBy = "server"  // the server closed it: a protocol error, a limit, shutdown
	ByNetwork EndedBy = "network" // it was lost without a word
)

// DisconnectError is the cause with which a connection's ctx ends.
type DisconnectError struct {
	Code   int    // as in [WebSocketDisconnect]; 0 for HTTP
	Reason string // what the side that closed gave as its reason
	By     EndedBy
}

// Error says who ended the connection, and how.
func (e DisconnectError) Error() string {
	s := "asgi: connection ended by the " + string(e.By)
	if e.Code != 0 {
		s += fmt.Sprintf(", code %d", e.Code)
	}
	if e.Reason != "" {
		s += ": " + e.Reason
	}
	return s
}

// Is makes a DisconnectError match [ErrClosed].
func (e DisconnectError) Is(target error) bool { return target == ErrClosed }
