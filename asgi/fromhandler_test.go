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
	"time"

	"github.com/tideway-go/tideway/asgi"
)

// adapted serves h through both adapters.
func adapted(t *testing.T, h http.HandlerFunc) (url string, client *http.Client) {
	t.Helper()
	return serve(t, asgi.Handler{
		App:     asgi.FromHandler(h),
		OnError: func(_ *asgi.Scope, err error) { t.Errorf("OnError: %v", err) },
	})
}

// Both adapters in a row behave as the handler alone does.
func TestFromHandlerBehavesAsTheHandlerAlone(t *testing.T) {
	handlers := []struct {
		name    string
		method  string
		body    string
		chunked bool
		h       http.HandlerFunc
	}{
		{"nothing", "GET", "", false, func(http.ResponseWriter, *http.Request) {}},
		{"short text", "GET", "", false, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "hello") }},
		{"sniffed markup", "GET", "", false, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "<html><p>x") }},
		{"no sniffing", "GET", "", false, func(w http.ResponseWriter, r *http.Request) {
			w.Header()["Content-Type"] = nil
			fmt.Fprint(w, "<html>")
		}},
		{"several values", "GET", "", false, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Add("Set-Cookie", "a=1")
			w.Header().Add("Set-Cookie", "b=2")
			w.WriteHeader(http.StatusTeapot)
		}},
		{"not found", "GET", "", false, http.NotFound},
		{"long body", "GET", "", false, func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, strings.Repeat("x", 100_000))
		}},
		{"own length", "GET", "", false, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "5")
			fmt.Fprint(w, "he")
			fmt.Fprint(w, "llo")
		}},
		{"no content", "GET", "", false, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(204) }},
		{"head", "HEAD", "", false, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "hello") }},
		{"echo", "POST", "hello", false, func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintln(w, r.ContentLength, r.Method, r.URL, r.RequestURI, r.Proto)
			_, _ = io.Copy(w, r.Body)
		}},
		{"echo of unknown length", "POST", "hello", true, func(w http.ResponseWriter, r *http.Request) {
			b, err := io.ReadAll(r.Body)
			fmt.Fprintln(w, string(b), err)
		}},
		{"flushed parts", "GET", "", false, func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, "a")
			w.(http.Flusher).Flush()
			fmt.Fprint(w, "b")
		}},
		{"two statuses", "GET", "", false, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusCreated)
			w.WriteHeader(http.StatusTeapot)
		}},
	}
	for _, tt := range handlers {
		t.Run(tt.name, func(t *testing.T) {
			var text []string
			for _, h := range []http.Handler{tt.h, asgi.Handler{App: asgi.FromHandler(tt.h)}} {
				url, client := serve(t, h)
				var in io.Reader = strings.NewReader(tt.body)
				if tt.chunked {
					in = io.MultiReader(in) // hides the length
				}
				r, err := http.NewRequest(tt.method, url+"/a%2Fb?q=1", in)
				if err != nil {
					t.Fatal(err)
				}
				response, err := client.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				response.Header.Del("Date")
				text = append(text, fmt.Sprintf("%s %v length %d %v\n%s",
					response.Status, response.Header, response.ContentLength, response.TransferEncoding, body(t, response)))
			}
			if text[0] != text[1] {
				t.Errorf("alone:\n%s\nadapted:\n%s", text[0], text[1])
			}
		})
	}
}

// A handler that writes more than it has declared: the client gets what was declared.
func TestFromHandlerClamps(t *testing.T) {
	for _, tt := range []struct {
		name   string
		method string
		length string
		writes []string
		want   string
	}{
		{"case 187: one write", "GET", "5", []string{"hello world"}, "hello"},
		{"case 187: several", "GET", "5", []string{"he", "llo", "more"}, "hello"},
		{"case 187: nothing", "GET", "0", []string{"x"}, ""},
		{"head", "HEAD", "5", []string{"hello world"}, ""},
		{"as much", "GET", "5", []string{"hello"}, "hello"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var last error
			url, client := serve(t, asgi.Handler{
				OnError: func(*asgi.Scope, error) {}, // it is told all the same: TestFromHandlerMistakes
				App: asgi.FromHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Length", tt.length)
					for _, s := range tt.writes {
						_, last = io.WriteString(w, s)
					}
				})),
			})
			request, err := http.NewRequest(tt.method, url, nil)
			if err != nil {
				t.Fatal(err)
			}
			r, err := client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			if got := body(t, r); got != tt.want || r.Header.Get("Content-Length") != tt.length {
				t.Errorf("the client got %q of %s bytes, want %q", got, r.Header.Get("Content-Length"), tt.want)
			}
			if tooMuch := tt.name != "as much"; errors.Is(last, http.ErrContentLength) != tooMuch {
				t.Errorf("the last write returned %v", last)
			}
		})
	}
}

// Case 187: headers that a client repeats stay apart, in their order, and are joined by nobody. How many there may be is the
// server's business.
func TestFromHandlerRepeatedHeaders(t *testing.T) {
	url, client := adapted(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "%q", r.Header["X-Tag"]) })
	request, err := http.NewRequest("GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header["X-Tag"] = []string{"a,b", "c", "a,b"}
	r, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := body(t, r), `["a,b" "c" "a,b"]`; got != want {
		t.Errorf("case 187: the handler saw %s, want %s", got, want)
	}
}

func TestFromHandlerStreamsBothWays(t *testing.T) {
	url, client := adapted(t, func(w http.ResponseWriter, r *http.Request) {
		lines := bufio.NewScanner(r.Body)
		for lines.Scan() {
			fmt.Fprintln(w, strings.ToUpper(lines.Text()))
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Error(err)
			}
		}
	})
	in, out := io.Pipe()
	request, err := http.NewRequest("POST", url, in)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.WriteString(out, "one\n") }() // ends with the first read
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	for _, want := range []string{"ONE", "TWO", "THREE"} {
		if !lines.Scan() || lines.Text() != want {
			t.Fatalf("got %q, %v; want %q", lines.Text(), lines.Err(), want)
		}
		switch want {
		case "ONE":
			_, _ = io.WriteString(out, "two\n")
		case "TWO":
			_, _ = io.WriteString(out, "three\n")
			out.Close()
		}
	}
	if lines.Scan() {
		t.Errorf("got another line: %q", lines.Text())
	}
}

func TestFromHandlerTrailers(t *testing.T) {
	h := func(flush bool) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Trailer", "X-Sum")
			fmt.Fprint(w, "body")
			if flush {
				w.(http.Flusher).Flush()
			}
			w.Header().Set("X-Sum", "42")
			w.Header().Set(http.TrailerPrefix+"X-Late", "yes")
		}
	}
	for _, flush := range []bool{false, true} {
		for _, te := range []string{"trailers", ""} {
			url, client := adapted(t, h(flush))
			request, err := http.NewRequest("GET", url, nil)
			if err != nil {
				t.Fatal(err)
			}
			if te != "" {
				request.Header.Set("Te", te)
			}
			response, err := client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			if got := body(t, response); got != "body" {
				t.Errorf("body is %q", got)
			}
			sum, late := response.Trailer.Get("X-Sum"), response.Trailer.Get("X-Late")
			if te != "" && (sum != "42" || late != "yes") {
				t.Errorf("flush %v: trailers are %v", flush, response.Trailer)
			}
			if te == "" && (sum != "" || late != "") {
				t.Errorf("flush %v: client did not ask, trailers are %v", flush, response.Trailer)
			}
			if response.Header.Get("X-Sum") != "" || response.Header.Get("X-Late") != "" {
				t.Errorf("trailers are among the headers: %v", response.Header)
			}
		}
	}
}

func TestFromHandlerResponseController(t *testing.T) {
	url, client := adapted(t, func(w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(w)
		for name, err := range map[string]error{
			"SetReadDeadline":  c.SetReadDeadline(time.Now()),
			"SetWriteDeadline": c.SetWriteDeadline(time.Now()),
			"EnableFullDuplex": c.EnableFullDuplex(),
		} {
			if !errors.Is(err, errors.ErrUnsupported) {
				t.Errorf("%s: %v, want ErrUnsupported", name, err)
			}
		}
		if _, _, err := c.Hijack(); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("Hijack: %v, want ErrUnsupported", err)
		}
	})
	r, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	body(t, r)
}

func TestFromHandlerRequest(t *testing.T) {
	type key struct{}
	user := asgi.NewKey[string]("user")
	h := asgi.FromHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scope, ok := asgi.ScopeOf(r.Context())
		if !ok {
			t.Error("ScopeOf finds no scope")
			return
		}
		name, _ := user.Get(scope)
		fmt.Fprintln(w, r.URL.Path, r.URL.EscapedPath(), r.URL.RawQuery, r.RequestURI, r.Host, r.RemoteAddr,
			r.TLS != nil, r.Context().Value(key{}), name, r.Header.Get("A"))
		r.Header.Set("A", "changed")
	}))
	scope := asgi.NewScope(asgi.Fields{
		Type: asgi.HTTP, Method: "GET", Scheme: "https", HTTPVersion: "2", Host: "example.org",
		Path: "/live/a/b", RawPath: "/live/a%2Fb", RawQuery: "q=%20", RootPath: "/live",
		Header: http.Header{"A": {"1"}}, Client: "192.0.2.1:1", Context: context.WithValue(t.Context(), key{}, "outer"),
	})
	scope = user.With(scope, "ann")
	var got bytes.Buffer
	err := h.Serve(t.Context(), scope,
		func(context.Context) (asgi.Event, error) { return asgi.HTTPRequest{}, nil },
		func(_ context.Context, e asgi.Event) error {
			if part, ok := e.(asgi.HTTPResponseBody); ok {
				got.Write(part.Body)
			}
			return nil
		})
	if err != nil {
		t.Fatal(err)
	}
	want := "/a/b /a%2Fb q=%20 /live/a%2Fb?q=%20 example.org 192.0.2.1:1 true outer ann 1\n"
	if got.String() != want {
		t.Errorf("got  %swant %s", got.String(), want)
	}
	if scope.Header().Get("A") != "1" {
		t.Error("the handler's change of a header reached the scope")
	}
	if _, ok := asgi.ScopeOf(t.Context()); ok {
		t.Error("ScopeOf finds a scope in a context without one")
	}
}

func TestFromHandlerIsForHTTPOnly(t *testing.T) {
	h := asgi.FromHandler(http.NotFoundHandler())
	for _, typ := range []string{asgi.WebSocket, asgi.Lifespan, asgi.Channel} {
		err := h.Serve(t.Context(), asgi.NewScope(asgi.Fields{Type: typ}), nil, nil)
		if !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), typ) {
			t.Errorf("%s: %v, want ErrUnsupported that names the type", typ, err)
		}
	}
}

func TestFromHandlerCuts(t *testing.T) {
	for _, begun := range []bool{false, true} {
		url, client := adapted(t, func(w http.ResponseWriter, r *http.Request) {
			if begun {
				fmt.Fprint(w, "half of ")
				w.(http.Flusher).Flush()
			}
			panic(http.ErrAbortHandler)
		})
		r, err := client.Get(url)
		if !begun {
			if err == nil {
				t.Errorf("got %s, want a cut", r.Status)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(r.Body); string(b) != "half of " || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("got %q, %v; want the half and a cut", b, err)
		}
		r.Body.Close()
	}
}

// What a handler leaves behind reads nothing more and writes nothing more.
func TestFromHandlerLeftBehind(t *testing.T) {
	type left struct {
		w http.ResponseWriter
		r *http.Request
	}
	kept := make(chan left, 1)
	served := make(chan struct{})
	h := asgi.Handler{App: asgi.FromHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { kept <- left{w, r} }))}
	url, client := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r)
		close(served)
	}))
	// Of a body of unknown length the first part has been received already.
	r, err := client.Post(url, "text/plain", io.MultiReader(strings.NewReader("body")))
	if err != nil {
		t.Fatal(err)
	}
	body(t, r)
	<-served // the client had its response before
	l := <-kept
	if n, err := l.r.Body.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("Read after the handler: %d, %v", n, err)
	}
	_, _ = l.w.Write([]byte("late"))
	if err := http.NewResponseController(l.w).Flush(); !errors.Is(err, asgi.ErrClosed) {
		t.Errorf("Flush after the handler: %v, want ErrClosed", err)
	}
}

func ExampleFromHandler() {
	hello := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "hello "+r.URL.Path) })
	server := httptest.NewServer(asgi.Handler{App: asgi.FromHandler(hello)}) // and back again
	defer server.Close()
	r, err := server.Client().Get(server.URL + "/world")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer r.Body.Close()
	text, _ := io.ReadAll(r.Body)
	fmt.Println(r.StatusCode, string(text))
	// Output: 200 hello /world
}
