package middleware_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/middleware"
	"github.com/tideway-go/tideway/asgi/server"
	"github.com/tideway-go/tideway/testing/asgitest"
)

// Case 185. An app that has not begun its response in time is answered for with 503, and its ctx ends.
func TestTimeoutBeforeTheResponse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cause error
		app := middleware.Timeout(3 * time.Second)(asgi.AppFunc(func(ctx context.Context, _ *asgi.Scope, _ asgi.Receive, send asgi.Send) error {
			<-ctx.Done()
			cause = context.Cause(ctx)
			return send(context.Background(), asgi.HTTPResponseStart{Status: 200})
		}))
		begin := time.Now()
		e := asgitest.New(t, app).Stream("GET", "/")
		if r := e.Response(); r.Status != 503 || string(r.Body) != "Service Unavailable\n" || time.Since(begin) != 3*time.Second {
			t.Errorf("got %d %q after %v", r.Status, r.Body, time.Since(begin))
		}
		if err := e.Wait(); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, asgi.ErrClosed) || !strings.Contains(err.Error(), "not begun its response within 3s") {
			t.Errorf("the server sees %v", err)
		}
		if d, ok := cause.(asgi.DisconnectError); !ok || d.By != asgi.ByServer {
			t.Errorf("the cause is %#v", cause)
		}
	})
}

// The client of an app that ignores its ctx has its 503 all the same.
func TestTimeoutOfAStubbornApp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := middleware.Timeout(time.Second)(asgi.AppFunc(func(_ context.Context, _ *asgi.Scope, _ asgi.Receive, send asgi.Send) error {
			<-time.After(2 * time.Second)
			return send(context.Background(), asgi.HTTPResponseStart{Status: 200})
		}))
		begin := time.Now()
		e := asgitest.New(t, app).Stream("GET", "/")
		if status, _ := e.Start(); status != 503 || time.Since(begin) != time.Second {
			t.Errorf("got %d after %v", status, time.Since(begin))
		}
		e.Response()
		if err := e.Wait(); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the server sees %v", err)
		}
	})
}

// Case 185. A response that has begun is cut, also when the app goes on after a Send that failed.
func TestTimeoutDuringTheResponse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var late error
		app := middleware.Timeout(time.Second)(asgi.AppFunc(func(ctx context.Context, _ *asgi.Scope, _ asgi.Receive, send asgi.Send) error {
			if err := events(asgi.HTTPResponseStart{Status: 200}, asgi.HTTPResponseBody{Body: []byte("part"), MoreBody: true})(ctx, send); err != nil {
				return err
			}
			<-ctx.Done()
			late = send(context.Background(), asgi.HTTPResponseBody{Body: []byte("rest")})
			return nil
		}))
		e := asgitest.New(t, app).Stream("GET", "/")
		e.ExpectChunk("part")
		if part, err := e.Next(t.Context()); err == nil || errors.Is(err, asgi.ErrClosed) {
			t.Errorf("got %q, %v, want a response that is cut short", part, err)
		}
		if !errors.Is(late, asgi.ErrClosed) {
			t.Errorf("a Send that came too late: %v", late)
		}
		if err := e.Wait(); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "not ended its response within 1s") {
			t.Errorf("the server sees %v", err)
		}
	})
}

// What is complete in time is left alone, whatever the app does afterwards; so is a client that has gone.
func TestTimeoutInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, tc := range map[string]struct {
			events []asgi.Event
			late   bool
		}{
			"one part":          {[]asgi.Event{asgi.HTTPResponseStart{Status: 200}, asgi.HTTPResponseBody{}}, false},
			"two parts":         {[]asgi.Event{asgi.HTTPResponseStart{Status: 200}, asgi.HTTPResponseBody{MoreBody: true}, asgi.HTTPResponseBody{}}, false},
			"trailers":          {[]asgi.Event{asgi.HTTPResponseStart{Status: 200, Trailers: true}, asgi.HTTPResponseBody{}, asgi.HTTPResponseTrailers{}}, false},
			"a file":            {[]asgi.Event{asgi.HTTPResponseStart{Status: 200}, asgi.HTTPResponsePathSend{Path: "/x"}}, false},
			"part of a file":    {[]asgi.Event{asgi.HTTPResponseStart{Status: 200}, asgi.HTTPResponseZeroCopySend{}}, false},
			"more of a file":    {[]asgi.Event{asgi.HTTPResponseStart{Status: 200}, asgi.HTTPResponseZeroCopySend{MoreBody: true}}, true},
			"no trailers yet":   {[]asgi.Event{asgi.HTTPResponseStart{Status: 200, Trailers: true}, asgi.HTTPResponseBody{}}, true},
			"a file, then none": {[]asgi.Event{asgi.HTTPResponseStart{Status: 200, Trailers: true}, asgi.HTTPResponsePathSend{Path: "/x"}}, true},
			"more trailers":     {[]asgi.Event{asgi.HTTPResponseStart{Status: 200, Trailers: true}, asgi.HTTPResponseBody{}, asgi.HTTPResponseTrailers{MoreTrailers: true}}, true},
			"no body":           {[]asgi.Event{asgi.HTTPResponseStart{Status: 200}}, true},
		} {
			var sent []asgi.Event
			send := func(_ context.Context, e asgi.Event) error { sent = append(sent, e); return nil }
			app := middleware.Timeout(time.Second)(asgi.AppFunc(func(ctx context.Context, _ *asgi.Scope, _ asgi.Receive, send asgi.Send) error {
				if err := events(tc.events...)(ctx, send); err != nil {
					return err
				}
				<-time.After(2 * time.Second)
				if (ctx.Err() != nil) != tc.late {
					t.Errorf("%s: ctx has %v", name, ctx.Err())
				}
				return nil
			}))
			err := app.Serve(t.Context(), asgi.NewScope(asgi.Fields{Type: asgi.HTTP}), nil, send)
			if (err != nil) != tc.late || len(sent) != len(tc.events) {
				t.Errorf("%s: got %v, sent %v", name, err, sent)
			}
		}
		gone, leave := context.WithCancelCause(t.Context())
		app := middleware.Timeout(time.Second)(asgi.AppFunc(func(context.Context, *asgi.Scope, asgi.Receive, asgi.Send) error {
			leave(asgi.DisconnectError{By: asgi.ByClient})
			<-time.After(2 * time.Second)
			return asgi.ErrClosed
		}))
		if err := app.Serve(gone, asgi.NewScope(asgi.Fields{Type: asgi.HTTP}), nil, func(context.Context, asgi.Event) error { return asgi.ErrClosed }); err != asgi.ErrClosed {
			t.Errorf("after the client has gone: %v", err)
		}
	})
}

// A start that the server refused was none: the client gets its 503.
func TestTimeoutAfterARefusedStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := middleware.Timeout(time.Second)(asgi.AppFunc(func(ctx context.Context, _ *asgi.Scope, _ asgi.Receive, send asgi.Send) error {
			if err := send(ctx, asgi.HTTPResponseStart{Status: 200, Header: http.Header{"a b": nil}}); err == nil {
				t.Error("the start was not refused")
			}
			<-ctx.Done()
			return nil
		}))
		e := asgitest.New(t, app).Stream("GET", "/")
		if r := e.Response(); r.Status != 503 {
			t.Errorf("got %d", r.Status)
		}
		if err := e.Wait(); err == nil {
			t.Error("the server sees no error")
		}
	})
}

// Case 191. It does not apply to sockets, neither to the handshake nor later.
func TestTimeoutLeavesSocketsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := middleware.Timeout(time.Second)(page(func(*asgi.Scope) error { <-time.After(2 * time.Second); return nil }))
		ws := asgitest.New(t, app).Dial("/")
		<-time.After(time.Minute)
		ws.SendText("still here")
		ws.ExpectText("still here")
		ws.Disconnect()
	})
}

// A panic and a Goexit pass, and the clock ends with them.
func TestTimeoutEndsWithTheApp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var order []string
		for _, end := range []func(){func() { panic("broken") }, (&testing.T{}).SkipNow, func() {}} {
			done := make(chan bool)
			var inner context.Context
			app := middleware.Timeout(time.Hour)(asgi.AppFunc(func(ctx context.Context, _ *asgi.Scope, _ asgi.Receive, _ asgi.Send) error {
				inner = ctx
				end()
				return nil
			}))
			go func() { // ends with the app, and closes done on its way
				defer close(done)
				defer func() {
					if v := recover(); v != nil {
						order = append(order, v.(string))
					}
				}()
				_ = app.Serve(t.Context(), asgi.NewScope(asgi.Fields{Type: asgi.HTTP}), nil, nil)
			}()
			<-done
			if inner.Err() == nil {
				t.Error("ctx goes on")
			}
		}
		if !slices.Equal(order, []string{"broken"}) {
			t.Errorf("panics: %q", order)
		}
	})
}

// Over HTTP/1 the 503 ends the connection, on which the next request would wait for the app; HTTP/2 needs no end.
func TestTimeoutEndsTheConnection(t *testing.T) {
	for version, want := range map[string][]string{"1.0": {"close"}, "1.1": {"close"}, "2": nil} {
		synctest.Test(t, func(t *testing.T) {
			var got http.Header
			app := middleware.Timeout(time.Second)(asgi.AppFunc(func(ctx context.Context, _ *asgi.Scope, _ asgi.Receive, _ asgi.Send) error {
				<-ctx.Done()
				return nil
			}))
			_ = app.Serve(t.Context(), asgi.NewScope(asgi.Fields{Type: asgi.HTTP, HTTPVersion: version}), nil, func(_ context.Context, e asgi.Event) error {
				if start, ok := e.(asgi.HTTPResponseStart); ok {
					got = start.Header
				}
				return nil
			})
			if got == nil || !slices.Equal(got["Connection"], want) {
				t.Errorf("HTTP/%s: got the header %v, want Connection %q", version, got, want)
			}
		})
	}
}

// stubborn is an app that ignores its Timeout on one path, until it is released.
func stubborn(release <-chan struct{}) asgi.App {
	return middleware.Timeout(50 * time.Millisecond)(asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, _ asgi.Receive, send asgi.Send) error {
		if scope.Path() == "/stubborn" {
			<-release
			return nil
		}
		return events(asgi.HTTPResponseStart{Status: 200}, asgi.HTTPResponseBody{})(ctx, send)
	}))
}

// On a real server the client may send its next request at once, while the app goes on.
func TestTimeoutNextRequest(t *testing.T) {
	release := make(chan struct{})
	site := httptest.NewServer(server.New(stubborn(release), nil))
	defer site.Close()
	defer close(release)
	r, err := site.Client().Get(site.URL + "/stubborn")
	if err != nil || r.StatusCode != 503 || !r.Close {
		t.Fatalf("got %+v, %v, want 503 and the end of the connection", r, err)
	}
	r.Body.Close()
	r, err = site.Client().Get(site.URL + "/next")
	if err != nil || r.StatusCode != 200 {
		t.Fatalf("the next request got %+v, %v", r, err)
	}
	r.Body.Close()
}

// Over HTTP/2 the 503 is there while the app goes on, and so is the connection for other requests; the stream ends with the app.
func TestTimeoutOverHTTP2(t *testing.T) {
	release := make(chan struct{})
	site := httptest.NewUnstartedServer(server.New(stubborn(release), nil))
	site.EnableHTTP2 = true
	site.StartTLS()
	defer site.Close()
	released := sync.OnceFunc(func() { close(release) })
	defer released()
	r, err := site.Client().Get(site.URL + "/stubborn")
	if err != nil || r.StatusCode != 503 || r.ProtoMajor != 2 || r.Header["Connection"] != nil {
		t.Fatalf("got %+v, %v, want 503 over HTTP/2", r, err)
	}
	defer r.Body.Close()
	body := make([]byte, r.ContentLength)
	if _, err := io.ReadFull(r.Body, body); err != nil || string(body) != "Service Unavailable\n" {
		t.Errorf("the body is %q, %v", body, err)
	}
	reused := false
	trace := &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) { reused = c.Reused }}
	next, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), http.MethodGet, site.URL+"/next", nil)
	if err != nil {
		t.Fatal(err)
	}
	other, err := site.Client().Do(next)
	if err != nil || other.StatusCode != 200 || !reused {
		t.Fatalf("the next request got %+v, %v, on the same connection: %v", other, err, reused)
	}
	other.Body.Close()
	released()
	if rest, err := io.ReadAll(r.Body); err != nil || len(rest) > 0 {
		t.Errorf("when the app has returned: %q, %v, want the end", rest, err)
	}
}

func TestTimeoutPanics(t *testing.T) {
	for _, d := range []time.Duration{0, -1, 30} {
		panicsWith(t, "asgi/middleware: Timeout: ", "write 30*time.Second", func() { middleware.Timeout(d) })
	}
}
