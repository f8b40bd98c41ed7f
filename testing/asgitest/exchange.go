package asgitest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/tideway-go/tideway/asgi"
)

// A Response is a whole response to an HTTP request.
type Response struct {
	Status   int
	Header   http.Header
	Body     []byte         // all parts joined
	Chunks   [][]byte       // the parts as the app sent them, without empty ones
	Trailers http.Header    // nil if there were none
	Hints    []string       // Link headers of early hints
	Debug    map[string]any // what the app sent as [asgi.HTTPResponseDebug]
}

// Request sends a request, whose body may come in several parts, and returns the whole response. An app that fails fails
// the test; one that refuses with [asgi.Deny] has answered. The path may have a query, and may be a whole URL; the method
// is put in upper case.
func (s *Site) Request(method, path string, body ...string) *Response {
	s.t.Helper()
	return s.Stream(method, path, body...).Response()
}

// Stream sends a request, whose body may come in several parts, and does not wait for the response.
func (s *Site) Stream(method, path string, body ...string) *Exchange {
	s.t.Helper()
	length := len(strings.Join(body, ""))
	e := s.exchange(method, path, length)
	if len(body) == 0 {
		body = []string{""}
	}
	for i, part := range body {
		e.part(part, i < len(body)-1)
	}
	return e
}

// Upload begins a request whose body follows by [Exchange.SendBody] and ends with [Exchange.EndBody].
func (s *Site) Upload(method, path string) *Exchange {
	s.t.Helper()
	return s.exchange(method, path, -1)
}

// An Exchange is a request on its way and the client's end of the response, to be read part by part.
type Exchange struct {
	client
	server  *httpServer
	started bool // the start has been read
	ended   bool // the last part of the body has been read
	res     Response
}

// exchange begins a request. length is that of its body; 0: there is none, -1: it is not known.
func (s *Site) exchange(method, path string, length int) *Exchange {
	s.t.Helper()
	scope, err := s.scope(asgi.HTTP, method, path)
	if err != nil {
		s.t.Fatalf("asgitest: request: %v", err)
	}
	if length > 0 && scope.Header().Get("Content-Length") == "" {
		scope = scope.Derive(func(f *asgi.Fields) { f.Header.Set("Content-Length", strconv.Itoa(length)) })
	}
	server := &httpServer{head: scope.Method() == http.MethodHead}
	ctx := server.open(s.options)
	server.onStall = func() {
		server.over(asgi.DisconnectError{Reason: "write: the client does not read", By: asgi.ByNetwork}, lost)
	}
	e := &Exchange{server: server}
	e.client = client{t: s.t, timeout: s.options.Timeout, link: &server.link}
	e.run = s.begin(ctx, scope.Method()+" "+path, e.Abandon, func(ctx context.Context) error {
		return s.app.Serve(ctx, scope, server.receive, server.send)
	}, server.settle)
	return e
}

// SendBody sends a part of the request's body. It waits while the app has too much unread, and fails the test when that
// takes too long.
func (e *Exchange) SendBody(part string) {
	e.t.Helper()
	e.part(part, true)
}

// EndBody ends the request's body.
func (e *Exchange) EndBody() {
	e.t.Helper()
	e.part("", false)
}

func (e *Exchange) part(body string, more bool) {
	e.t.Helper()
	e.give(asgi.HTTPRequest{Body: []byte(body), MoreBody: more})
}

// Abandon makes the client go away: the app receives an http.disconnect, and its ctx ends at once. It does not wait
// for the app; see [Exchange.Wait].
func (e *Exchange) Abandon() {
	s := e.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended { // orderly, and yet there is nothing more to wait for
		s.hurry()
		return
	}
	s.over(asgi.DisconnectError{By: asgi.ByClient}, lost)
}

// Start waits for the response to begin, which is when the app has sent the first part of its body, and returns status
// and headers.
func (e *Exchange) Start() (status int, header http.Header) {
	e.t.Helper()
	for !e.started {
		const expected = "http.response.start"
		switch event := e.want(expected).(type) {
		case asgi.HTTPResponseStart:
			e.started = true
			e.res.Status, e.res.Header = event.Status, event.Header
			if e.res.Header == nil {
				e.res.Header = http.Header{}
			}
		case asgi.HTTPResponseEarlyHint:
			e.res.Hints = append(e.res.Hints, event.Links...)
		case asgi.HTTPResponseDebug:
			e.res.Debug = event.Info
		default:
			e.mismatch(expected, event)
		}
	}
	return e.res.Status, e.res.Header
}

// Next waits for the next part of the response's body until ctx ends, whose cause it then returns; nothing is lost.
// After a complete body it returns [asgi.ErrClosed], and another error where the response was cut short. It never fails
// the test. Call Start first.
func (e *Exchange) Next(ctx context.Context) ([]byte, error) {
	for {
		if e.ended {
			return nil, asgi.ErrClosed
		}
		event, err := e.next(ctx)
		if errors.Is(err, asgi.ErrClosed) {
			return nil, fmt.Errorf("asgitest: %s: %w", e.run.name, errCut)
		}
		if err != nil {
			return nil, err
		}
		if chunk := e.take(event); len(chunk) > 0 {
			return chunk, nil
		}
	}
}

var errCut = errors.New("the response was cut before its end")

// take adds an event that follows the start to the response, and returns the part of the body that it brings.
func (e *Exchange) take(event asgi.Event) []byte {
	switch event := event.(type) {
	case asgi.HTTPResponseBody:
		if len(event.Body) > 0 {
			e.res.Body = append(e.res.Body, event.Body...)
			e.res.Chunks = append(e.res.Chunks, event.Body)
		}
		e.ended = !event.MoreBody && !e.trailers()
		return event.Body
	case asgi.HTTPResponseTrailers:
		if e.res.Trailers == nil {
			e.res.Trailers = http.Header{}
		}
		for name, values := range event.Header {
			e.res.Trailers[name] = append(e.res.Trailers[name], values...)
		}
		e.ended = !event.MoreTrailers
	}
	return nil
}

// trailers says whether the response announced some.
func (e *Exchange) trailers() bool {
	e.server.mu.Lock()
	defer e.server.mu.Unlock()
	return e.server.start != nil && e.server.start.Trailers
}

// Chunk returns the next part of the response's body that is not empty, as the app sent it. It fails the test at the end.
func (e *Exchange) Chunk() []byte {
	e.t.Helper()
	return e.chunk("http.response.body")
}

// ExpectChunk demands that the next part of the response's body that is not empty is this one.
func (e *Exchange) ExpectChunk(want string) {
	e.t.Helper()
	expected := "http.response.body (" + showText(want) + ")"
	if got := string(e.chunk(expected)); got != want {
		e.fatalf("expected %s, got %s%s", expected, showText(got), difference(want, got))
	}
}

func (e *Exchange) chunk(expected string) []byte {
	e.t.Helper()
	chunk, more := e.read(expected)
	if !more {
		e.fatalf("expected %s, got the end of the response", expected)
	}
	return chunk
}

// read returns the next part of the body, false at its end. It fails the test where there is neither.
func (e *Exchange) read(expected string) ([]byte, bool) {
	e.t.Helper()
	e.Start()
	ctx, cancel := e.limit()
	defer cancel()
	chunk, err := e.Next(ctx)
	switch {
	case errors.Is(err, asgi.ErrClosed):
		return nil, false
	case errors.Is(err, errCut):
		e.fatalf("expected %s, but %v", expected, errCut)
	case err != nil:
		e.missing(expected, err)
	}
	return chunk, true
}

// ExpectNothing is like [WebSocket.ExpectNothing]: it demands that no part of the response waits to be read.
func (e *Exchange) ExpectNothing() {
	e.t.Helper()
	e.nothing()
}

// Response reads the rest and returns the whole response, with what was read before. It fails the test when the response
// is cut short, or is a 500 of the server because the app failed before it answered; read such a one with Start.
func (e *Exchange) Response() *Response {
	e.t.Helper()
	for more := true; more; {
		_, more = e.read("the rest of the response")
	}
	e.server.mu.Lock()
	instead := e.server.instead
	e.server.mu.Unlock()
	if instead {
		_ = e.settled() // so that the text shows the app's error
		e.fatalf("expected a response of the app, got status %d from the server, because the app did not give one", e.res.Status)
	}
	return &e.res
}

// Wait waits for the app to end and returns the error with which it failed; what counts as failing is in the package
// comment. It fails the test when the app goes on.
func (e *Exchange) Wait() error {
	e.t.Helper()
	return e.settled()
}
