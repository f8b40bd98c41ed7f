package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
)

// gentle accepts a WebSocket, or answers a request, when release is closed; a request gets the number of bytes of its body.
func gentle(release <-chan struct{}) asgi.App {
	return asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		if scope.Type() == asgi.Lifespan {
			return errors.ErrUnsupported
		}
		<-release
		if scope.Type() == asgi.WebSocket {
			return echoing(nil).Serve(ctx, scope, receive, send)
		}
		n := 0
		for {
			event, err := receive(ctx)
			if err != nil {
				return err
			}
			part, ok := event.(asgi.HTTPRequest)
			if n += len(part.Body); !ok || !part.MoreBody {
				return asgi.Deny{Status: 200, Body: fmt.Append(nil, n)}
			}
		}
	})
}

// Above a limit on how many there may be the answer is 503 with Retry-After, the others go on, and there is room when one leaves.
func TestLimitsOfNumber(t *testing.T) {
	for name, tc := range map[string]struct {
		options server.Options
		request string
		ready   bool // whether the application answers at once
		status  int
		count   func(st server.Stats) uint64
	}{
		"WebSockets":                {server.Options{MaxWebSockets: 2}, handshake, true, 101, func(st server.Stats) uint64 { return st.Handshakes.Limited }},
		"WebSockets and handshakes": {server.Options{MaxWebSockets: 2}, handshake, false, 101, func(st server.Stats) uint64 { return st.Handshakes.Limited }},
		"handshakes":                {server.Options{MaxHandshakes: 2}, handshake, false, 101, func(st server.Stats) uint64 { return st.Handshakes.Limited }},
		"requests":                  {server.Options{MaxRequests: 2}, get, false, 200, func(st server.Stats) uint64 { return st.HTTPRefused }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release := make(chan struct{})
				if tc.ready {
					close(release)
				}
				s := variant{}.mountPipes(t, gentle(release), tc.options)
				first, second, third := s.peer(), s.peer(), s.peer()
				statuses := make(chan int, 2)
				for _, p := range []*peer{first, second} {
					go func() {
						resp, err := p.request(tc.request + "\r\n")
						if err != nil {
							t.Error(err)
						}
						statuses <- resp.StatusCode
					}()
				}
				synctest.Wait()
				resp, err := third.request(tc.request + "\r\n")
				if err != nil || resp.StatusCode != 503 || resp.Header.Get("Retry-After") != "1" || strings.Contains(body(resp), "Options") {
					t.Fatalf("the third got %v, %v", resp, err)
				}
				if n := tc.count(s.srv.Stats()); n != 1 {
					t.Errorf("%d counted", n)
				}
				if !tc.ready {
					close(release)
				}
				for range 2 {
					if got := <-statuses; got != tc.status {
						t.Errorf("one of the first got %d", got)
					}
				}
				first.Close()
				synctest.Wait()
				if resp, err := s.peer().request(tc.request + "\r\n"); err != nil || resp.StatusCode != tc.status {
					t.Errorf("after one had left: %v, %v", resp, err)
				}
				second.Close()
			})
		})
	}
}

// A header that is too large, or has too many lines, is 431: for a request and for a handshake.
func TestLimitsOfHeaders(t *testing.T) {
	for name, tc := range map[string]struct {
		options server.Options
		header  string
		status  int
	}{
		"default":         {server.Options{}, strings.Repeat("A: b\r\n", 150), 200},
		"many lines":      {server.Options{}, strings.Repeat("A: b\r\n", 250), 431},
		"many lines, off": {server.Options{MaxHeaders: -1}, strings.Repeat("A: b\r\n", 1000), 200},
		"own limit":       {server.Options{MaxHeaders: 10}, strings.Repeat("A: b\r\n", 11), 431},
		"large":           {server.Options{}, "A: " + strings.Repeat("b", 70<<10) + "\r\n", 431},
		"large, allowed":  {server.Options{MaxHeaderBytes: 128 << 10}, "A: " + strings.Repeat("b", 70<<10) + "\r\n", 200},
	} {
		for _, request := range []string{get, handshake} {
			want := tc.status
			if request == handshake && want == 200 {
				want = 101
			}
			release := make(chan struct{})
			close(release)
			s := variant{}.serveTCP(t, gentle(release), tc.options)
			resp, err := s.peer().request(request + tc.header + "\r\n")
			if err != nil || resp.StatusCode != want {
				t.Errorf("%s: %v, %v, want %d", name, resp, err, want)
			}
		}
	}
}

// A body that is too large is 413: where its length is known at once, and without 100 Continue.
func TestMaxBody(t *testing.T) {
	release := make(chan struct{})
	close(release)
	for name, tc := range map[string]struct {
		options server.Options
		request string
		want    string // beginning of the answer
	}{
		"under":          {server.Options{MaxBody: 10}, post + "Content-Length: 10\r\n\r\n0123456789", "HTTP/1.1 200 OK"},
		"expected":       {server.Options{MaxBody: 10}, post + "Expect: 100-continue\r\nContent-Length: 10\r\n\r\n0123456789", "HTTP/1.1 100 Continue"},
		"over":           {server.Options{MaxBody: 10}, post + "Content-Length: 11\r\n\r\n0123456789a", "HTTP/1.1 413"},
		"over, expected": {server.Options{MaxBody: 10}, post + "Expect: 100-continue\r\nContent-Length: 11\r\n\r\n", "HTTP/1.1 413"},
		"chunks":         {server.Options{MaxBody: 10}, post + "Transfer-Encoding: chunked\r\n\r\nb\r\n0123456789a\r\n0\r\n\r\n", "HTTP/1.1 413"},
		"no limit":       {server.Options{}, post + "Content-Length: 100000\r\n\r\n" + strings.Repeat("x", 100000), "HTTP/1.1 200 OK"},
	} {
		s := variant{}.serveTCP(t, gentle(release), tc.options)
		p := s.peer()
		go io.WriteString(p, tc.request)
		got := make([]byte, len(tc.want))
		if _, err := io.ReadFull(p.br, got); string(got) != tc.want {
			t.Errorf("%s: got %q, %v, want %q", name, got, err, tc.want)
		}
	}
}

// A body whose length is too large is refused before it comes, and the client is told that the connection ends with that: what follows
// on it may be the body, or never come.
func TestMaxBodyIsRefusedAtOnce(t *testing.T) {
	for name, begin := range map[string]func(testing.TB, asgi.App, server.Options) *site{"serve": variant{}.serve, "mounted": variant{}.mountPipes} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := begin(t, pages, server.Options{MaxBody: 10})
				p, start := s.peer(), time.Now()
				resp, err := p.request(post + "Content-Length: 11\r\n\r\n")
				if err != nil || resp.StatusCode != 413 || !resp.Close {
					t.Fatalf("got %v, %v, want 413 and the header Connection: close", resp, err)
				}
				if err := takes(start, 0); err != nil {
					t.Error("the answer waits for the body: ", err)
				}
			})
		})
	}
}

// A body that drips is 408 when a piece has taken its time, with one line; a slow application is not the client's fault, and a client
// that sends 64 KiB in each time may go on for ever.
func TestBodyTimeout(t *testing.T) {
	for name, tc := range map[string]struct {
		options server.Options
		think   time.Duration
		every   time.Duration // 1 KiB each time
		kib     int
		status  int
		takes   time.Duration
	}{
		"one byte now and then": {server.Options{}, 0, 10 * time.Second, 64, 408, 30 * time.Second},
		"fast enough":           {server.Options{}, 0, 400 * time.Millisecond, 640, 200, 256 * time.Second},
		"own limit":             {server.Options{BodyTimeout: 5 * time.Second}, 0, 400 * time.Millisecond, 640, 408, 5 * time.Second},
		"off":                   {server.Options{BodyTimeout: -1}, 0, time.Minute, 5, 200, 5 * time.Minute},
		"slow application":      {server.Options{}, 40 * time.Second, time.Millisecond, 8, 200, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := variant{}.serve(t, asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
					if scope.Type() != asgi.HTTP {
						return errors.ErrUnsupported
					}
					for {
						event, err := receive(ctx)
						if err != nil {
							return err
						}
						if part, ok := event.(asgi.HTTPRequest); !ok || !part.MoreBody {
							return asgi.Deny{Status: 200}
						}
						<-time.After(tc.think)
					}
				}), tc.options)
				p, start := s.peer(), time.Now()
				stop := make(chan struct{})
				defer p.Close()
				defer close(stop)
				go func() {
					fmt.Fprintf(p, "%sContent-Length: %d\r\n\r\n", post, tc.kib<<10)
					for range tc.kib {
						select {
						case <-time.After(tc.every):
						case <-stop:
							return
						}
						if _, err := io.WriteString(p, strings.Repeat("x", 1<<10)); err != nil {
							return
						}
					}
				}()
				resp, err := http.ReadResponse(p.br, nil)
				if err != nil || resp.StatusCode != tc.status {
					t.Fatalf("got %v, %v", resp, err)
				}
				if took := time.Since(start); tc.takes > 0 && took != tc.takes {
					t.Errorf("it took %v, want %v", took, tc.takes)
				}
				if tc.status == 408 {
					if err := s.oneLine("comes too slowly: 64 KiB took longer than"); err != nil {
						t.Error(err)
					}
				}
			})
		})
	}
}

// A client that has its answer, and goes on owing the body that nobody has read, is not waited for. One that has sent all of it
// can go on with another request.
func TestBodyThatNobodyReads(t *testing.T) {
	for name, tc := range map[string]struct {
		request string
		kept    bool
	}{
		"never sent":        {post + "Content-Length: 10\r\n\r\n", false},
		"never asked for":   {post + "Expect: 100-continue\r\nContent-Length: 10\r\n\r\n", false},
		"chunks never sent": {post + "Transfer-Encoding: chunked\r\n\r\n", false},
		"sent":              {post + "Content-Length: 10\r\n\r\n0123456789", true},
		"no body":           {post + "Content-Length: 0\r\n\r\n", true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := variant{}.serve(t, pages, server.Options{IdleTimeout: time.Hour})
				p := s.peer()
				p.SetDeadline(time.Now().Add(2 * time.Hour))
				resp, err := p.request(tc.request)
				if err != nil || resp.StatusCode != 204 {
					t.Fatal(resp, err)
				}
				start := time.Now()
				if !tc.kept {
					p.br.ReadByte()
					if took := time.Since(start); took > 6*time.Second {
						t.Errorf("the connection was kept for %v", took)
					}
					return
				}
				<-time.After(10 * time.Minute)
				if resp, err := p.request(tc.request); err != nil || resp.StatusCode != 204 {
					t.Errorf("the second request: %v, %v", resp, err)
				}
				p.Close()
			})
		})
	}
}

// A connection that is kept open without a request is closed after IdleTimeout.
func TestIdleTimeout(t *testing.T) {
	for option, want := range map[time.Duration]time.Duration{0: 2 * time.Minute, time.Second: time.Second} {
		synctest.Test(t, func(t *testing.T) {
			s := variant{}.serve(t, pages, server.Options{IdleTimeout: option})
			p := s.peer()
			if _, err := p.request(get + "\r\n"); err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			if _, err := p.br.ReadByte(); err != io.EOF {
				t.Error(err)
			}
			if err := takes(start, want); err != nil {
				t.Error(err)
			}
		})
	}
}

// Case 176: a header whose name has an underscore is not there, for HTTP and for WebSockets.
func TestUnderscores(t *testing.T) {
	for _, request := range []string{get, handshake} {
		seen := make(chan http.Header, 1)
		s := variant{}.serveTCP(t, asgi.AppFunc(func(_ context.Context, scope *asgi.Scope, _ asgi.Receive, _ asgi.Send) error {
			if scope.Type() == asgi.Lifespan {
				return errors.ErrUnsupported
			}
			seen <- scope.Header()
			return asgi.Deny{}
		}), server.Options{})
		if _, err := s.peer().request(request + "X_Forwarded_For: 1\r\nx_user: 2\r\nX-Real: 3\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		header := <-seen
		for name := range header {
			if strings.Contains(name, "_") {
				t.Errorf("case 176: the application sees %s", name)
			}
		}
		if header.Get("X-Real") != "3" {
			t.Error("case 176: another header has gone too")
		}
	}
}

// The request is its sender's: net/http middleware around the server finds in it what came, also the headers that no application sees.
func TestUnderscoresStayInTheRequest(t *testing.T) {
	for _, request := range []string{get, handshake} {
		left := make(chan http.Header, 1)
		v := variant{handler: func(h http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				h.ServeHTTP(w, r)
				left <- r.Header
			})
		}}
		if _, err := v.mount(t, pages, server.Options{}).peer().request(request + "X_User: 2\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if header := <-left; header.Get("X_User") != "2" {
			t.Errorf("the server has changed the header of the request to %v", header)
		}
	}
}

// Cases 179 and 186: there is no header Server unless it is asked for, and the application's own wins.
func TestServerHeader(t *testing.T) {
	for option, want := range map[string]map[string]string{
		"":     {"": "", "own": "own"},
		"tide": {"": "tide", "own": "own"},
	} {
		for own, want := range want {
			for _, request := range []string{get, handshake} {
				header := http.Header{}
				if own != "" {
					header["Server"] = []string{own}
				}
				s := variant{}.serveTCP(t, asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, _ asgi.Receive, send asgi.Send) error {
					switch scope.Type() {
					case asgi.WebSocket:
						return send(ctx, asgi.WebSocketAccept{Header: header})
					case asgi.HTTP:
						return asgi.Deny{Status: 204, Header: header}
					}
					return errors.ErrUnsupported
				}), server.Options{ServerHeader: option})
				resp, err := s.peer().request(request + "\r\n")
				if err != nil {
					t.Fatal(err)
				}
				if got := strings.Join(resp.Header["Server"], ","); got != want {
					t.Errorf("option %q, own %q: Server is %q, want %q", option, own, got, want)
				}
			}
		}
	}
}

// awayError is a broker's that cannot be reached.
type awayError struct{}

func (awayError) Error() string   { return "broker is away" }
func (awayError) StatusCode() int { return 503 }

// An error that says a status refuses with it: one warning, and no failure of the application.
func TestErrorsWithStatus(t *testing.T) {
	for _, request := range []string{get, handshake} {
		s := variant{}.serveTCP(t, asgi.AppFunc(func(_ context.Context, scope *asgi.Scope, _ asgi.Receive, _ asgi.Send) error {
			if scope.Type() == asgi.Lifespan {
				return errors.ErrUnsupported
			}
			return fmt.Errorf("chat: join: %w", awayError{})
		}), server.Options{})
		resp, err := s.peer().request(request + "\r\n")
		if err != nil || resp.StatusCode != 503 || strings.Contains(body(resp), "broker") {
			t.Errorf("got %v, %v, want 503", resp, err)
		}
		s.stop()
		if lines := s.warnings(); len(lines) != 1 || !strings.HasSuffix(lines[0], "refused because of an error") {
			t.Errorf("lines %q", lines)
		}
	}
}

// Wrap is net/http middleware: it sees every request, and its values reach the scope.
func TestWrap(t *testing.T) {
	type key struct{}
	s := variant{}.serveTCP(t, asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, _ asgi.Receive, send asgi.Send) error {
		if scope.Type() == asgi.Lifespan {
			return errors.ErrUnsupported
		}
		value, _ := scope.Value(key{}).(string)
		if scope.Type() == asgi.HTTP {
			return asgi.Deny{Status: 200, Body: []byte(value)}
		}
		return errors.Join(send(ctx, asgi.WebSocketAccept{}), send(ctx, asgi.WebSocketSend{Frame: asgi.TextFrame(value)}))
	}), server.Options{Wrap: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), key{}, "wrapped")))
		})
	}})
	if resp, err := s.peer().request(get + "\r\n"); err != nil || body(resp) != "wrapped" {
		t.Errorf("HTTP: %v, %v", resp, err)
	}
	if err := s.open().expect(fin|text, "wrapped"); err != nil {
		t.Errorf("WebSocket: %v", err)
	}
}
