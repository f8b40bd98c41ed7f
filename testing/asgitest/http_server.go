package asgitest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"

	"github.com/tideway-go/tideway/asgi"
)

// An httpServer is the server's end of one request: it holds the app to the protocol.
type httpServer struct {
	link
	head     bool // the response has no body, whatever the app sends
	start    *asgi.HTTPResponseStart
	begun    bool  // start has been passed on, with the first part of the body
	length   int64 // of the body, as the app declared; -1: not declared
	written  int64
	trailing bool // the body is complete, and trailers may follow
	whole    bool // the response is complete
	short    bool // the app sent less than it declared
	instead  bool // the response is the server's own, because there was none from the app
}

// send is the app's [asgi.Send].
func (s *httpServer) send(ctx context.Context, event asgi.Event) error {
	if event == nil {
		return errNil
	}
	event, err := s.load(event)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, again := event.(asgi.HTTPResponseStart); s.ended && !(again && s.whole) {
		return asgi.ErrClosed
	}
	if err := s.check(event); err != nil {
		return fmt.Errorf("asgitest: send %s: %w", event.EventType(), err)
	}
	if carriesData(event) {
		if err := s.reserve(ctx, size(event)); err != nil {
			return err
		}
	}
	s.apply(event)
	return nil
}

// load turns an event that names a file into the part of the body that it stands for.
func (s *httpServer) load(event asgi.Event) (asgi.Event, error) {
	switch e := event.(type) {
	case asgi.HTTPResponsePathSend:
		if !filepath.IsAbs(e.Path) {
			return nil, fmt.Errorf("asgitest: send %s: %q is not an absolute path", e.EventType(), e.Path)
		}
		body, err := os.ReadFile(e.Path)
		if err != nil {
			return nil, fmt.Errorf("asgitest: send %s: %w", e.EventType(), err)
		}
		return asgi.HTTPResponseBody{Body: body}, nil
	case asgi.HTTPResponseZeroCopySend:
		body, err := readFile(e)
		if err != nil {
			return nil, fmt.Errorf("asgitest: send %s: %w", e.EventType(), err)
		}
		return asgi.HTTPResponseBody{Body: body, MoreBody: e.MoreBody}, nil
	}
	return event, nil
}

// readFile reads the part of an open file that e names.
func readFile(e asgi.HTTPResponseZeroCopySend) ([]byte, error) {
	if e.File == nil {
		return nil, errors.New("File is nil: open one")
	}
	var r io.Reader = e.File
	if e.Offset >= 0 {
		r = io.NewSectionReader(e.File, e.Offset, 1<<62)
	}
	if e.Count > 0 {
		r = io.LimitReader(r, e.Count)
	}
	return io.ReadAll(r)
}

// check says why event does not fit the state of the response, and what would.
func (s *httpServer) check(event asgi.Event) error {
	switch e := event.(type) {
	case asgi.HTTPResponseStart:
		if s.start != nil {
			return errors.New("the response has begun already: a request has one response; go on with asgi.HTTPResponseBody")
		}
		if err := checkStatus(e.Status); err != nil {
			return err
		}
		if _, err := contentLength(e.Header); err != nil {
			return err
		}
		return checkHeader(e.Header)
	case asgi.HTTPResponseBody:
		switch {
		case s.start == nil:
			return errors.New("the response has not begun: send asgi.HTTPResponseStart first")
		case s.trailing:
			return errors.New("the body is complete: send asgi.HTTPResponseTrailers, which the start announced")
		case s.length >= 0 && s.written+int64(len(e.Body)) > s.length && !s.bodiless():
			return fmt.Errorf("the body has more than the %d bytes of Content-Length: %w", s.length, http.ErrContentLength)
		}
	case asgi.HTTPResponseTrailers:
		if !s.trailing {
			return errors.New("trailers follow a complete body: set Trailers in the start, and send the last asgi.HTTPResponseBody first")
		}
		return checkHeader(e.Header)
	case asgi.HTTPResponseEarlyHint, asgi.HTTPResponseDebug:
		if s.start != nil {
			return errors.New("the response has begun: send this before asgi.HTTPResponseStart")
		}
	case asgi.HTTPResponsePush:
		return fmt.Errorf("the scope does not have the extension http.response.push: %w", errors.ErrUnsupported)
	default:
		return errForeign(event, "http")
	}
	return nil
}

// contentLength is the declared length of a body, -1 if there is none.
func contentLength(h http.Header) (int64, error) {
	value := h.Get("Content-Length")
	if value == "" {
		return -1, nil
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < 0 {
		return -1, fmt.Errorf("Content-Length is %q: write a number of bytes, or leave it out", value)
	}
	return n, nil
}

// bodiless responses have no body, whatever the app sends (RFC 9110 sections 9.3.2, 15.3.5 and 15.4.5).
func (s *httpServer) bodiless() bool {
	return s.head || s.start.Status == http.StatusNoContent || s.start.Status == http.StatusNotModified
}

// apply carries out an event that fits.
func (s *httpServer) apply(event asgi.Event) {
	switch e := event.(type) {
	case asgi.HTTPResponseStart:
		e.Header = e.Header.Clone()
		e.Header.Del("Transfer-Encoding")
		s.start = &e
		s.length, _ = contentLength(e.Header)
	case asgi.HTTPResponseBody:
		s.body(e)
	case asgi.HTTPResponseTrailers:
		s.emit(e)
		if !e.MoreTrailers {
			s.complete()
		}
	default:
		s.emit(event)
	}
}

// body passes a part on, behind the start if it is the first.
func (s *httpServer) body(e asgi.HTTPResponseBody) {
	if !s.begun {
		s.begun = true
		s.emit(*s.start)
	}
	s.written += int64(len(e.Body))
	if s.bodiless() {
		e.Body = nil
	}
	switch {
	case e.MoreBody:
		s.emit(e)
	case s.length >= 0 && s.written < s.length && !s.bodiless():
		s.short = true
		s.over(asgi.DisconnectError{By: asgi.ByServer}, false)
	case s.start.Trailers:
		s.trailing = true
		s.emit(e)
	default:
		s.emit(e)
		s.complete()
	}
}

// complete ends a response that the client has whole.
func (s *httpServer) complete() {
	s.whole = true
	s.over(asgi.DisconnectError{By: asgi.ByApp}, false)
}

// over ends the connection for both sides; lost says that the client has gone, and that ctx ends at once.
func (s *httpServer) over(d asgi.DisconnectError, lost bool) {
	if s.ended {
		return
	}
	s.lastIn(asgi.HTTPDisconnect{}, lost)
	s.outOver = true
	s.finish(d, lost)
}

// settle ends what the app has left open when Serve has returned, as a server does.
func (s *httpServer) settle(r *run) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.failed = failure(r.err, s.ended)
	var closing asgi.CloseError
	switch {
	case r.failed == nil && errors.As(r.err, &closing):
		r.failed = r.err // a request has no close code
	case r.failed == nil && s.short:
		r.failed = fmt.Errorf("the app sent %d bytes of a body for which it declared %d", s.written, s.length)
	}
	if !s.ended {
		if s.begun {
			if r.failed == nil {
				r.failed = errors.New("the app returned before its response was complete: send the last asgi.HTTPResponseBody without MoreBody")
			}
		} else {
			s.answer(r)
		}
		s.over(asgi.DisconnectError{By: asgi.ByApp}, false)
	}
	stop(&s.patience)
	s.cancel(asgi.DisconnectError{By: asgi.ByApp})
}

// answer responds for an app that returned before any of its response reached the client.
func (s *httpServer) answer(r *run) {
	deny := asgi.Deny{Status: http.StatusInternalServerError}
	if r.failed == nil && !errors.As(r.err, &deny) {
		r.failed = errors.New("the app returned without a response")
	}
	s.instead = r.failed != nil
	s.whole = true
	s.emit(asgi.HTTPResponseStart{Status: deny.StatusCode(), Header: deny.Header.Clone()})
	if s.head {
		deny.Body = nil
	}
	s.emit(asgi.HTTPResponseBody{Body: deny.Body})
}
