package asgi_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tideway-go/tideway/asgi"
)

// stuck is a connection to a client that neither reads nor writes: what waits for it ends by a deadline only.
type stuck struct {
	*httptest.ResponseRecorder
	read, written         chan struct{}
	readOnce, writtenOnce sync.Once
}

func newStuck() *stuck {
	return &stuck{ResponseRecorder: httptest.NewRecorder(), read: make(chan struct{}), written: make(chan struct{})}
}

func (s *stuck) Write([]byte) (int, error) { <-s.written; return 0, os.ErrDeadlineExceeded }
func (s *stuck) Read([]byte) (int, error)  { <-s.read; return 0, os.ErrDeadlineExceeded }
func (s *stuck) Close() error              { return nil }

func (s *stuck) SetWriteDeadline(d time.Time) error {
	if d.After(time.Now()) {
		return errors.New("not a deadline that ends a write")
	}
	s.writtenOnce.Do(func() { close(s.written) })
	return nil
}

func (s *stuck) SetReadDeadline(d time.Time) error {
	if d.After(time.Now()) {
		return errors.New("not a deadline that ends a read")
	}
	s.readOnce.Do(func() { close(s.read) })
	return nil
}

// serveStuck serves a request of a stuck client, which must end in a cut if cut is true.
func serveStuck(t *testing.T, request context.Context, cut bool, a asgi.App) (failures []error) {
	t.Helper()
	s := newStuck()
	r := httptest.NewRequestWithContext(request, "POST", "/", s)
	defer func() {
		if v := recover(); cut && v != http.ErrAbortHandler || !cut && v != nil {
			t.Errorf("S6: a response, once begun, either completes or the connection is cut; ServeHTTP panics with %v", v)
		}
	}()
	asgi.Handler{App: a, OnError: func(_ *asgi.Scope, err error) { failures = append(failures, err) }}.ServeHTTP(s, r)
	return failures
}

var startOK = asgi.HTTPResponseStart{Status: 200}

func part(text string) asgi.HTTPResponseBody {
	return asgi.HTTPResponseBody{Body: []byte(text), MoreBody: true}
}

// A Send that waits for the client obeys its ctx; the response is cut then. One that waits for another Send obeys its
// own.
func TestSendObeysItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		patience := errors.New("out of patience")
		failures := serveStuck(t, t.Context(), true, app(func(ctx context.Context, c conn) error {
			if err := c.send(ctx, startOK); err != nil {
				return err
			}
			own, cancel := context.WithTimeoutCause(ctx, time.Minute, patience)
			defer cancel()
			first := make(chan error)
			go func() { first <- c.send(own, part("x")) }()
			synctest.Wait()
			brief, cancel := context.WithTimeoutCause(ctx, time.Second, patience)
			defer cancel()
			if err := c.send(brief, part("y")); err != patience {
				t.Errorf("waiting for another Send: %v, want the cause", err)
			}
			if err := c.send(brief, part("y")); err != asgi.ErrFull {
				t.Errorf("with an ended ctx: %v, want ErrFull", err)
			}
			err := <-first
			if !errors.Is(err, patience) {
				t.Errorf("waiting for the client: %v, want the cause", err)
			}
			if err := c.send(ctx, asgi.HTTPResponseBody{}); err != asgi.ErrClosed {
				t.Errorf("S7: after a cut comes ErrClosed, not %v", err)
			}
			return err
		}))
		if len(failures) != 1 || !errors.Is(failures[0], patience) {
			t.Errorf("OnError heard %v", failures)
		}
	})
}

// The client leaves while one Send waits for it and another one for the first.
func TestSendEndsWithTheClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		request, leave := context.WithCancel(t.Context())
		failures := serveStuck(t, request, true, app(func(ctx context.Context, c conn) error {
			if err := c.send(ctx, startOK); err != nil {
				return err
			}
			errs := make(chan error)
			for range 2 {
				go func() { errs <- c.send(context.WithoutCancel(ctx), part("x")) }()
			}
			synctest.Wait()
			leave()
			for range 2 {
				if err := <-errs; err != asgi.ErrClosed {
					t.Errorf("S7: send is %v, want ErrClosed", err)
				}
			}
			return nil
		}))
		if len(failures) != 0 {
			t.Errorf("OnError heard %v", failures)
		}
	})
}

// Receive without a ctx of its own reads on the caller's goroutine, and ends with the client as well.
func TestReceiveEndsWithTheClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		request, leave := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, leave)
		serveStuck(t, request, true, app(func(ctx context.Context, c conn) error {
			if e, err := c.receive(context.WithoutCancel(ctx)); err != nil || e != (asgi.HTTPDisconnect{}) {
				t.Errorf("got %#v, %v; want HTTPDisconnect", e, err)
			}
			return nil
		}))
	})
}

// The response is complete while a Receive waits for the body, with either kind of ctx.
func TestReceiveEndsWithTheResponse(t *testing.T) {
	for _, own := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			serveStuck(t, t.Context(), false, app(func(ctx context.Context, c conn) error {
				type result struct {
					event asgi.Event
					err   error
				}
				received := make(chan result)
				go func() {
					ctx, cancel := ctx, context.CancelFunc(func() {})
					if own {
						ctx, cancel = context.WithTimeout(ctx, time.Hour)
					}
					defer cancel()
					e, err := c.receive(ctx)
					received <- result{e, err}
				}()
				synctest.Wait()
				if err := c.respond(ctx, 204, nil, ""); err != nil {
					return err
				}
				if r := <-received; r.err != nil || r.event != (asgi.HTTPDisconnect{}) {
					t.Errorf("got %#v, %v; want HTTPDisconnect", r.event, r.err)
				}
				return nil
			}))
		})
	}
}

// Goroutines that an application leaves behind cannot hold the connection up, and find it closed.
func TestLeftBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		received, sent := make(chan error, 1), make(chan error, 1)
		begin := time.Now()
		serveStuck(t, t.Context(), true, app(func(ctx context.Context, c conn) error {
			if err := c.send(ctx, startOK); err != nil {
				return err
			}
			go func() {
				var err error
				for err == nil {
					_, err = c.receive(ctx)
				}
				received <- err
			}()
			go func() { sent <- c.send(ctx, part("x")) }()
			synctest.Wait()
			return nil
		}))
		for name, ch := range map[string]chan error{"receive": received, "send": sent} {
			if err := <-ch; !errors.Is(err, asgi.ErrClosed) {
				t.Errorf("%s: %v, want ErrClosed", name, err)
			}
		}
		if took := time.Since(begin); took != 0 {
			t.Errorf("Serve returned, and the connection was held for %v", took)
		}
	})
}

// A ResponseWriter without deadlines: closing the body is what ends a read.
func TestReadEndsWithoutDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, out := io.Pipe()
		defer out.Close()
		w := httptest.NewRecorder()
		asgi.Handler{App: app(func(ctx context.Context, c conn) error {
			own, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			if _, err := c.receive(own); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("receive: %v", err)
			}
			return c.respond(ctx, 200, nil, "done")
		})}.ServeHTTP(w, httptest.NewRequest("POST", "/", in))
		if w.Code != 200 || w.Body.String() != "done" {
			t.Errorf("got %d, %q", w.Code, w.Body)
		}
	})
}

// An application that ends its goroutine, as the Fail methods of package testing do, leaves nothing open either.
func TestGoexit(t *testing.T) {
	var late asgi.Send
	var lateCtx context.Context
	done := make(chan struct{})
	go func() {
		defer close(done)
		asgi.Handler{App: app(func(ctx context.Context, c conn) error {
			late, lateCtx = c.send, ctx
			runtime.Goexit()
			return nil
		})}.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
	}()
	<-done
	if err := late(context.Background(), startOK); err != asgi.ErrClosed || lateCtx.Err() == nil {
		t.Errorf("S7: sending after the end is ErrClosed, not %v; ctx has ended: %v", err, lateCtx.Err() != nil)
	}
}
