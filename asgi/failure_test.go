package asgi_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/tideway-go/tideway/asgi"
)

// outcome is what the client and OnError saw of one GET.
type outcome struct {
	response *http.Response // nil if the connection was cut before there was one
	body     string
	cut      bool
	failures []error
}

func outcomeOf(t *testing.T, a asgi.App) outcome {
	t.Helper()
	var o outcome
	server := httptest.NewServer(asgi.Handler{App: a, OnError: func(s *asgi.Scope, err error) {
		if s == nil || s.Path() != "/failing" {
			t.Errorf("OnError has scope %v", s)
		}
		o.failures = append(o.failures, err)
	}})
	defer server.Close() // waits for the handler
	r, err := server.Client().Get(server.URL + "/failing")
	if err != nil {
		o.cut = true
	} else {
		b, err := io.ReadAll(r.Body)
		r.Body.Close()
		o.response, o.body, o.cut = r, string(b), err != nil
	}
	server.Close()
	return o
}

// statusError says how to answer.
type statusError int

func (e statusError) Error() string   { return fmt.Sprintf("status %d", int(e)) }
func (e statusError) StatusCode() int { return int(e) }

// TestStatusOf: only an error that means it says a status.
func TestStatusOf(t *testing.T) {
	for name, c := range map[string]struct {
		err    error
		status int
	}{
		"none":       {nil, 0},
		"no status":  {errors.New("boom"), 0},
		"503":        {fmt.Errorf("x: %w", statusError(503)), 503},
		"400":        {statusError(400), 400},
		"599":        {statusError(599), 599},
		"399":        {statusError(399), 0},
		"600":        {statusError(600), 0},
		"a panic":    {&asgi.PanicError{Value: statusError(503)}, 0},
		"a Deny":     {asgi.Deny{Status: 404}, 0},
		"both":       {errors.Join(statusError(503), asgi.Deny{}), 0},
		"a Deny too": {errors.Join(asgi.Deny{}, statusError(503)), 0},
	} {
		if status, ok := asgi.StatusOf(c.err); ok != (c.status != 0) || ok && status != c.status {
			t.Errorf("%s: %d, %v, want %d", name, status, ok, c.status)
		}
	}
}

// Case 182 and promise S6, with what OnError hears.
func TestFailures(t *testing.T) {
	const (
		nothing = iota
		started
		begun
		whole
	)
	boom := errors.New("boom")
	tests := []struct {
		name   string
		until  int // how far the response comes
		end    func(ctx context.Context) error
		status int // 0: cut
		heard  string
	}{
		{"case 182: error before the start", nothing, func(context.Context) error { return boom }, 500, "boom"},
		{"case 182: error after the start, which is held", started, func(context.Context) error { return boom }, 500, "boom"},
		{"case 182: error within the body", begun, func(context.Context) error { return boom }, 0, "boom"},
		{"case 182: error after the response", whole, func(context.Context) error { return boom }, 200, "boom"},
		{"case 182: no response", nothing, func(context.Context) error { return nil }, 500, "asgi: app returned without a response"},
		{"case 182: a start only", started, func(context.Context) error { return nil }, 500, "asgi: app returned without a response"},
		{"half a body", begun, func(context.Context) error { return nil }, 0, "asgi: app returned before its response was complete"},
		{"ErrClosed without a response", nothing, func(context.Context) error { return asgi.ErrClosed }, 500, "asgi: app returned without a response"},
		{"ErrClosed after the response", whole, func(context.Context) error { return fmt.Errorf("x: %w", asgi.ErrClosed) }, 200, ""},
		{"panic before the start", nothing, func(context.Context) error { panic("boom") }, 500, "panic: boom"},
		{"panic within the body", begun, func(context.Context) error { panic(boom) }, 0, "panic: boom"},
		{"panic after the response", whole, func(context.Context) error { panic("boom") }, 200, "panic: boom"},
		{"panic of ErrClosed", whole, func(context.Context) error { panic(asgi.ErrClosed) }, 200, "panic: asgi: connection is closed"},
		{"panic of a Deny", nothing, func(context.Context) error { panic(asgi.Deny{}) }, 500, "panic: asgi: denied: 403 Forbidden"},
		{"abort before the start", nothing, func(context.Context) error { panic(http.ErrAbortHandler) }, 0, ""},
		{"abort as an error", begun, func(context.Context) error { return http.ErrAbortHandler }, 0, ""},
		{"status of an error", nothing, func(context.Context) error { return fmt.Errorf("publish: %w", statusError(503)) }, 503, "publish: status 503"},
		{"status of an error, too late", begun, func(context.Context) error { return statusError(503) }, 0, "status 503"},
		{"status that is no error's", nothing, func(context.Context) error { return statusError(200) }, 500, "status 200"},
		{"panic of a status", nothing, func(context.Context) error { panic(statusError(503)) }, 500, "panic: status 503"},
		{"denied", nothing, func(context.Context) error { return asgi.Deny{} }, 403, ""},
		{"denied, wrapped", nothing, func(context.Context) error { return fmt.Errorf("x: %w", asgi.Deny{Status: 404}) }, 404, ""},
		{"denied too late", begun, func(context.Context) error { return asgi.Deny{} }, 0, "asgi: denied: 403 Forbidden"},
		{"denied after the start", started, func(context.Context) error { return asgi.Deny{} }, 500, "asgi: denied: 403 Forbidden"},
		{"denied without a status", nothing, func(context.Context) error { return asgi.Deny{Status: 42} }, 500, "asgi: denied with status 42: it must be 200 to 999"},
		{"denied with a bad header", nothing, func(context.Context) error {
			return asgi.Deny{Header: http.Header{"A": {"\n"}}}
		}, 500, `asgi: denied: header A has a control character in its value "\n"`},
		{"own ctx ended", nothing, func(context.Context) error { return context.Canceled }, 500, "context canceled"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := outcomeOf(t, app(func(ctx context.Context, c conn) error {
				for i, e := range []asgi.Event{
					asgi.HTTPResponseStart{Status: 200},
					asgi.HTTPResponseBody{Body: []byte("half"), MoreBody: true},
					asgi.HTTPResponseBody{},
				} {
					if i < tt.until {
						if err := c.send(ctx, e); err != nil {
							t.Error(err)
						}
					}
				}
				return tt.end(ctx)
			}))
			switch {
			case tt.status == 0 && !o.cut:
				t.Errorf("S6: a response, once begun, either completes or the connection is cut; this one is %s, %q", o.response.Status, o.body)
			case tt.status != 0 && (o.cut || o.response.StatusCode != tt.status):
				t.Errorf("client sees %+v, cut %v; want %d", o.response, o.cut, tt.status)
			}
			switch {
			case tt.heard == "" && len(o.failures) > 0:
				t.Errorf("OnError heard %v, want nothing", o.failures)
			case tt.heard != "" && (len(o.failures) != 1 || o.failures[0].Error() != tt.heard):
				t.Errorf("OnError heard %v, want %s once", o.failures, tt.heard)
			}
		})
	}
}

func TestDenyIsTheResponse(t *testing.T) {
	o := outcomeOf(t, app(func(context.Context, conn) error {
		return asgi.Deny{Status: 451, Header: http.Header{"x-why": {"law"}, "Content-Length": {"99"}}, Body: []byte("<b>no</b>")}
	}))
	h := o.response.Header
	if o.response.StatusCode != 451 || o.body != "<b>no</b>" || h.Get("X-Why") != "law" || o.response.ContentLength != 9 {
		t.Errorf("got %s, %v, %q", o.response.Status, h, o.body)
	}
	if h.Get("Content-Type") != "text/plain; charset=utf-8" || h.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("a body without a type may be taken for markup: %v", h)
	}
	o = outcomeOf(t, app(func(context.Context, conn) error {
		return asgi.Deny{Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte("{}")}
	}))
	if got := o.response.Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("own Content-Type became %q", got)
	}
}

func TestPanicCarriesItsStack(t *testing.T) {
	o := outcomeOf(t, app(func(context.Context, conn) error { return deepPanic() }))
	var p *asgi.PanicError
	if len(o.failures) != 1 || !errors.As(o.failures[0], &p) {
		t.Fatalf("OnError heard %v, want a PanicError", o.failures)
	}
	if p.Value != io.ErrNoProgress || !errors.Is(p, io.ErrNoProgress) || !strings.Contains(string(p.Stack), "deepPanic") {
		t.Errorf("value %v, stack %s", p.Value, p.Stack)
	}
}

func deepPanic() error { panic(io.ErrNoProgress) }

// Without OnError failures are answered all the same.
func TestHandlerWithoutOnError(t *testing.T) {
	url, client := serve(t, asgi.Handler{App: app(func(context.Context, conn) error { panic("boom") })})
	r, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	if body(t, r); r.StatusCode != 500 {
		t.Errorf("got %s", r.Status)
	}
}

func TestHandlerMistakes(t *testing.T) {
	ok := app(func(context.Context, conn) error { return nil })
	same := func(a asgi.App) asgi.App { return a }
	none := func(asgi.App) asgi.App { return nil }
	tests := []struct {
		name string
		do   func()
		want string
	}{
		{"no app", func() { asgi.Handler{}.ServeHTTP(nil, nil) }, "write asgi.Handler{App: app}"},
		{"Derive returns nil", func() {
			asgi.Handler{App: ok, Derive: func(*asgi.Scope) *asgi.Scope { return nil }}.
				ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
		}, "Derive returned nil"},
		{"nil handler", func() { asgi.FromHandler(nil) }, "handler is nil"},
		{"Wrap of nil", func() { asgi.Wrap(nil) }, "app is nil"},
		{"nil middleware", func() { asgi.Wrap(ok, same, nil) }, "middleware 2 of 2 is nil"},
		{"middleware that returns nil", func() { asgi.Wrap(ok, same, none, same) }, "middleware 2 of 3 returned nil"},
		{"zero key", func() { var k asgi.Key[int]; k.Get(asgi.NewScope(asgi.Fields{})) }, "asgi.NewKey"},
	}
	for _, tt := range tests {
		func() {
			defer func() {
				if text := fmt.Sprint(recover()); !strings.HasPrefix(text, "asgi: ") || !strings.Contains(text, tt.want) {
					t.Errorf("%s: panics with %q, want %q in it", tt.name, text, tt.want)
				}
			}()
			tt.do()
		}()
	}
}

func TestDerive(t *testing.T) {
	user := asgi.NewKey[string]("user")
	url, client := serve(t, asgi.Handler{
		App: app(func(ctx context.Context, c conn) error {
			name, _ := user.Get(c.scope)
			return c.respond(ctx, 200, nil, name+" "+c.scope.RootPath())
		}),
		Describe: func(f *asgi.Fields) { f.RootPath = "/live" },
		Derive:   func(s *asgi.Scope) *asgi.Scope { return user.With(s, "ann") },
	})
	r, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	if got := body(t, r); got != "ann /live" {
		t.Errorf("got %q", got)
	}
}

// A client that sent what cannot be read is answered for, whatever the application does with the error, unless that answers
// by itself. The application is not blamed.
func TestUnreadableBodies(t *testing.T) {
	boom := errors.New("boom")
	for _, tt := range []struct {
		name, request string
		end           func(ctx context.Context, c conn, err error) error // with Receive's error
		status        int                                                // 0: cut
		heard         string
	}{
		{"within the limit", "Content-Length: 10\r\n\r\n0123456789", nil, 200, ""},
		{"over the limit", "Content-Length: 11\r\n\r\n0123456789x", handOn, 413, "ended by the client: asgi: receive: request body: http: request body too large"},
		{"bad chunk", badChunk, handOn, 400, "ended by the client: asgi: receive: request body: invalid byte in chunk length"},
		{"ignored", badChunk, func(context.Context, conn, error) error { return nil }, 400, "ended by the client"},
		{"taken for the end", badChunk, func(context.Context, conn, error) error { return asgi.ErrClosed }, 400, "ended by the client"},
		{"response begun", badChunk, func(ctx context.Context, c conn, err error) error {
			return errors.Join(err, c.send(ctx, startOK), c.send(ctx, part("x")))
		}, 0, "ended by the client"},
		{"answered", badChunk, func(ctx context.Context, c conn, _ error) error { return c.respond(ctx, 418, nil, "") }, 418, ""},
		{"denied", badChunk, func(context.Context, conn, error) error { return asgi.Deny{Status: 422} }, 422, ""},
		{"failed", badChunk, func(context.Context, conn, error) error { return boom }, 500, "boom"},
		{"panic", badChunk, func(_ context.Context, _ conn, err error) error { panic(err) }, 500, "panic"},
	} {
		var heard []string
		a := app(func(ctx context.Context, c conn) error {
			for {
				event, err := c.receive(ctx)
				if err != nil {
					return tt.end(ctx, c, err)
				}
				if e, ok := event.(asgi.HTTPRequest); !ok || !e.MoreBody {
					return c.respond(ctx, 200, nil, "whole")
				}
			}
		})
		server := httptest.NewServer(http.MaxBytesHandler(asgi.Handler{App: a, OnError: func(_ *asgi.Scope, err error) {
			heard = append(heard, err.Error())
		}}, 10))
		r := raw(t, server, "POST / HTTP/1.1\r\nHost: x\r\n"+tt.request)
		if _, err := io.ReadAll(r.Body); tt.status != 0 && r.StatusCode != tt.status || (err != nil) != (tt.status == 0) {
			t.Errorf("%s: %s, %v; want %d", tt.name, r.Status, err, tt.status)
		}
		server.Close()
		if all := strings.Join(heard, "; "); (all == "") != (tt.heard == "") || !strings.Contains(all, tt.heard) || len(heard) > 1 {
			t.Errorf("%s: OnError heard %q, want %q", tt.name, heard, tt.heard)
		}
	}
}

const badChunk = "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nno number\r\n"

func handOn(_ context.Context, _ conn, err error) error { return fmt.Errorf("upload: %w", err) }

func ExampleHandler() {
	hello := asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		if scope.Path() != "/" {
			return asgi.Deny{Status: http.StatusNotFound}
		}
		if err := send(ctx, asgi.HTTPResponseStart{Status: http.StatusOK}); err != nil {
			return err
		}
		return send(ctx, asgi.HTTPResponseBody{Body: []byte("hello\n")})
	})
	server := httptest.NewServer(asgi.Handler{
		App:     hello,
		OnError: func(s *asgi.Scope, err error) { fmt.Fprintln(os.Stderr, s.Path(), err) },
	})
	defer server.Close()
	for _, path := range []string{"/", "/elsewhere"} {
		r, err := server.Client().Get(server.URL + path)
		if err != nil {
			fmt.Println(err)
			return
		}
		text, _ := io.ReadAll(r.Body)
		r.Body.Close()
		fmt.Printf("%d %q\n", r.StatusCode, text)
	}
	// Output:
	// 200 "hello\n"
	// 404 ""
}

// Of Server there is one header: the application's, or else that of a handler in front.
func TestServerHeader(t *testing.T) {
	for own, want := range map[string]string{"": "front", "mine": "mine"} {
		header := http.Header{}
		if own != "" {
			header["server"] = []string{own}
		}
		app := asgi.AppFunc(func(context.Context, *asgi.Scope, asgi.Receive, asgi.Send) error {
			return asgi.Deny{Status: 204, Header: header}
		})
		w := httptest.NewRecorder()
		w.Header().Set("Server", "front")
		asgi.Handler{App: app}.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		if got := w.Header()["Server"]; len(got) != 1 || got[0] != want {
			t.Errorf("Server is %q, want %q", got, want)
		}
	}
}

// A reader of a body that gives up with a Deny says how to answer.
func TestBodyRefusedByItsReader(t *testing.T) {
	app := asgi.AppFunc(func(ctx context.Context, _ *asgi.Scope, receive asgi.Receive, _ asgi.Send) error {
		_, err := receive(ctx)
		return err
	})
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPost, "/", iotest.ErrReader(fmt.Errorf("too slow: %w", asgi.Deny{Status: 408})))
	asgi.Handler{App: app}.ServeHTTP(w, r)
	if w.Code != 408 {
		t.Errorf("status %d, want 408", w.Code)
	}
}
