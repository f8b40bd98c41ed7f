package asgi_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tideway-go/tideway/asgi"
)

// get serves app, which must not fail, and returns its response to a GET.
func get(t *testing.T, a asgi.App) *http.Response {
	t.Helper()
	url, client := serve(t, asgi.Handler{App: a, OnError: func(_ *asgi.Scope, err error) { t.Errorf("OnError: %v", err) }})
	r, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Body.Close() })
	return r
}

// Case 179.
func TestResponses(t *testing.T) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	tests := []struct {
		name   string
		status int
		header http.Header
		parts  []string
		length int64
	}{
		{"case 179: custom status", 418, nil, []string{"tea"}, 3},
		{"case 179: status without a name", 599, nil, []string{""}, 0},
		{"case 179: chunked parts", 200, nil, []string{"a", "b", "c"}, -1},
		{"case 179: empty last part", 200, nil, []string{"a", ""}, -1},
		{"case 179: empty parts only", 200, nil, []string{"", ""}, -1},
		{"case 179: any bytes", 200, nil, []string{string(every)}, 256},
		{"case 179: lower-case headers", 200, http.Header{"x-one": {"1"}, "X-TWO": {"2", "3"}}, []string{"x"}, 1},
		{"case 181: Transfer-Encoding", 200, http.Header{"transfer-encoding": {"chunked"}}, []string{"a", "b"}, -1},
		{"case 181: Transfer-Encoding and one part", 200, http.Header{"Transfer-Encoding": {"chunked"}}, []string{"a"}, 1},
		{"own length", 200, http.Header{"content-length": {"3"}}, []string{"a", "bc"}, 3},
		{"own length twice", 200, http.Header{"Content-Length": {"3", "3"}}, []string{"abc"}, 3},
		{"no content", 204, nil, []string{""}, 0},
		{"not modified", 304, http.Header{"Content-Length": {"7"}}, []string{""}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := get(t, app(func(ctx context.Context, c conn) error { return c.respond(ctx, tt.status, tt.header, tt.parts...) }))
			if got, want := body(t, r), strings.Join(tt.parts, ""); got != want {
				t.Errorf("body is %q, want %q", got, want)
			}
			if r.StatusCode != tt.status || r.ContentLength != tt.length {
				t.Errorf("status %d, length %d; want %d, %d", r.StatusCode, r.ContentLength, tt.status, tt.length)
			}
			if tt.length < 0 && !slices.Equal(r.TransferEncoding, []string{"chunked"}) {
				t.Errorf("case 181: Transfer-Encoding is %q", r.TransferEncoding)
			}
			for _, name := range []string{"Server", "Content-Type"} {
				if v, ok := r.Header[name]; ok {
					t.Errorf("case 179: server added %s: %q", name, v)
				}
			}
			if strings.HasSuffix(tt.name, "lower-case headers") &&
				(r.Header.Get("X-One") != "1" || !slices.Equal(r.Header["X-Two"], []string{"2", "3"})) {
				t.Errorf("case 179: headers are %v", r.Header)
			}
		})
	}
}

// Cases 179, 180 and 183: what does not fit is an error that says what to send instead, and nothing reaches the peer.
func TestEventsThatDoNotFit(t *testing.T) {
	start := func(status int, name, value string) asgi.HTTPResponseStart {
		e := asgi.HTTPResponseStart{Status: status}
		if name != "" {
			e.Header = http.Header{name: {value}}
		}
		return e
	}
	ok := start(200, "", "")
	part := asgi.HTTPResponseBody{Body: []byte("x"), MoreBody: true}
	end := asgi.HTTPResponseBody{}
	trailing := asgi.HTTPResponseStart{Status: 200, Trailers: true}
	trailers := func(name string) asgi.HTTPResponseTrailers {
		return asgi.HTTPResponseTrailers{Header: http.Header{name: {"1"}}}
	}
	type events []asgi.Event
	tests := []struct {
		name   string
		before events
		bad    asgi.Event
		want   string
	}{
		{"case 179: no status", nil, start(0, "", ""), "Status is missing"},
		{"case 179: status 103", nil, start(103, "", ""), "HTTPResponseEarlyHint"},
		{"case 179: status 1000", nil, start(1000, "", ""), "must be 200 to 999"},
		{"case 180: line break in a value", nil, start(200, "A", "b\r\nEvil: 1"), "control character"},
		{"case 180: NUL in a value", nil, start(200, "A", "\x00"), "control character"},
		{"case 180: DEL in a value", nil, start(200, "A", "\x7f"), "control character"},
		{"case 180: space in a name", nil, start(200, "a b", "1"), "not a token"},
		{"case 180: colon in a name", nil, start(200, "A:", "1"), "not a token"},
		{"case 180: letter outside ASCII in a name", nil, start(200, "Größe", "1"), "not a token"},
		{"case 180: empty name", nil, asgi.HTTPResponseStart{Status: 200, Header: http.Header{"": {"1"}}}, "not a token"},
		{"bad length", nil, start(200, "Content-Length", "-1"), "not a number of bytes"},
		{"two lengths", nil, asgi.HTTPResponseStart{Status: 200,
			Header: http.Header{"Content-Length": {"1"}, "content-length": {"2"}}}, "two values"},
		{"case 183: second start", events{ok}, ok, "send HTTPResponseBody"},
		{"case 183: second start after a part", events{ok, part}, ok, "send HTTPResponseBody"},
		{"case 183: body before start", nil, part, "send HTTPResponseStart first"},
		{"case 183: event of another protocol", nil, asgi.WebSocketAccept{}, "WebSocketAccept is not an event that an http scope takes"},
		{"case 183: pointer", nil, &ok, "by value"},
		{"case 183: nil", nil, nil, "event is nil"},
		{"case 183: debug", nil, asgi.HTTPResponseDebug{}, "HTTPResponseDebug is not an event"},
		{"body of 204", events{start(204, "", "")}, part, "has no body"},
		{"more than the length", events{start(200, "Content-Length", "0")}, part, "more than the 0 that Content-Length leaves"},
		{"less than the length", events{start(200, "Content-Length", "9"), part}, end, "8 bytes before Content-Length does"},
		{"trailers before start", nil, trailers("A"), "send HTTPResponseStart first"},
		{"trailers not announced", events{ok}, trailers("A"), "set HTTPResponseStart.Trailers"},
		{"trailers before the last part", events{trailing, part}, trailers("A"), "send its last HTTPResponseBody first"},
		{"body after the last part", events{trailing, end}, part, "send the HTTPResponseTrailers"},
		{"trailer that frames", events{trailing, end}, trailers("content-length"), "cannot be a trailer"},
		{"trailer with a bad name", events{trailing, end}, trailers("a b"), "not a token"},
		{"hint after the start", events{ok, part}, asgi.HTTPResponseEarlyHint{Links: []string{"<a>"}}, "before the first HTTPResponseBody"},
		{"hint with a line break", nil, asgi.HTTPResponseEarlyHint{Links: []string{"<a>\n"}}, "control character"},
		{"push without the extension", nil, asgi.HTTPResponsePush{Path: "/a"}, `scope.Extension("http.response.push")`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var failures []error
			a := app(func(ctx context.Context, c conn) error {
				for _, e := range tt.before {
					if err := c.send(ctx, e); err != nil {
						t.Errorf("%T: %v", e, err)
					}
				}
				err := c.send(ctx, tt.bad)
				name := "nil"
				if tt.bad != nil {
					name = tt.bad.EventType()
				}
				if err == nil || !strings.HasPrefix(err.Error(), "asgi: send "+name+": ") || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("error is %v; want %q in it", err, tt.want)
				}
				return err
			})
			server := httptest.NewServer(asgi.Handler{App: a, OnError: func(_ *asgi.Scope, err error) { failures = append(failures, err) }})
			defer server.Close()
			r, err := server.Client().Get(server.URL)
			begun := slices.ContainsFunc(tt.before, func(e asgi.Event) bool { return e.EventType() == "http.response.body" })
			switch {
			case begun:
				if err == nil {
					_, err = io.ReadAll(r.Body)
				}
				if err == nil {
					t.Error("S6: a response that has begun completes or is cut; this one looks complete")
				}
			case err != nil:
				t.Errorf("the client sees %v, want 500", err)
			default:
				if text := body(t, r); r.StatusCode != 500 || text != "Internal Server Error\n" || r.Header.Get("Evil") != "" {
					t.Errorf("the client sees %s, %v, %q; want 500", r.Status, r.Header, text)
				}
			}
			server.Close() // waits for the handler
			if len(failures) != 1 {
				t.Errorf("OnError heard %v, want the one error", failures)
			}
		})
	}
}

// An event that did not fit leaves the response as it was.
func TestAfterAnEventThatDoesNotFit(t *testing.T) {
	r := get(t, app(func(ctx context.Context, c conn) error {
		for _, e := range []asgi.Event{asgi.HTTPResponseBody{}, asgi.HTTPResponseStart{}, nil} {
			if c.send(ctx, e) == nil {
				t.Errorf("%T is taken", e)
			}
		}
		return c.respond(ctx, 200, nil, "fine")
	}))
	if got := body(t, r); r.StatusCode != 200 || got != "fine" {
		t.Errorf("got %s, %q", r.Status, got)
	}
}

// The start reaches the client with the first part of the body, and each part before Send returns.
func TestPartsAreFlushed(t *testing.T) {
	read := make(chan struct{})
	r := get(t, app(func(ctx context.Context, c conn) error {
		if err := c.send(ctx, asgi.HTTPResponseStart{Status: 200}); err != nil {
			return err
		}
		for _, part := range []string{"one\n", "two\n", "three\n"} {
			if err := c.send(ctx, asgi.HTTPResponseBody{Body: []byte(part), MoreBody: true}); err != nil {
				return err
			}
			<-read // the client has it before the next one is sent
		}
		return c.send(ctx, asgi.HTTPResponseBody{})
	}))
	lines := bufio.NewScanner(r.Body)
	for _, want := range []string{"one", "two", "three"} {
		if !lines.Scan() || lines.Text() != want {
			t.Fatalf("got %q, %v", lines.Text(), lines.Err())
		}
		read <- struct{}{}
	}
}

// A response in one part is whole for the client while the application is still at work.
func TestOnePartIsCompleteAtOnce(t *testing.T) {
	seen := make(chan struct{})
	r := get(t, app(func(ctx context.Context, c conn) error {
		err := c.respond(ctx, 200, nil, "whole")
		<-seen
		return err
	}))
	if got := body(t, r); got != "whole" {
		t.Errorf("got %q", got)
	}
	close(seen)
}

func TestSendAfterTheEnd(t *testing.T) {
	var late asgi.Send
	var ctxLate context.Context
	r := get(t, app(func(ctx context.Context, c conn) error {
		late, ctxLate = c.send, context.WithoutCancel(ctx)
		if err := c.respond(ctx, 200, nil, "x"); err != nil {
			return err
		}
		for _, e := range []asgi.Event{asgi.HTTPResponseBody{}, asgi.HTTPResponseStart{Status: 200}, asgi.WebSocketAccept{}, nil} {
			if err := c.send(ctx, e); err != asgi.ErrClosed {
				t.Errorf("S7: sending after the end is ErrClosed; %T: %v", e, err)
			}
		}
		return nil
	}))
	body(t, r)
	if err := late(ctxLate, asgi.HTTPResponseBody{}); err != asgi.ErrClosed {
		t.Errorf("S7: sending after Serve has returned is ErrClosed, not %v", err)
	}
}

// Send with a ctx that has ended takes what need not wait and gives back the rest.
func TestSendWithAnEndedContext(t *testing.T) {
	r := get(t, app(func(ctx context.Context, c conn) error {
		ended, cancel := context.WithCancel(ctx)
		cancel()
		if err := c.send(ended, asgi.HTTPResponseStart{Status: 200}); err != nil {
			t.Errorf("start: %v", err)
		}
		if err := c.send(ended, asgi.HTTPResponseBody{Body: []byte("lost")}); err != asgi.ErrFull {
			t.Errorf("body: %v, want ErrFull", err)
		}
		return c.send(ctx, asgi.HTTPResponseBody{Body: []byte("kept")})
	}))
	if got := body(t, r); got != "kept" {
		t.Errorf("got %q", got)
	}
}

func TestSendFromManyGoroutines(t *testing.T) {
	const n, each = 8, 50
	r := get(t, app(func(ctx context.Context, c conn) error {
		if err := c.send(ctx, asgi.HTTPResponseStart{Status: 200}); err != nil {
			return err
		}
		var wg sync.WaitGroup
		for range n {
			wg.Go(func() {
				for range each {
					if err := c.send(ctx, asgi.HTTPResponseBody{Body: []byte("0123456789"), MoreBody: true}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		return c.send(ctx, asgi.HTTPResponseBody{})
	}))
	if got := body(t, r); got != strings.Repeat("0123456789", n*each) {
		t.Errorf("parts are torn: %d bytes", len(got))
	}
}

func TestHead(t *testing.T) {
	url, client := serve(t, asgi.Handler{App: app(func(ctx context.Context, c conn) error {
		switch c.scope.Path() {
		case "/body":
			return c.respond(ctx, 200, nil, "hello")
		case "/length":
			return c.respond(ctx, 200, http.Header{"Content-Length": {"7"}}, "")
		}
		return c.respond(ctx, 200, nil, "")
	})})
	for path, want := range map[string]int64{"/body": 5, "/length": 7, "/": -1} {
		r, err := client.Head(url + path)
		if err != nil {
			t.Fatal(err)
		}
		if got := body(t, r); got != "" || r.ContentLength != want {
			t.Errorf("%s: body %q, length %d; want none and %d", path, got, r.ContentLength, want)
		}
	}
}

func TestTrailers(t *testing.T) {
	a := app(func(ctx context.Context, c conn) error {
		if _, ok := c.scope.Extension("http.response.trailers"); !ok {
			t.Error("scope does not name the extension")
		}
		for _, e := range []asgi.Event{
			asgi.HTTPResponseStart{Status: 200, Header: http.Header{"Trailer": {"X-Sum"}}, Trailers: true},
			asgi.HTTPResponseBody{Body: []byte("body")},
			asgi.HTTPResponseTrailers{Header: http.Header{"x-sum": {"42"}}, MoreTrailers: true},
			asgi.HTTPResponseTrailers{Header: http.Header{"X-More": {"1", "2"}}},
		} {
			if err := c.send(ctx, e); err != nil {
				return err
			}
		}
		if err := c.send(ctx, asgi.HTTPResponseTrailers{}); err != asgi.ErrClosed {
			t.Errorf("S7: sending after the end is ErrClosed, not %v", err)
		}
		return nil
	})
	url, client := serve(t, asgi.Handler{App: a})
	for _, te := range []string{"trailers", "gzip , Trailers;q=1", "deflate, trailers"} {
		request, err := http.NewRequest("GET", url, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Te", te)
		r, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		text := body(t, r)
		want := http.Header{"X-Sum": {"42"}, "X-More": {"1", "2"}}
		if te == "gzip , Trailers;q=1" {
			want = http.Header{"X-Sum": nil} // no such thing as a weighted "trailers" (RFC 9110 section 10.1.4)
		}
		if text != "body" || !reflect.DeepEqual(r.Trailer, want) {
			t.Errorf("TE %q: got %q, %v; want %v", te, text, r.Trailer, want)
		}
	}
}

func TestEarlyHints(t *testing.T) {
	type hint struct {
		code   int
		header http.Header
	}
	var hints []hint
	front := func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Front", "1") // for the final response only
			h.ServeHTTP(w, r)
		})
	}
	url, client := serve(t, front(asgi.Handler{App: app(func(ctx context.Context, c conn) error {
		if _, ok := c.scope.Extension("http.response.early_hint"); !ok {
			t.Error("scope does not name the extension")
		}
		for _, links := range [][]string{{"</a.css>; rel=preload; as=style", "</b.js>; rel=preload; as=script"}, {}, {"</c>; rel=preload"}} {
			if err := c.send(ctx, asgi.HTTPResponseEarlyHint{Links: links}); err != nil {
				return err
			}
		}
		return c.respond(ctx, 200, nil, "page")
	})}))
	trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
		hints = append(hints, hint{code, http.Header(header)})
		return nil
	}}
	request, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	want := []hint{
		{103, http.Header{"Link": {"</a.css>; rel=preload; as=style", "</b.js>; rel=preload; as=script"}}},
		{103, http.Header{"Link": {"</c>; rel=preload"}}},
	}
	if !reflect.DeepEqual(hints, want) {
		t.Errorf("hints are %v, want %v", hints, want)
	}
	if text := body(t, r); text != "page" || r.Header.Get("X-Front") != "1" || r.Header.Get("Link") != "" {
		t.Errorf("response is %v, %q", r.Header, text)
	}
}

// A client of HTTP/1.0 knows no responses before the response.
func TestNoEarlyHintsForHTTP10(t *testing.T) {
	server := httptest.NewServer(asgi.Handler{App: app(func(ctx context.Context, c conn) error {
		if _, ok := c.scope.Extension("http.response.early_hint"); ok || c.scope.HTTPVersion() != "1.0" {
			t.Errorf("scope of HTTP/%s names the extension: %v", c.scope.HTTPVersion(), ok)
		}
		if err := c.send(ctx, asgi.HTTPResponseEarlyHint{Links: []string{"<a>"}}); err != nil {
			return err
		}
		return c.respond(ctx, 200, nil, "page")
	})})
	defer server.Close()
	if r := raw(t, server, "GET / HTTP/1.0\r\n\r\n"); r.StatusCode != 200 || body(t, r) != "page" {
		t.Errorf("got %s", r.Status)
	}
}

// pusher is a ResponseWriter of HTTP/2 with pushes.
type pusher struct {
	http.ResponseWriter
	pushed []string
	err    error
}

func (p *pusher) Push(target string, opts *http.PushOptions) error {
	p.pushed = append(p.pushed, fmt.Sprint(target, " ", opts.Header))
	return p.err
}

func TestPush(t *testing.T) {
	broken := errors.New("broken")
	for _, pushError := range []error{nil, http.ErrNotSupported, broken} {
		w := &pusher{httptest.NewRecorder(), nil, pushError}
		asgi.Handler{App: app(func(ctx context.Context, c conn) error {
			if _, ok := c.scope.Extension("http.response.push"); !ok {
				t.Error("scope does not name the extension")
			}
			err := c.send(ctx, asgi.HTTPResponsePush{Path: "/a.css", Header: http.Header{"Accept": {"text/css"}}})
			if want := pushError == broken; (err != nil) != want || want && !errors.Is(err, broken) {
				t.Errorf("with error %v: %v", pushError, err)
			}
			err = c.send(ctx, asgi.HTTPResponsePush{Path: "/", Header: http.Header{"a b": {"1"}}})
			if err == nil || !strings.Contains(err.Error(), "not a token") {
				t.Errorf("bad header: %v", err)
			}
			return c.respond(ctx, 200, nil, "page")
		})}.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
		if want := []string{"/a.css map[Accept:[text/css]]"}; !slices.Equal(w.pushed, want) {
			t.Errorf("pushed %q, want %q", w.pushed, want)
		}
	}
}
