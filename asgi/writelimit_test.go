package asgi_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tideway-go/tideway/asgi"
)

// slow is a connection to a client that takes its first piece after two seconds and none after it. What waits ends by
// the deadline.
type slow struct {
	*httptest.ResponseRecorder
	mu     sync.Mutex
	pieces int
	due    *time.Timer
	passed chan struct{}
}

func (s *slow) SetWriteDeadline(d time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.due != nil {
		s.due.Stop()
	}
	select {
	case <-s.passed:
		s.passed = make(chan struct{})
	default:
	}
	if passed := s.passed; !d.IsZero() {
		s.due = time.AfterFunc(time.Until(d), func() { close(passed) })
	}
	return nil
}

func (s *slow) Write(p []byte) (int, error) {
	if s.pieces++; s.pieces == 1 {
		<-time.After(2 * time.Second)
		return len(p), nil
	}
	s.mu.Lock()
	passed := s.passed
	s.mu.Unlock()
	<-passed
	return 0, os.ErrDeadlineExceeded
}

// A piece of a response has WriteTimeout. The end of a Send's own ctx comes before it, also between two pieces.
func TestWriteTimeout(t *testing.T) {
	for _, tc := range []struct {
		name string
		own  time.Duration // until the end of the Send's ctx
		took time.Duration
		by   asgi.EndedBy // of the failure; empty: it is the Send's own
	}{
		{"late", time.Hour, 12 * time.Second, asgi.ByServer},
		{"cut while it waits", 5 * time.Second, 5 * time.Second, ""},
		{"cut between pieces", time.Second, 2 * time.Second, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var failures []error
				begun := time.Now()
				handler := asgi.Handler{
					WriteTimeout: 10 * time.Second,
					OnError:      func(_ *asgi.Scope, err error) { failures = append(failures, err) },
					App: app(func(ctx context.Context, c conn) error {
						own, cancel := context.WithTimeout(ctx, tc.own)
						defer cancel()
						c.send(ctx, startOK)
						err := c.send(own, part(string(make([]byte, 200<<10))))
						if took := time.Since(begun); took != tc.took {
							t.Errorf("S2: Send waited for %v, want %v", took, tc.took)
						}
						if late := tc.by != ""; late != (context.Cause(ctx) != nil) || late != errors.Is(err, asgi.ErrClosed) {
							t.Errorf("Send returned %v, and the cause of ctx is %v", err, context.Cause(ctx))
						}
						return err
					}),
				}
				defer func() {
					if v := recover(); v != http.ErrAbortHandler {
						t.Errorf("S6: a response, once begun, either completes or the connection is cut; ServeHTTP panics with %v", v)
					}
					var end asgi.DisconnectError
					if len(failures) != 1 || errors.As(failures[0], &end) != (tc.by != "") || end.By != tc.by {
						t.Errorf("OnError heard %v", failures)
					}
				}()
				handler.ServeHTTP(&slow{ResponseRecorder: httptest.NewRecorder(), passed: make(chan struct{})}, httptest.NewRequestWithContext(t.Context(), "GET", "/", nil))
			})
		})
	}
}
