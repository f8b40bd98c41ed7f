package consumers_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/consumers"
)

// request is the HTTP table that most tests here fill in.
type request = consumers.AsyncHTTPConsumer[none]

// TestHTTPAnswer: Case 116, a whole request in, a whole response out; Case 119, a body in parts comes at once.
func TestHTTPAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls int
		site, _ := site(t, request{Handle: func(_ *none, ctx context.Context, c *consumers.Conn, body []byte) error {
			calls++
			return c.Respond(ctx, http.StatusCreated, http.Header{"Content-Type": {"application/json"}}, append([]byte("got "), body...))
		}}.App())
		r := site.Request("POST", "/", `{"value":`, ` 42}`)
		if r.Status != 201 || string(r.Body) != `got {"value": 42}` || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("cases 116 and 119: the client got %d %q %v", r.Status, r.Body, r.Header)
		}
		if calls != 1 {
			t.Errorf("case 119: Handle ran %d times", calls)
		}
	})
}

// TestHTTPFailure: Case 117. What Handle does wrong reaches the server, and the client gets a 500.
func TestHTTPFailure(t *testing.T) {
	boom := errors.New("boom")
	for _, c := range []struct {
		name   string
		handle func(ctx context.Context, c *consumers.Conn) error
		status int
		text   string // of the error; "": none
	}{
		{"case 117: error", func(ctx context.Context, c *consumers.Conn) error { return boom }, 500, "boom"},
		{"case 117: deny", func(ctx context.Context, c *consumers.Conn) error { return asgi.Deny{Status: 409} }, 409, ""},
		{"no answer", func(ctx context.Context, c *consumers.Conn) error { return nil }, 500,
			"consumers: consumers_test.none: answer: handle returned without completing the response: call Respond"},
		{"a start without a body", func(ctx context.Context, c *consumers.Conn) error { return c.StartResponse(ctx, 200, nil) }, 500, "call Respond"},
		{"a body without a start", func(ctx context.Context, c *consumers.Conn) error { return c.SendBody(ctx, nil, false) }, 500, "send asgi.HTTPResponseStart first"},
		{"two responses", func(ctx context.Context, c *consumers.Conn) error {
			return errors.Join(c.Respond(ctx, 200, nil, nil), c.Respond(ctx, 200, nil, nil))
		}, 200, ""},
		{"a message of another protocol", func(ctx context.Context, c *consumers.Conn) error { return c.SendText(ctx, "x") }, 500, "not for an app to send in a scope of type \"http\""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				site, _ := site(t, request{Handle: func(_ *none, ctx context.Context, conn *consumers.Conn, body []byte) error {
					return c.handle(ctx, conn)
				}}.App())
				x := site.Stream("GET", "/")
				if status, _ := x.Start(); status != c.status {
					t.Errorf("the client got %d, want %d", status, c.status)
				}
				err := x.Wait()
				if c.text == "" && err != nil || c.text != "" && (err == nil || !strings.Contains(err.Error(), c.text)) {
					t.Errorf("Serve returned %v, want %q", err, c.text)
				}
			})
		})
	}
}

// TestHTTPPanic: the stack reaches the server.
func TestHTTPPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := request{Handle: func(_ *none, ctx context.Context, c *consumers.Conn, body []byte) error { panic("boom") }}.App()
		w := connect(t, app, asgi.NewScope(asgi.Fields{Type: asgi.HTTP}))
		w.in <- asgi.HTTPRequest{}
		var panicked *asgi.PanicError
		if err := <-w.end; !errors.As(err, &panicked) || !strings.Contains(string(panicked.Stack), "http_test.go") {
			t.Errorf("Serve returned %v, without the stack", err)
		}
	})
}

// TestHTTPInstances: Case 118. Each request has a state of its own.
func TestHTTPInstances(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type count struct{ n int }
		site, _ := site(t, consumers.AsyncHTTPConsumer[count]{Handle: func(s *count, ctx context.Context, c *consumers.Conn, body []byte) error {
			s.n++
			return c.Respond(ctx, 200, nil, []byte(strings.Repeat("x", s.n)))
		}}.App())
		for range 2 {
			if r := site.Request("GET", "/"); string(r.Body) != "x" {
				t.Errorf("case 118: a request found the state of another: %q", r.Body)
			}
		}
	})
}

// TestHTTPZero: Case 120. The zero value is no error, it answers 204.
func TestHTTPZero(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site, _ := site(t, request{}.App())
		if r := site.Request("GET", "/"); r.Status != 204 {
			t.Errorf("got %d", r.Status)
		}
	})
}

// TestHTTPGoneEarly: Case 121. A client that leaves before the body is whole is only a disconnect.
func TestHTTPGoneEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var handled atomic.Bool
		ends := make(chan asgi.DisconnectError, 2)
		site, _ := site(t, request{
			Handle: func(_ *none, ctx context.Context, c *consumers.Conn, body []byte) error {
				handled.Store(true)
				return c.Respond(ctx, 200, nil, nil)
			},
			Disconnect: func(_ *none, ctx context.Context, c *consumers.Conn, why asgi.DisconnectError) error {
				ends <- why
				return nil
			},
		}.App())
		x := site.Upload("POST", "/")
		x.SendBody("half")
		synctest.Wait()
		x.Abandon()
		if err := x.Wait(); err != nil {
			t.Error(err)
		}
		if handled.Load() {
			t.Error("case 121: Handle ran without the whole body")
		}
		if why := told(t, ends); why.By != asgi.ByClient || len(ends) != 0 {
			t.Errorf("case 121: Disconnect was told %v, and %d times more", why, len(ends))
		}
	})
}

// TestHTTPStream: Case 122. A stream goes out part by part, and ends at once when the client leaves.
func TestHTTPStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ends atomic.Int32
		stopped := make(chan time.Time, 1)
		site, _ := site(t, request{
			Handle: func(_ *none, ctx context.Context, c *consumers.Conn, body []byte) error {
				defer func() { stopped <- time.Now() }()
				if err := c.StartResponse(ctx, 200, http.Header{"Content-Type": {"text/event-stream"}}); err != nil {
					return err
				}
				for ctx.Err() == nil {
					if err := c.SendBody(ctx, []byte("data: tick\n\n"), true); err != nil {
						return err
					}
					rest(ctx, time.Second)
				}
				return ctx.Err()
			},
			Disconnect: func(_ *none, ctx context.Context, c *consumers.Conn, why asgi.DisconnectError) error {
				ends.Add(1)
				return nil
			},
		}.App())
		x := site.Stream("GET", "/")
		x.Start()
		for range 3 {
			x.ExpectChunk("data: tick\n\n")
		}
		rest(t.Context(), 500*time.Millisecond)
		left := time.Now()
		x.Abandon()
		if err := x.Wait(); err != nil {
			t.Error(err)
		}
		if d := told(t, stopped).Sub(left); d != 0 {
			t.Errorf("case 122: the stream went on for %v after the client had left", d)
		}
		if n := ends.Load(); n != 1 {
			t.Errorf("case 122: Disconnect ran %d times", n)
		}
	})
}

// TestHTTPLongPoll: Case 123. Handle returns, layer messages and Go finish the response later.
func TestHTTPLongPoll(t *testing.T) {
	poll := request{
		Handle: func(_ *none, ctx context.Context, c *consumers.Conn, body []byte) error {
			if c.Scope().Path() == "/go" {
				c.Go(func(ctx context.Context) error {
					rest(ctx, time.Minute)
					return c.SendBody(ctx, []byte("by Go"), false)
				})
			}
			return errors.Join(c.GroupAdd(ctx, "polls"), c.StartResponse(ctx, 200, nil), c.SendBody(ctx, []byte("first "), true))
		},
		Messages: []consumers.Handler[none]{consumers.On(noted, func(_ *none, ctx context.Context, c *consumers.Conn, v note) error {
			return c.SendBody(ctx, []byte(v.Text), v.N > 0)
		})},
	}
	synctest.Test(t, func(t *testing.T) {
		site, layer := site(t, poll.App())
		x := site.Stream("GET", "/")
		x.Start()
		x.ExpectChunk("first ")
		rest(t.Context(), 20*time.Second)
		for i, text := range []string{"second ", "last"} {
			if err := layer.GroupSend(t.Context(), "polls", noted.With(note{Text: text, N: 1 - i})); err != nil {
				t.Fatal(err)
			}
		}
		if r := x.Response(); string(r.Body) != "first second last" {
			t.Errorf("case 123: the response is %q", r.Body)
		}
		if err := x.Wait(); err != nil {
			t.Error(err)
		}

		x = site.With(nil).Stream("GET", "/go")
		x.Start()
		x.ExpectChunk("first ")
		rest(t.Context(), 59*time.Second)
		x.ExpectChunk("by Go")
		if err := x.Wait(); err != nil {
			t.Error(err)
		}
	})
}

// TestHTTPGoAnswers: without Messages, work of Go may still answer; when all of it has returned, nothing can.
func TestHTTPGoAnswers(t *testing.T) {
	for _, answers := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			site, _ := site(t, request{Handle: func(_ *none, ctx context.Context, c *consumers.Conn, body []byte) error {
				c.Go(func(ctx context.Context) error {
					rest(ctx, time.Second)
					if !answers {
						return nil
					}
					return c.Respond(ctx, 200, nil, []byte("later"))
				})
				return nil
			}}.App())
			x := site.Stream("GET", "/")
			status, _ := x.Start()
			err := x.Wait()
			switch {
			case answers && (status != 200 || err != nil):
				t.Errorf("answered by Go: %d, %v", status, err)
			case !answers && (status != 500 || err == nil):
				t.Errorf("unanswered: %d, %v", status, err)
			}
		})
	}
}

// TestHTTPMaxBody: Case 124. A larger body is a 413, without Handle.
func TestHTTPMaxBody(t *testing.T) {
	for _, c := range []struct {
		name    string
		maxBody int
		parts   []string
		status  int
	}{
		{"exactly as large", 4, []string{"ab", "cd"}, 200},
		{"case 124: one byte more", 4, []string{"ab", "cde"}, 413},
		{"case 124: at once", 4, []string{"abcde"}, 413},
		{"default: 1 MiB", 0, []string{strings.Repeat("x", 1<<20)}, 200},
		{"case 124: default: more", 0, []string{strings.Repeat("x", 1<<20), "x"}, 413},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var handled atomic.Bool
				site, _ := site(t, request{MaxBody: c.maxBody, Handle: func(_ *none, ctx context.Context, conn *consumers.Conn, body []byte) error {
					handled.Store(true)
					return conn.Respond(ctx, 200, nil, nil)
				}}.App())
				if r := site.Request("POST", "/", c.parts...); r.Status != c.status || handled.Load() != (c.status == 200) {
					t.Errorf("got %d, Handle ran: %v; want %d", r.Status, handled.Load(), c.status)
				}
			})
		})
	}
}

// TestHTTPAfterResponse: a handler may go on after its response, its error is still told.
func TestHTTPAfterResponse(t *testing.T) {
	const after = 9 * time.Second // the server's patience ends at 10 s
	synctest.Test(t, func(t *testing.T) {
		late := errors.New("too late for the client")
		var cause error
		site, _ := site(t, request{Handle: func(_ *none, ctx context.Context, c *consumers.Conn, body []byte) error {
			if err := c.Respond(ctx, 200, nil, []byte("done")); err != nil {
				return err
			}
			rest(ctx, after)
			cause = context.Cause(ctx)
			return late
		}}.App())
		begun := time.Now()
		x := site.Stream("GET", "/")
		if r := x.Response(); string(r.Body) != "done" || time.Since(begun) != 0 {
			t.Errorf("the client got %q after %v", r.Body, time.Since(begun))
		}
		rest(t.Context(), after)
		if err := x.Wait(); !errors.Is(err, late) {
			t.Errorf("Serve returned %v, want the handler's error", err)
		}
		if d := time.Since(begun); cause != nil || d != after {
			t.Errorf("the handler was cut off before %v with %v", d, cause)
		}
	})
}

// TestLeftWhileWorking: Case 122. A client that leaves while Conn.Go streams ends the request, and nobody calls that an
// unanswered one.
func TestLeftWhileWorking(t *testing.T) {
	for range 50 {
		synctest.Test(t, func(t *testing.T) {
			site, _ := site(t, request{Handle: func(_ *none, ctx context.Context, c *consumers.Conn, _ []byte) error {
				if err := c.StartResponse(ctx, 200, nil); err != nil {
					return err
				}
				c.Go(func(ctx context.Context) error {
					if err := c.SendBody(ctx, []byte("begun"), true); err != nil {
						return err
					}
					<-ctx.Done()
					return nil
				})
				return nil
			}}.App())
			x := site.Stream("GET", "/")
			x.ExpectChunk("begun")
			x.Abandon()
			if err := x.Wait(); err != nil {
				t.Errorf("case 122: Serve returned %v", err)
			}
		})
	}
}
