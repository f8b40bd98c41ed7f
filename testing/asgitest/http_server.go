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
	"time"

	"github.com/tideway-go/tideway/asgi"
)

// An httpServer is the server's end of one request: it holds the app to the protocol.
type httpServer struct {
	link
	head     bool // the request is a HEAD: what the app sends as a body is dropped
	start    *asgi.HTTPResponseStart
	begun    bool  // start has been passed on, with the first part of the body
	length   int64 // of the body, as the app declared; -1: not declared
	written  int64
	trailing bool // the body is complete, and trailers may follow
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
	if s.ended {
		return asgi.ErrClosed
	}
	err = s.check(event)
	if err == nil && !once(event) {
		if err := s.reserve(ctx, s.size(event)); err != nil {
			return err
		}
		err = s.check(event) // other senders may have been faster
	}
	if err != nil {
		return fmt.Errorf("asgitest: send %s: %w", event.EventType(), err)
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
	switch {
	case e.File == nil:
		return nil, errors.New("field File is nil: open one")
	case e.Offset < -1 || e.Count < 0:
		return nil, fmt.Errorf("fields Offset and Count are %d and %d: Offset may be -1, else both are 0 or more", e.Offset, e.Count)
	}
	var r io.Reader = e.File
	if e.Offset >= 0 {
		r = io.NewSectionReader(e.File, e.Offset, 1<<62)
	}
	if e.Count > 0 {
		r = io.LimitReader(r, e.Count)
	}
	body, err := io.ReadAll(r)
	if err == nil && int64(len(body)) < e.Count {
		err = fmt.Errorf("field Count is %d, but %s has %d bytes there", e.Count, e.File.Name(), len(body))
	}
	return body, err
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
		}
		return s.checkLength(e)
	case asgi.HTTPResponseTrailers:
		if !s.trailing {
			return errors.New("trailers follow a complete body: set Trailers in the start, and send the last asgi.HTTPResponseBody first")
		}
		return checkHeader(e.Header)
	case asgi.HTTPResponseEarlyHint, asgi.HTTPResponseDebug:
		if s.begun {
			return errors.New("the response has begun: send this before the first asgi.HTTPResponseBody")
		}
	case asgi.HTTPResponsePush:
		return fmt.Errorf("the scope does not have the extension http.response.push: %w", errors.ErrUnsupported)
	default:
		return errForeign(event, "http")
	}
	return nil
}

// checkLength holds a part of the body to what the start has said.
func (s *httpServer) checkLength(e asgi.HTTPResponseBody) error {
	n := s.written + int64(len(e.Body))
	switch {
	case s.head:
	case s.start.Status == http.StatusNoContent || s.start.Status == http.StatusNotModified:
		if len(e.Body) > 0 {
			return fmt.Errorf("a response with status %d has no body: leave Body empty", s.start.Status)
		}
	case s.length >= 0 && n > s.length:
		return fmt.Errorf("the body has %d bytes, more than the %d of Content-Length", n, s.length)
	case s.length >= 0 && n < s.length && !e.MoreBody:
		return fmt.Errorf("the last part ends %d bytes before Content-Length does", s.length-n)
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
		return -1, fmt.Errorf("header Content-Length is %q: write a number of bytes, or leave it out", value)
	}
	return n, nil
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
	if s.head {
		e.Body = nil
	}
	s.emit(e)
	switch {
	case e.MoreBody:
	case s.start.Trailers:
		s.trailing = true
	default:
		s.complete()
	}
}

// complete ends a response that the client has whole.
func (s *httpServer) complete() {
	s.over(asgi.DisconnectError{By: asgi.ByApp}, appCloseTimeout)
}

// over ends the connection for both sides, and ctx when the grace is over.
func (s *httpServer) over(d asgi.DisconnectError, grace time.Duration) {
	if s.ended {
		return
	}
	s.lastIn(asgi.HTTPDisconnect{}, false)
	s.outOver = true
	s.finish(d, grace)
}

// settle ends what the app has left open when Serve has returned, as a server does.
func (s *httpServer) settle(r *run) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.judge(r)
	aborted := errors.Is(r.err, http.ErrAbortHandler) // how net/http says that the connection is to be cut
	var closing asgi.CloseError
	switch {
	case aborted:
		r.failed = nil
	case r.failed == nil && errors.As(r.err, &closing):
		r.failed = r.err // a request has no close code
	case r.failed == nil && !s.ended:
		r.failed = s.unanswered(r.err)
	}
	if !s.ended && !s.begun && !aborted {
		s.answer(r)
	}
	s.over(asgi.DisconnectError{By: asgi.ByApp}, appCloseTimeout)
	stop(&s.patience)
	s.cancel(asgi.DisconnectError{By: asgi.ByApp})
}

// unanswered is what is wrong with an app that returned while its response was not complete.
func (s *httpServer) unanswered(err error) error {
	var deny asgi.Deny
	switch {
	case s.begun:
		return errors.New("it returned before its response was complete: send the last asgi.HTTPResponseBody without MoreBody")
	case s.start != nil:
		return errors.New("it returned after asgi.HTTPResponseStart: send asgi.HTTPResponseBody too, empty if need be")
	case !errors.As(err, &deny):
		return errors.New("it returned without a response: send asgi.HTTPResponseStart and asgi.HTTPResponseBody, or return asgi.Deny")
	}
	return errors.Join(checkStatus(deny.StatusCode()), checkHeader(deny.Header))
}

// failureStatus is the answer to an app that failed with err.
func failureStatus(err error) int {
	if status, ok := asgi.StatusOf(err); ok {
		return status
	}
	return http.StatusInternalServerError
}

// answer responds for an app that returned before any of its response reached the client.
func (s *httpServer) answer(r *run) {
	deny := asgi.Deny{Status: failureStatus(r.err)}
	if r.failed == nil {
		errors.As(r.err, &deny)
	}
	defer s.answered(len(s.out))
	s.instead = r.failed != nil
	s.emit(asgi.HTTPResponseStart{Status: deny.StatusCode(), Header: deny.Header.Clone()})
	if s.head {
		deny.Body = nil
	}
	s.emit(asgi.HTTPResponseBody{Body: deny.Body})
}
