package asgi_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"

	"github.com/tideway-go/tideway/asgi"
)

// events are what a handler sends for a request.
func events(t *testing.T, fields asgi.Fields, receive asgi.Receive, h http.HandlerFunc) (sent []asgi.Event, err error) {
	t.Helper()
	fields.Type = asgi.HTTP
	if receive == nil {
		receive = func(context.Context) (asgi.Event, error) { return asgi.HTTPRequest{}, nil }
	}
	err = asgi.FromHandler(h).Serve(t.Context(), asgi.NewScope(fields), receive, func(_ context.Context, e asgi.Event) error {
		sent = append(sent, e)
		return nil
	})
	return sent, err
}

// What a handler writes is held until it is much, flushed or the end, and is not the handler's any more when it is sent.
func TestFromHandlerHoldsWhatIsWritten(t *testing.T) {
	p := []byte(strings.Repeat("a", 4000))
	sent, err := events(t, asgi.Fields{Method: "GET"}, nil, func(w http.ResponseWriter, r *http.Request) {
		for _, c := range "abc" {
			for i := range p {
				p[i] = byte(c)
			}
			if n, err := w.Write(p); n != len(p) || err != nil {
				t.Errorf("Write: %d, %v", n, err)
			}
		}
		if n, err := w.Write(nil); n != 0 || err != nil {
			t.Errorf("Write of nothing: %d, %v", n, err)
		}
		clear(p)
	})
	if err != nil || len(sent) != 3 {
		t.Fatalf("sent %v, %v", sent, err)
	}
	first, second := sent[1].(asgi.HTTPResponseBody), sent[2].(asgi.HTTPResponseBody)
	if want := strings.Repeat("a", 4000) + strings.Repeat("b", 4000); string(first.Body) != want || !first.MoreBody {
		t.Errorf("first part has %d bytes, more %v", len(first.Body), first.MoreBody)
	}
	if string(second.Body) != strings.Repeat("c", 4000) || second.MoreBody {
		t.Errorf("second part has %d bytes, more %v", len(second.Body), second.MoreBody)
	}
}

func TestFromHandlerEarlyHints(t *testing.T) {
	var hints []string
	url, client := adapted(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusEarlyHints) // no links, no hint
		w.Header().Set("Link", "</a.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusProcessing) // not ours to send
		fmt.Fprint(w, "page")
	})
	trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
		hints = append(hints, fmt.Sprint(code, header))
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
	if want := "103 map[Link:[</a.css>; rel=preload]]"; len(hints) != 1 || hints[0] != want {
		t.Errorf("hints are %q, want %q", hints, want)
	}
	if got := body(t, r); got != "page" || r.StatusCode != 200 {
		t.Errorf("got %s, %q", r.Status, got)
	}
}

func TestFromHandlerMistakes(t *testing.T) {
	tests := []struct {
		name   string
		h      http.HandlerFunc
		heard  string
		status int
	}{
		{"another protocol", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(101) }, "status 101", 500},
		{"no status", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(42) }, "status 42: it must be 100 to 999", 500},
		{"bad header", func(w http.ResponseWriter, r *http.Request) { w.Header().Set("A", "\n") }, "control character", 500},
		{"panic", func(w http.ResponseWriter, r *http.Request) { panic("boom") }, "panic: boom", 500},
		{"more than promised", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "1")
			fmt.Fprint(w, "hello")
		}, "more than the 1 bytes that its Content-Length declares", 200}, // what was declared
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := outcomeOf(t, asgi.FromHandler(tt.h))
			if len(o.failures) != 1 || !strings.Contains(o.failures[0].Error(), tt.heard) {
				t.Errorf("OnError heard %v, want %q", o.failures, tt.heard)
			}
			if o.cut || o.response.StatusCode != tt.status {
				t.Errorf("client sees %+v, cut %v; want %d", o.response, o.cut, tt.status)
			}
		})
	}
}

func TestFromHandlerBodyNotAllowed(t *testing.T) {
	sent, err := events(t, asgi.Fields{Method: "GET"}, nil, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(204)
		if _, err := io.WriteString(w, "x"); err != http.ErrBodyNotAllowed {
			t.Errorf("Write is %v, want ErrBodyNotAllowed", err)
		}
	})
	if err != nil || len(sent) != 2 || len(sent[1].(asgi.HTTPResponseBody).Body) != 0 {
		t.Errorf("sent %v, %v", sent, err)
	}
}

// After a Send has failed, Write and Flush say so and the handler's end is the failure.
func TestFromHandlerSendFails(t *testing.T) {
	h := asgi.FromHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		long := strings.Repeat("x", 10_000)
		for range 2 {
			if _, err := io.WriteString(w, long); err != asgi.ErrClosed {
				t.Errorf("Write is %v, want ErrClosed", err)
			}
		}
		if err := http.NewResponseController(w).Flush(); err != asgi.ErrClosed {
			t.Errorf("Flush is %v, want ErrClosed", err)
		}
	}))
	err := h.Serve(t.Context(), asgi.NewScope(asgi.Fields{Type: asgi.HTTP}),
		func(context.Context) (asgi.Event, error) { return asgi.HTTPRequest{}, nil },
		func(context.Context, asgi.Event) error { return asgi.ErrClosed })
	if err != asgi.ErrClosed {
		t.Errorf("Serve is %v, want ErrClosed", err)
	}
}

func TestFromHandlerBody(t *testing.T) {
	broken := errors.New("broken")
	parts := func(list ...any) asgi.Receive {
		return func(context.Context) (asgi.Event, error) {
			next := list[0]
			list = list[1:]
			if err, ok := next.(error); ok {
				return nil, err
			}
			return next.(asgi.Event), nil
		}
	}
	more := func(s string) asgi.Event { return asgi.HTTPRequest{Body: []byte(s), MoreBody: true} }
	end := func(s string) asgi.Event { return asgi.HTTPRequest{Body: []byte(s)} }
	tests := []struct {
		name    string
		header  http.Header
		receive asgi.Receive
		length  int64
		body    string
		err     error
	}{
		{"none", nil, parts(end("")), 0, "", nil},
		{"declared as none", http.Header{"Content-Length": {"0"}}, parts(), 0, "", nil},
		{"one part", nil, parts(end("hello")), 5, "hello", nil},
		{"parts", nil, parts(more("he"), more(""), end("llo")), -1, "hello", nil},
		{"declared", http.Header{"Content-Length": {"5"}}, parts(more("hello"), end("")), 5, "hello", nil},
		{"unknown events", nil, parts(more("a"), asgi.WebSocketConnect{}, end("b")), -1, "ab", nil},
		{"client leaves", nil, parts(more("he"), asgi.HTTPDisconnect{}), -1, "he", io.ErrUnexpectedEOF},
		{"broken", nil, parts(more("he"), broken), -1, "he", broken},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			reached := false
			_, err := events(t, asgi.Fields{Method: "POST", Header: tt.header}, tt.receive, func(w http.ResponseWriter, r *http.Request) {
				reached = true
				if n, err := r.Body.Read(nil); n != 0 || err != nil && err != io.EOF {
					t.Errorf("Read of nothing: %d, %v", n, err)
				}
				b, err := io.ReadAll(r.Body)
				if r.ContentLength != tt.length || string(b) != tt.body || !errors.Is(err, tt.err) {
					t.Errorf("length %d, body %q, %v; want %d, %q, %v", r.ContentLength, b, err, tt.length, tt.body, tt.err)
				}
				_ = r.Body.Close()
				if n, err := r.Body.Read(make([]byte, 1)); n != 0 || err == nil {
					t.Errorf("Read after Close: %d, %v", n, err)
				}
			})
			if err != nil || !reached {
				t.Errorf("reached %v, %v", reached, err)
			}
		})
	}
	for name, fields := range map[string]asgi.Fields{"bad length": {Header: http.Header{"Content-Length": {"x"}}}, "broken": {}} {
		_, err := events(t, fields, parts(broken), func(http.ResponseWriter, *http.Request) { t.Errorf("%s: handler is reached", name) })
		var deny asgi.Deny
		if name == "broken" && err != broken || name == "bad length" && (!errors.As(err, &deny) || deny.Status != 400) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The handler sees what lies below the root path, however that is encoded.
func TestFromHandlerURL(t *testing.T) {
	for _, tt := range []struct{ root, path, raw, want string }{
		{"", "/a b", "/a%20b", "/a%20b"},
		{"/r", "/r/a/b", "/r/a%2Fb", "/a%2Fb"},
		{"/r", "/r", "/r", ""},
		{"/rö", "/rö/a/b", "/r%C3%B6/a%2Fb", "/a%2Fb"},
		{"/r", "/r/a b", "/%72/a%20b", "/a%20b"},
		{"/r", "/rest", "/rest", "/rest"},
		{"/r", "/elsewhere", "/elsewhere", "/elsewhere"},
		{"", "/changed", "/old", "/changed"},
	} {
		_, err := events(t, asgi.Fields{Method: "GET", Path: tt.path, RawPath: tt.raw, RootPath: tt.root}, nil,
			func(w http.ResponseWriter, r *http.Request) {
				if got := r.URL.EscapedPath(); got != tt.want {
					t.Errorf("%s below %s is %q, want %q", tt.raw, tt.root, got, tt.want)
				}
			})
		if err != nil {
			t.Error(err)
		}
	}
}
