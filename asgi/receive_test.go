package asgi_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/tideway-go/tideway/asgi"
)

// Case 173.
func TestBodyInParts(t *testing.T) {
	const part = 64 << 10
	content := strings.Repeat("0123456789abcdef", part/16*2) + "tail"
	var parts []asgi.HTTPRequest
	var last asgi.Event
	asgi.Handler{App: app(func(ctx context.Context, c conn) error {
		for {
			event, err := c.receive(ctx)
			if err != nil {
				return err
			}
			e := event.(asgi.HTTPRequest)
			if parts = append(parts, e); !e.MoreBody {
				break
			}
		}
		if err := c.respond(ctx, 200, nil, ""); err != nil {
			return err
		}
		var err error
		if last, err = c.receive(ctx); err != nil {
			return err
		}
		if _, err := c.receive(ctx); err != asgi.ErrClosed {
			t.Errorf("after the last event: %v, want ErrClosed", err)
		}
		return nil
	})}.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", "/", strings.NewReader(content)))
	var whole []byte
	for i, p := range parts {
		whole = append(whole, p.Body...)
		if len(p.Body) > part {
			t.Errorf("case 173: part %d has %d bytes, more than %d", i, len(p.Body), part)
		}
	}
	if len(parts) < 3 || len(parts[2].Body) != part { // they grow as the client is quick
		t.Errorf("case 173: %d parts, the third of %d bytes; want %d", len(parts), len(parts[2].Body), part)
	}
	if string(whole) != content {
		t.Errorf("case 173: the parts make %d bytes, not what was sent", len(whole))
	}
	if last != (asgi.HTTPDisconnect{}) {
		t.Errorf("case 173: at the end comes %#v, want HTTPDisconnect", last)
	}
}

// Case 174. A body of exactly one part, or of several, ends as any other: with an event that has MoreBody false, empty where
// the end came after the last byte. With Content-Length or without.
func TestBodyOfWholeParts(t *testing.T) {
	for _, size := range []int{64 << 10, 128 << 10, 4 << 10, 1} {
		for _, reader := range []io.Reader{
			strings.NewReader(strings.Repeat("x", size)),                       // the end comes by itself
			iotest.DataErrReader(strings.NewReader(strings.Repeat("x", size))), // with the last bytes
		} {
			for _, length := range []int64{int64(size), -1} {
				got, events := 0, 0
				request := httptest.NewRequest("POST", "/", reader)
				request.ContentLength = length
				asgi.Handler{App: app(func(ctx context.Context, c conn) error {
					for more := true; more; events++ {
						event, err := c.receive(ctx)
						if err != nil {
							return err
						}
						part := event.(asgi.HTTPRequest)
						got, more = got+len(part.Body), part.MoreBody
						if more && len(part.Body) == 0 {
							t.Error("case 174: an empty part before the end")
						}
					}
					return c.respond(ctx, 200, nil, "")
				})}.ServeHTTP(httptest.NewRecorder(), request)
				if got != size {
					t.Errorf("case 174: %d bytes of %d came, in %d parts", got, size, events)
				}
				if seeker, ok := reader.(io.Seeker); ok {
					seeker.Seek(0, io.SeekStart)
				} else {
					break
				}
			}
		}
	}
}

// A body of unknown length begins with small parts, which belong to the application.
func TestBodyOfUnknownLength(t *testing.T) {
	in, out := io.Pipe()
	request := httptest.NewRequest("POST", "/", in)
	request.ContentLength = -1
	var kept [][]byte
	wrote := make(chan struct{})
	go func() {
		defer close(wrote)
		for _, size := range []int{1, 5000, 100_000} {
			_, _ = out.Write(bytes.Repeat([]byte{byte(size % 251)}, size))
		}
		out.Close()
	}()
	asgi.Handler{App: app(func(ctx context.Context, c conn) error {
		for {
			event, err := c.receive(ctx)
			if err != nil {
				return err
			}
			e := event.(asgi.HTTPRequest)
			kept = append(kept, e.Body)
			if !e.MoreBody {
				return c.respond(ctx, 204, nil, "")
			}
		}
	})}.ServeHTTP(httptest.NewRecorder(), request)
	<-wrote
	var whole []byte
	for _, k := range kept {
		whole = append(whole, k...)
	}
	want := bytes.Join([][]byte{{1}, bytes.Repeat([]byte{5000 % 251}, 5000), bytes.Repeat([]byte{100_000 % 251}, 100_000)}, nil)
	if !bytes.Equal(whole, want) {
		t.Errorf("parts make %d bytes, not what was sent", len(whole))
	}
}

// A Receive whose own ctx ends loses nothing, neither of the body nor afterwards.
func TestReceiveObeysItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, out := io.Pipe()
		ctx, leave := context.WithCancel(t.Context())
		request := httptest.NewRequestWithContext(ctx, "POST", "/", in)
		patience := errors.New("out of patience")
		serveAborted(t, asgi.Handler{App: app(func(ctx context.Context, c conn) error {
			brief := func() (asgi.Event, error) {
				ctx, cancel := context.WithTimeoutCause(ctx, time.Second, patience)
				defer cancel()
				return c.receive(ctx)
			}
			for range 3 {
				if e, err := brief(); err != patience {
					t.Errorf("nothing was sent, got %#v, %v", e, err)
				}
			}
			go func() { _, _ = out.Write([]byte("late")) }()
			synctest.Wait()
			if e, err := brief(); err != nil || string(e.(asgi.HTTPRequest).Body) != "late" {
				t.Errorf("got %#v, %v; want what was sent meanwhile", e, err)
			}
			ended, cancel := context.WithCancelCause(ctx)
			cancel(patience)
			if e, err := c.receive(ended); err != patience {
				t.Errorf("with an ended ctx: %#v, %v", e, err)
			}
			out.Close()
			if e, err := c.receive(ctx); err != nil || e.(asgi.HTTPRequest).MoreBody {
				t.Errorf("got %#v, %v; want the end of the body", e, err)
			}
			if e, err := brief(); err != patience {
				t.Errorf("the client is there, got %#v, %v", e, err)
			}
			leave()
			synctest.Wait()
			if e, err := c.receive(ended); err != nil || e != (asgi.HTTPDisconnect{}) {
				t.Errorf("the client has gone, got %#v, %v; an event that is there comes first", e, err)
			}
			return asgi.ErrClosed
		})}, request)
	})
}

// The reader that a ctx of its own made necessary ends with Serve.
func TestReaderEndsWithServe(t *testing.T) {
	server := httptest.NewServer(asgi.Handler{App: app(func(ctx context.Context, c conn) error {
		own, cancel := context.WithTimeout(ctx, time.Millisecond)
		defer cancel()
		if e, err := c.receive(own); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("nothing was sent, got %#v, %v", e, err)
		}
		return c.respond(ctx, 200, nil, "done") // the reader still waits
	})})
	defer server.Close()
	r := raw(t, server, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n")
	if got := body(t, r); got != "done" || !r.Close {
		t.Errorf("got %q, close %v; want the response, and an end of the connection whose body is unread", got, r.Close)
	}
}

// What follows an unread body must never be taken for the next request.
func TestNoRequestWithinABody(t *testing.T) {
	var requests []string
	server := httptest.NewServer(asgi.Handler{App: app(func(ctx context.Context, c conn) error {
		requests = append(requests, c.scope.Path())
		own, cancel := context.WithTimeout(ctx, time.Millisecond)
		defer cancel()
		_, _ = c.receive(own)
		return asgi.Deny{}
	})})
	c := dial(t, server)
	const inner = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
	_, _ = io.WriteString(c, "POST /outer HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
	first := make([]byte, 12)
	if _, err := io.ReadFull(c, first); err != nil || string(first) != "HTTP/1.1 403" {
		t.Errorf("got %q, %v", first, err)
	}
	_, _ = io.WriteString(c, inner)
	_, _ = io.Copy(io.Discard, c)
	server.Close()
	if len(requests) != 1 {
		t.Errorf("requests are %q: a part of a body was taken for one", requests)
	}
}

// Case 184. The client leaves mid-stream: HTTPDisconnect comes, ctx ends with its cause, Send says ErrClosed, and
// nobody has failed.
func TestClientLeaves(t *testing.T) {
	left := make(chan struct{})
	server := httptest.NewServer(asgi.Handler{
		OnError: func(_ *asgi.Scope, err error) { t.Errorf("case 184: OnError heard %v", err) },
		App: app(func(ctx context.Context, c conn) error {
			defer close(left)
			if e, err := c.receive(ctx); err != nil || e.(asgi.HTTPRequest).MoreBody {
				t.Errorf("first event %#v, %v", e, err)
			}
			if err := c.send(ctx, asgi.HTTPResponseStart{Status: 200}); err != nil {
				return err
			}
			if err := c.send(ctx, asgi.HTTPResponseBody{Body: []byte("x"), MoreBody: true}); err != nil {
				return err
			}
			if e, err := c.receive(ctx); err != nil || e != (asgi.HTTPDisconnect{}) {
				t.Errorf("case 184: got %#v, %v; want HTTPDisconnect", e, err)
			}
			if _, err := c.receive(ctx); err != asgi.ErrClosed {
				t.Errorf("case 184: after the disconnect: %v, want ErrClosed", err)
			}
			<-ctx.Done()
			if cause := context.Cause(ctx); cause != (asgi.DisconnectError{By: asgi.ByClient}) {
				t.Errorf("case 184: cause is %#v", cause)
			}
			for _, sendCtx := range []context.Context{ctx, context.Background()} {
				if err := c.send(sendCtx, asgi.HTTPResponseBody{Body: []byte("y")}); err != asgi.ErrClosed {
					t.Errorf("case 184: send: %v, want ErrClosed", err)
				}
			}
			return context.Cause(ctx)
		}),
	})
	defer server.Close()
	c := dial(t, server)
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if _, err := io.ReadFull(c, make([]byte, 12)); err != nil {
		t.Fatal(err)
	}
	c.Close()
	<-left
}

// The client leaves within its own body.
func TestClientLeavesWithinTheBody(t *testing.T) {
	left := make(chan struct{})
	server := httptest.NewServer(asgi.Handler{
		OnError: func(_ *asgi.Scope, err error) { t.Errorf("OnError heard %v", err) },
		App: app(func(ctx context.Context, c conn) error {
			defer close(left)
			for {
				e, err := c.receive(ctx)
				if err != nil {
					t.Error(err)
					return err
				}
				if e == (asgi.Event)(asgi.HTTPDisconnect{}) {
					<-ctx.Done()
					return ctx.Err() // as many applications do
				}
			}
		}),
	})
	defer server.Close()
	c := dial(t, server)
	_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
	c.Close()
	<-left
}

// Over HTTP/2 a client leaves by resetting its stream: while the application waits for the body, or after it.
func TestClientLeavesOverHTTP2(t *testing.T) {
	for _, within := range []bool{true, false} {
		got := make(chan asgi.Event, 1)
		server := httptest.NewUnstartedServer(asgi.Handler{
			OnError: func(_ *asgi.Scope, err error) { t.Errorf("OnError heard %v", err) },
			App: app(func(ctx context.Context, c conn) error {
				defer close(got)
				if err := c.send(ctx, startOK); err != nil {
					return err
				}
				if err := c.send(ctx, part("x")); err != nil {
					return err
				}
				for {
					e, err := c.receive(ctx)
					if err != nil {
						t.Error(err)
					}
					if _, ok := e.(asgi.HTTPRequest); !ok {
						got <- e
						<-ctx.Done()
						return context.Cause(ctx)
					}
				}
			}),
		})
		server.EnableHTTP2 = true
		server.StartTLS()
		in, out := io.Pipe()
		ctx, leave := context.WithCancel(t.Context())
		request, err := http.NewRequestWithContext(ctx, "POST", server.URL, in)
		if err != nil {
			t.Fatal(err)
		}
		if !within {
			out.Close()
		}
		r, err := server.Client().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.ReadFull(r.Body, make([]byte, 1))
		leave()
		r.Body.Close()
		if e := <-got; e != (asgi.HTTPDisconnect{}) {
			t.Errorf("within the body %v: got %#v, want HTTPDisconnect", within, e)
		}
		out.Close()
		server.Close()
	}
}

// The context of the request may end for other reasons, which the cause tells.
func TestRequestContextEnds(t *testing.T) {
	tests := []struct {
		name string
		ctx  func(context.Context) (context.Context, context.CancelFunc)
		want asgi.DisconnectError
	}{
		{"cancelled", context.WithCancel, asgi.DisconnectError{By: asgi.ByClient}},
		{"deadline", func(ctx context.Context) (context.Context, context.CancelFunc) { return context.WithTimeout(ctx, 0) },
			asgi.DisconnectError{By: asgi.ByServer, Reason: "context deadline exceeded"}},
		{"cause", func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancelCause(ctx)
			return ctx, func() { cancel(asgi.DisconnectError{By: asgi.ByServer, Reason: "shutdown"}) }
		}, asgi.DisconnectError{By: asgi.ByServer, Reason: "shutdown"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := tt.ctx(t.Context())
			defer cancel()
			h := asgi.Handler{App: app(func(ctx context.Context, c conn) error {
				cancel()
				<-ctx.Done()
				if cause := context.Cause(ctx); cause != tt.want {
					t.Errorf("cause is %#v, want %#v", cause, tt.want)
				}
				if tt.name == "deadline" {
					return fmt.Errorf("too late: %w", asgi.Deny{}) // no failure either
				}
				return context.Cause(ctx)
			}), OnError: func(_ *asgi.Scope, err error) { t.Errorf("OnError heard %v", err) }}
			serveAborted(t, h, httptest.NewRequestWithContext(ctx, "GET", "/", nil))
		})
	}
}

// The ctx of Serve ends 10 s after the response is complete, not before.
func TestContextEndsAfterTheResponse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asgi.Handler{App: app(func(ctx context.Context, c conn) error {
			if err := c.respond(ctx, 200, nil, "x"); err != nil {
				return err
			}
			begin := time.Now()
			<-ctx.Done()
			if took := time.Since(begin); took != 10*time.Second {
				t.Errorf("ctx ended after %v", took)
			}
			if cause := context.Cause(ctx); cause != (asgi.DisconnectError{By: asgi.ByApp}) {
				t.Errorf("cause is %#v", cause)
			}
			return context.Cause(ctx)
		}), OnError: func(_ *asgi.Scope, err error) { t.Errorf("OnError heard %v", err) }}.
				ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
	})
}

// serveAborted serves a request whose connection must be cut.
func serveAborted(t *testing.T, h asgi.Handler, r *http.Request) {
	t.Helper()
	defer func() {
		if v := recover(); v != http.ErrAbortHandler {
			t.Errorf("ServeHTTP panics with %v, want http.ErrAbortHandler", v)
		}
	}()
	h.ServeHTTP(httptest.NewRecorder(), r)
}

// A response in one part to a request whose body nobody reads leaves the connection as good as it was.
func TestConnectionSurvivesAnUnreadBody(t *testing.T) {
	server := httptest.NewServer(asgi.Handler{App: app(func(ctx context.Context, c conn) error {
		return c.respond(ctx, 200, nil, c.scope.Path())
	})})
	defer server.Close()
	c := dial(t, server)
	responses := bufio.NewReader(c)
	for _, path := range []string{"/first", "/second"} {
		_, _ = io.WriteString(c, "POST "+path+" HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody")
		r, err := http.ReadResponse(responses, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := body(t, r); got != path || r.Close {
			t.Errorf("got %q, close %v; want %q on an open connection", got, r.Close, path)
		}
	}
}
