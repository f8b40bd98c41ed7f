package server

import (
	"fmt"
	"unicode/utf8"

	"github.com/tideway-go/tideway/asgi"
)

// Close codes of RFC 6455 section 7.4.1 that this server uses.
const (
	codeNormal      = 1000
	codeGoingAway   = 1001
	codeProtocol    = 1002
	codeNoStatus    = 1005 // never on the wire: the close frame had no code
	codeAbnormal    = 1006 // never on the wire: there was no close frame
	codeInvalidData = 1007
	codePolicy      = 1008
	codeTooBig      = 1009
	codeInternal    = 1011
	codeRestart     = 1012
)

// maxReason is what a control frame of 125 bytes leaves for the reason (RFC 6455 section 5.5).
const maxReason = 123

// checkClose returns an error that says what to write when an application may not send this code or reason.
func checkClose(code int, reason string) error {
	switch {
	case code >= 1000 && code <= 1003, code >= 1007 && code <= 1014, code >= 3000 && code <= 4999:
	default:
		return fmt.Errorf("asgi/server: send websocket.close: code %d is not for applications: use 1000 for a normal end, 1011 for a failure, or 4000 to 4999 for a meaning of your own", code)
	}
	if len(reason) > maxReason {
		return fmt.Errorf("asgi/server: send websocket.close: the reason has %d bytes: use at most %d", len(reason), maxReason)
	}
	if !utf8.ValidString(reason) {
		return fmt.Errorf("asgi/server: send websocket.close: the reason is not UTF-8: use text")
	}
	return nil
}

// disconnectEvent is the event that tells the application what d says.
func disconnectEvent(d asgi.DisconnectError) asgi.WebSocketDisconnect {
	return asgi.WebSocketDisconnect(d)
}
