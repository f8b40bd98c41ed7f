package asgitest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/tideway-go/tideway/asgi"
)

// A wsServer is the server's end of one WebSocket: it holds the app to the protocol.
type wsServer struct {
	link
	scope     *asgi.Scope
	phase     phase
	accepted  asgi.WebSocketAccept
	refusedBy error // what the app returned instead of an answer
}

// A phase is how far a handshake has come.
type phase int

const (
	connecting phase = iota // the app has not answered
	refusing                // a denial response has begun
	open                    // accepted
)

// Limits of close frames (RFC 6455 sections 5.5 and 7.4).
const (
	maxReason     = 123
	codeNormal    = 1000
	codeGoingAway = 1001
	codeLost      = 1006
	codeNotUTF8   = 1007
	codeTooBig    = 1009
	codeInternal  = 1011
)

// send is the app's [asgi.Send].
func (s *wsServer) send(ctx context.Context, event asgi.Event) error {
	if event == nil {
		return errNil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return asgi.ErrClosed
	}
	if err := s.check(event); err != nil {
		return fmt.Errorf("asgitest: send %s: %w", event.EventType(), err)
	}
	if !once(event) {
		if err := s.reserve(ctx, s.size(event)); err != nil {
			return err // while others send, a phase that takes data can only end
		}
	}
	s.apply(event)
	return nil
}

var errNil = errors.New("asgitest: send: the event is nil: pass one of the structs of package asgi")

// check says why event does not fit the state of the connection, and what would.
func (s *wsServer) check(event asgi.Event) error {
	switch e := event.(type) {
	case asgi.WebSocketAccept:
		if err := s.checkPhase(connecting); err != nil {
			return err
		}
		return s.checkAccept(e)
	case asgi.WebSocketSend:
		if err := s.checkPhase(open); err != nil {
			return err
		}
		if !e.Frame.Binary && !utf8.Valid(e.Frame.Data) {
			return errors.New("the text is not UTF-8: send it as a binary frame")
		}
	case asgi.WebSocketFlush:
		return s.checkPhase(open)
	case asgi.WebSocketClose:
		if s.phase == refusing {
			return s.checkPhase(connecting)
		}
		return checkClose(e.Code, e.Reason)
	case asgi.WebSocketHTTPResponseStart:
		if err := s.checkPhase(connecting); err != nil {
			return err
		}
		return errors.Join(checkStatus(e.Status), checkHeader(e.Header))
	case asgi.WebSocketHTTPResponseBody:
		return s.checkPhase(refusing)
	default:
		return errForeign(event, "websocket")
	}
	return nil
}

// checkPhase says what to do in the present phase where an event belongs to another one.
func (s *wsServer) checkPhase(want phase) error {
	switch {
	case s.phase == want:
		return nil
	case s.phase == connecting && want == open:
		return errors.New("the WebSocket is not accepted yet: send asgi.WebSocketAccept first")
	case s.phase == connecting:
		return errors.New("no denial response has begun: send asgi.WebSocketHTTPResponseStart first")
	case s.phase == refusing:
		return errors.New("the handshake is being refused: send asgi.WebSocketHTTPResponseBody, the last one without MoreBody")
	default:
		return errors.New("the WebSocket is accepted already: send asgi.WebSocketSend or asgi.WebSocketClose")
	}
}

func (s *wsServer) checkAccept(e asgi.WebSocketAccept) error {
	if e.Subprotocol != "" && !slices.Contains(s.scope.Subprotocols(), e.Subprotocol) {
		return fmt.Errorf("the client did not offer subprotocol %q: choose one of %q or none", e.Subprotocol, s.scope.Subprotocols())
	}
	for name := range e.Header {
		switch http.CanonicalHeaderKey(name) {
		case "Sec-Websocket-Protocol":
			return errors.New("field Header has Sec-Websocket-Protocol: set Subprotocol instead")
		case "Sec-Websocket-Accept", "Sec-Websocket-Extensions", "Connection", "Upgrade", "Content-Length", "Transfer-Encoding":
			return fmt.Errorf("field Header has %s: leave it out, the server sets it", name)
		}
	}
	return checkHeader(e.Header)
}

// checkClose says why an app may not use this code or reason.
func checkClose(code int, reason string) error {
	switch {
	case code == 0, code >= 1000 && code <= 1003, code >= 1007 && code <= 1014, code >= 3000 && code <= 4999:
	default:
		return fmt.Errorf("code %d is not for applications: use 1000, 1011, or one from 4000 to 4999", code)
	}
	if len(reason) > maxReason {
		return fmt.Errorf("the reason has %d bytes: use at most %d", len(reason), maxReason)
	}
	if !utf8.ValidString(reason) {
		return errors.New("the reason is not UTF-8")
	}
	return nil
}

// errForeign is about an event that the scope's protocol does not have, or that is a pointer.
func errForeign(event asgi.Event, protocol string) error {
	if reflect.TypeOf(event).Kind() == reflect.Pointer {
		return fmt.Errorf("the event is a %T: events travel by value, leave out the &", event)
	}
	return fmt.Errorf("%T is not for an app to send in a scope of type %q", event, protocol)
}

// apply carries out an event that fits.
func (s *wsServer) apply(event asgi.Event) {
	switch e := event.(type) {
	case asgi.WebSocketAccept:
		s.phase = open
		s.accepted = asgi.WebSocketAccept{Subprotocol: e.Subprotocol, Header: e.Header.Clone()}
		s.emit(s.accepted)
	case asgi.WebSocketSend:
		s.hold(asgi.WebSocketSend{Frame: e.Frame})
		if !e.More {
			s.release()
		}
	case asgi.WebSocketFlush:
		s.release()
	case asgi.WebSocketClose:
		e.Code = orNormal(e.Code)
		s.emit(e)
		if s.phase == open {
			s.over(asgi.DisconnectError{Code: e.Code, Reason: e.Reason, By: asgi.ByApp}, appCloseTimeout)
		} else {
			s.over(asgi.DisconnectError{Code: codeLost, Reason: e.Reason, By: asgi.ByApp}, appCloseTimeout)
		}
	case asgi.WebSocketHTTPResponseStart:
		s.phase = refusing
		s.emit(asgi.WebSocketHTTPResponseStart{Status: e.Status, Header: e.Header.Clone()})
	case asgi.WebSocketHTTPResponseBody:
		s.emit(e)
		if !e.MoreBody {
			s.over(asgi.DisconnectError{Code: codeLost, By: asgi.ByApp}, appCloseTimeout)
		}
	}
}

// orNormal is a close code with its default.
func orNormal(code int) int {
	if code == 0 {
		return codeNormal
	}
	return code
}

// over ends the connection for both sides, and ctx when the grace is over. What the client had sent still reaches the app
// unless the app itself has ended the connection. The first end is the one that counts.
func (s *wsServer) over(d asgi.DisconnectError, grace time.Duration) {
	if s.ended {
		return
	}
	s.release()
	s.lastIn(asgi.WebSocketDisconnect{Code: d.Code, Reason: d.Reason, By: d.By}, d.By != asgi.ByApp)
	s.outOver = true
	s.finish(d, grace)
}

// closeBy ends an open connection with a close frame of the server's own.
func (s *wsServer) closeBy(code int, reason string, grace time.Duration) {
	if s.ended {
		return
	}
	s.emit(asgi.WebSocketClose{Code: code, Reason: reason})
	s.over(asgi.DisconnectError{Code: code, Reason: reason, By: asgi.ByServer}, grace)
}

// settle ends what the app has left open when Serve has returned, as a server does.
func (s *wsServer) settle(r *run) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.judge(r)
	d := asgi.DisconnectError{Code: codeLost, By: asgi.ByApp}
	if !s.ended {
		s.release()
		defer s.answered(len(s.out))
		switch s.phase {
		case connecting:
			s.refuse(r)
		case refusing:
			if r.failed == nil {
				r.failed = errors.New("it returned before the last part of its refusal, an asgi.WebSocketHTTPResponseBody without MoreBody")
			}
		case open:
			d.Code, d.Reason = closeFor(r)
			s.emit(asgi.WebSocketClose{Code: d.Code, Reason: d.Reason})
		}
		s.over(d, appCloseTimeout)
	}
	stop(&s.patience)
	s.cancel(d)
}

// refuse answers the handshake for an app that returned without an answer.
func (s *wsServer) refuse(r *run) {
	s.refusedBy = r.err
	var deny asgi.Deny
	var closing asgi.CloseError
	denied := errors.As(r.err, &deny)
	if !denied && r.failed == nil && errors.As(r.err, &closing) && checkClose(closing.Code, closing.Reason) == nil {
		s.emit(asgi.WebSocketClose{Code: orNormal(closing.Code), Reason: closing.Reason})
		return
	}
	if !denied {
		deny.Status = failureStatus(r.err)
		if r.failed == nil {
			r.failed = r.err
		}
		if r.failed == nil {
			r.failed = errors.New("it returned before it accepted or refused: send asgi.WebSocketAccept or asgi.WebSocketClose, or return asgi.Deny")
			s.refusedBy = r.failed
		}
	}
	s.emit(asgi.WebSocketHTTPResponseStart{Status: deny.StatusCode(), Header: deny.Header.Clone()})
	s.emit(asgi.WebSocketHTTPResponseBody{Body: deny.Body})
}

// closeFor is how a server closes the accepted connection of an app that returned.
func closeFor(r *run) (code int, reason string) {
	var closing asgi.CloseError
	var deny asgi.Deny
	switch {
	case r.failed != nil: // a panic chooses no code, whatever its value
	case errors.As(r.err, &closing) && checkClose(closing.Code, closing.Reason) == nil:
		return orNormal(closing.Code), closing.Reason
	case !errors.As(r.err, &closing) && !errors.As(r.err, &deny):
		return codeNormal, ""
	}
	if r.failed == nil {
		r.failed = r.err // a refusal that comes too late, or a code that nobody may send
	}
	return codeInternal, ""
}
