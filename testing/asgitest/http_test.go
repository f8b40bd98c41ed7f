package asgitest_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/testing/asgitest"
)

// mirror answers with the request: method, path, query and each part of the body.
var mirror = asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
	start := asgi.HTTPResponseStart{Status: http.StatusAccepted, Header: http.Header{"X-Query": {scope.RawQuery()}}}
	if err := send(ctx, start); err != nil {
		return err
	}
	first := fmt.Sprintf("%s %s\n", scope.Method(), scope.Path())
	if err := send(ctx, asgi.HTTPResponseBody{Body: []byte(first), MoreBody: true}); err != nil {
		return err
	}
	for {
		event, err := receive(ctx)
		if err != nil {
			return err
		}
		part := event.(asgi.HTTPRequest)
		if err := send(ctx, asgi.HTTPResponseBody(part)); err != nil || !part.MoreBody {
			return err
		}
	}
})

// Case 159. Path and query are split, the method is upper case, the body is joined, status and headers are there.
func TestRequest(t *testing.T) {
	both(t, func(t *testing.T) {
		r := asgitest.New(t, mirror).Request("post", "/a/b?c=d&e", "one ", "two")
		if got, want := string(r.Body), "POST /a/b\none two"; got != want {
			t.Errorf("body %q, want %q", got, want)
		}
		if r.Status != http.StatusAccepted || r.Header.Get("X-Query") != "c=d&e" {
			t.Errorf("status %d, header %v", r.Status, r.Header)
		}
		if len(r.Chunks) != 3 || string(r.Chunks[1]) != "one " {
			t.Errorf("chunks %q", r.Chunks)
		}
	})
}

func TestRequestFailsWithTheApp(t *testing.T) {
	got := record(t, func(t testing.TB) { asgitest.New(t, script(errBoom)).Request("GET", "/x") }).text()
	for _, want := range []string{"GET /x", "status 500", "boom"} {
		if !strings.Contains(got, want) {
			t.Errorf("failure text lacks %q:\n%s", want, got)
		}
	}
}

// A stream is read part by part while the app goes on, and the client may leave in the middle.
func TestStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cause error
		app := asgi.AppFunc(func(ctx context.Context, _ *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
			err := send(ctx, asgi.HTTPResponseStart{Status: 200, Header: http.Header{"Content-Type": {"text/event-stream"}}})
			for i := 0; err == nil; i++ {
				err = send(ctx, asgi.HTTPResponseBody{Body: fmt.Appendf(nil, "data: %d\n\n", i), MoreBody: true})
				select {
				case <-ctx.Done():
				case <-time.After(time.Second):
				}
			}
			cause = context.Cause(ctx)
			for range 2 {
				event, err := receive(ctx)
				if _, ok := event.(asgi.HTTPDisconnect); !ok && err != asgi.ErrClosed {
					t.Errorf("received %T, %v, want a disconnect and then the end", event, err)
				}
			}
			return err
		})
		begin := time.Now()
		e := asgitest.New(t, app).Stream("GET", "/events")
		if status, header := e.Start(); status != 200 || header.Get("Content-Type") != "text/event-stream" {
			t.Errorf("status %d, header %v", status, header)
		}
		e.ExpectChunk("data: 0\n\n")
		e.ExpectNothing()
		if got := string(e.Chunk()); got != "data: 1\n\n" {
			t.Errorf("got %q", got)
		}
		e.Abandon()
		if err := e.Wait(); err != nil {
			t.Errorf("noticing the end is no failure: %v", err)
		}
		if took := time.Since(begin); took != time.Second {
			t.Errorf("it took %v, want 1s: ctx must end when the client leaves", took)
		}
		if cause != (asgi.DisconnectError{By: asgi.ByClient}) {
			t.Errorf("ctx ended with %v", cause)
		}
		if _, err := e.Next(t.Context()); err == nil || errors.Is(err, asgi.ErrClosed) {
			t.Errorf("got %v, want an error about the cut", err)
		}
		e.Abandon()
	})
}

// A body that comes in parts is answered while it comes.
func TestUpload(t *testing.T) {
	both(t, func(t *testing.T) {
		e := asgitest.New(t, mirror).Upload("PUT", "/up")
		e.ExpectChunk("PUT /up\n")
		e.SendBody("one")
		e.ExpectChunk("one")
		e.SendBody("two")
		e.EndBody()
		if r := e.Response(); string(r.Body) != "PUT /up\nonetwo" || r.Status != http.StatusAccepted {
			t.Errorf("got %d %q", r.Status, r.Body)
		}
		e.SendBody("late")
		if err := e.Wait(); err != nil {
			t.Error(err)
		}
	})
}

// Every event of a response reaches the client as a server would pass it on.
func TestResponses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("0123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	ok := asgi.HTTPResponseStart{Status: 200}
	last := asgi.HTTPResponseBody{Body: []byte("abc")}
	for _, c := range []struct {
		name   string
		method string
		app    asgi.App
		want   asgitest.Response
	}{
		{"whole", "GET", script(nil, ok, last), asgitest.Response{Status: 200, Body: last.Body}},
		{"HEAD", "HEAD", script(nil, asgi.HTTPResponseStart{Status: 200, Header: http.Header{"Content-Length": {"3"}}}, last),
			asgitest.Response{Status: 200, Header: http.Header{"Content-Length": {"3"}}}},
		{"204", "GET", script(nil, asgi.HTTPResponseStart{Status: 204}, asgi.HTTPResponseBody{}), asgitest.Response{Status: 204}},
		{"empty last part", "GET", script(nil, ok, asgi.HTTPResponseBody{Body: last.Body, MoreBody: true}, asgi.HTTPResponseBody{}),
			asgitest.Response{Status: 200, Body: last.Body}},
		{"Transfer-Encoding", "GET", script(nil, asgi.HTTPResponseStart{Status: 200, Header: http.Header{"Transfer-Encoding": {"chunked"}}}, last),
			asgitest.Response{Status: 200, Body: last.Body}},
		{"Deny", "GET", script(asgi.Deny{Status: 401, Header: http.Header{"A": {"b"}}, Body: last.Body}),
			asgitest.Response{Status: 401, Header: http.Header{"A": {"b"}}, Body: last.Body}},
		{"Deny of HEAD", "HEAD", script(asgi.Deny{Body: last.Body}), asgitest.Response{Status: 403}},
		{"trailers", "GET", script(nil, asgi.HTTPResponseStart{Status: 200, Trailers: true}, last,
			asgi.HTTPResponseTrailers{Header: http.Header{"A": {"1"}}, MoreTrailers: true}, asgi.HTTPResponseTrailers{Header: http.Header{"B": {"2"}}}),
			asgitest.Response{Status: 200, Body: last.Body, Trailers: http.Header{"A": {"1"}, "B": {"2"}}}},
		{"hints and debug", "GET", script(nil, asgi.HTTPResponseEarlyHint{Links: []string{"</a>"}}, asgi.HTTPResponseEarlyHint{Links: []string{"</b>"}},
			asgi.HTTPResponseDebug{Info: map[string]any{"n": 1}}, ok, last),
			asgitest.Response{Status: 200, Body: last.Body, Hints: []string{"</a>", "</b>"}, Debug: map[string]any{"n": 1}}},
		{"path", "GET", script(nil, ok, asgi.HTTPResponsePathSend{Path: path}), asgitest.Response{Status: 200, Body: []byte("0123456789")}},
		{"file", "GET", script(nil, ok, asgi.HTTPResponseZeroCopySend{File: file, Offset: 2, Count: 3, MoreBody: true},
			asgi.HTTPResponseZeroCopySend{File: file, Offset: -1}), asgitest.Response{Status: 200, Body: []byte("2340123456789")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := *asgitest.New(t, c.app).Request(c.method, "/")
			if got.Chunks = nil; len(got.Header) == 0 {
				got.Header = nil
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}

// The start is held until the first part of the body: an app that fails between the two is still answered with 500.
func TestStartIsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app, next := inside()
		e := asgitest.New(t, app).Stream("GET", "/")
		conn := next()
		conn.must(t, asgi.HTTPResponseStart{Status: 200})
		e.ExpectNothing()
		conn.end <- errBoom
		if status, _ := e.Start(); status != 500 {
			t.Errorf("status %d, want 500", status)
		}
		if err := e.Wait(); err != errBoom {
			t.Errorf("got %v, want %v", err, errBoom)
		}
	})
}

// When the response is complete the app receives a disconnect, Send returns ErrClosed, and ctx ends 10 s later.
func TestAfterTheResponse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app, next := inside()
		e := asgitest.New(t, app).Stream("POST", "/", "unread")
		conn := next()
		conn.must(t, asgi.HTTPResponseStart{Status: 200}, asgi.HTTPResponseBody{})
		complete := time.Now()
		e.Response()
		if got := conn.next(t); got != (asgi.HTTPDisconnect{}) {
			t.Errorf("got %#v, want a disconnect", got)
		}
		for _, event := range []asgi.Event{asgi.HTTPResponseStart{Status: 200}, asgi.HTTPResponseBody{}} {
			if err := conn.send(conn.ctx, event); err != asgi.ErrClosed {
				t.Errorf("send %T: got %v, want %v", event, err, asgi.ErrClosed)
			}
		}
		<-conn.ctx.Done()
		if took := time.Since(complete); took != 10*time.Second {
			t.Errorf("ctx ended after %v, want 10s", took)
		}
	})
}

// An app that fails after its response is reported at the end of the test.
func TestFailureAfterTheResponse(t *testing.T) {
	app := script(errBoom, asgi.HTTPResponseStart{Status: 200}, asgi.HTTPResponseBody{})
	got := record(t, func(t testing.TB) { asgitest.New(t, app).Request("GET", "/p") }).text()
	if want := "asgitest: GET /p: the app failed, and no expectation has shown it: boom"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if err := asgitest.New(t, app).Stream("GET", "/p").Wait(); err != errBoom {
		t.Errorf("Wait: got %v, want %v", err, errBoom)
	}
}

// A request has no close code.
func TestCloseErrorOfARequest(t *testing.T) {
	e := asgitest.New(t, script(asgi.CloseError{Code: 4000})).Stream("GET", "/")
	if status, _ := e.Start(); status != 500 {
		t.Errorf("status %d, want 500", status)
	}
}
