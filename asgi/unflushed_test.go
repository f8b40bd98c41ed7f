package asgi_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tideway-go/tideway/asgi"
)

// counting is the ResponseWriter of a middleware that somebody wrote in a hurry.
type counting struct {
	http.ResponseWriter
	n int
}

func (w *counting) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.n += n
	return n, err
}

// unwrapping is one that was written with care.
type unwrapping struct{ http.ResponseWriter }

func (w unwrapping) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// A response in parts behind a ResponseWriter that cannot flush is told once, by the type that has to be mended; it arrives all the
// same. Where nothing is held back nothing is told.
func TestUnflushed(t *testing.T) {
	through := func(wrap func(http.ResponseWriter) http.ResponseWriter) func(http.Handler) http.Handler {
		return func(h http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(wrap(w), r) })
		}
	}
	hurried := through(func(w http.ResponseWriter) http.ResponseWriter { return &counting{ResponseWriter: w} })
	for _, tc := range []struct {
		name   string
		method string
		wrap   func(http.Handler) http.Handler
		parts  []string
		want   string // the type
	}{
		{"no Unwrap", "GET", hurried, []string{"a", "b", "c"}, "*asgi_test.counting"},
		{"no Unwrap, below one that has", "GET", func(h http.Handler) http.Handler {
			return hurried(through(func(w http.ResponseWriter) http.ResponseWriter { return unwrapping{w} })(h))
		}, []string{"", "b"}, "*asgi_test.counting"},
		{"http.TimeoutHandler", "GET", func(h http.Handler) http.Handler { return http.TimeoutHandler(h, time.Minute, "") }, []string{"a", "b"}, "*http.timeoutWriter"},
		{"Unwrap", "GET", through(func(w http.ResponseWriter) http.ResponseWriter { return unwrapping{w} }), []string{"a", "b"}, ""},
		{"nothing between", "GET", func(h http.Handler) http.Handler { return h }, []string{"a", "b"}, ""},
		{"one part", "GET", hurried, []string{"a"}, ""},
		{"no body", "HEAD", hurried, []string{"a", "b"}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			heard := make(chan error, 9)
			h := asgi.Handler{
				App: app(func(ctx context.Context, c conn) error {
					return c.respond(ctx, 200, http.Header{"Content-Type": {"text/event-stream"}}, tc.parts...)
				}),
				OnError: func(_ *asgi.Scope, err error) { heard <- err },
			}
			url, client := serve(t, tc.wrap(h))
			r, err := http.NewRequest(tc.method, url, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := body(t, resp), strings.Join(tc.parts, ""); tc.method == "GET" && got != want {
				t.Errorf("the body is %q, want %q", got, want)
			}
			switch {
			case tc.want == "" && len(heard) > 0:
				t.Errorf("OnError heard %v", <-heard)
			case tc.want == "":
			case len(heard) != 1:
				t.Errorf("OnError heard %d errors, want 1", len(heard))
			default:
				if err := <-heard; !errors.Is(err, asgi.ErrUnflushed) || !strings.Contains(err.Error(), "is a "+tc.want+",") || !strings.Contains(err.Error(), "give it a method Unwrap()") {
					t.Errorf("OnError heard %v, want the type %s and what to write", err, tc.want)
				}
			}
		})
	}
}

// It is told while the stream goes on, since it may have no end.
func TestUnflushedIsToldAtOnce(t *testing.T) {
	heard := make(chan error, 1)
	h := asgi.Handler{
		App: app(func(ctx context.Context, c conn) error {
			if err := c.send(ctx, asgi.HTTPResponseStart{Status: 200}); err != nil {
				return err
			}
			if err := c.send(ctx, asgi.HTTPResponseBody{Body: []byte("data: 1\n\n"), MoreBody: true}); err != nil {
				return err
			}
			select {
			case err := <-heard:
				if !errors.Is(err, asgi.ErrUnflushed) {
					t.Errorf("OnError heard %v", err)
				}
			case <-time.After(20 * time.Second): // which passes only when a test is stuck
				t.Error("OnError heard nothing")
			}
			return c.send(ctx, asgi.HTTPResponseBody{})
		}),
		OnError: func(_ *asgi.Scope, err error) { heard <- err },
	}
	url, client := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(&counting{ResponseWriter: w}, r) }))
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(resp.Body); string(b) != "data: 1\n\n" || err != nil {
		t.Errorf("got %q, %v", b, err)
	}
	resp.Body.Close()
}
