package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
)

// A promise is one of the package comment's: a check that fails if a variant does not keep it, and variants that do not.
type promise struct {
	number, text string
	check        func(t *testing.T, v variant) error
	broken       map[string]variant
}

// The errors in broken variants' names are those that the check must find.
var promises = []promise{{
	"S1", "until the application accepts no 101 is sent; no route is 404, a refusal 403, an error or an early return 500",
	checkS1, map[string]variant{
		"accepts before the application does": {app: acceptFirst},
		"answers every refusal with 200":      {handler: alwaysOK},
	},
}, {
	"S2", "everything has a limit with a safe default: header 5 s, handshake 5 s, message 1 MiB, ping 20 s and 30 s, write 10 s, app close 10 s",
	checkS2, map[string]variant{
		"no header limit":    {options: func(o *server.Options) { o.HeaderTimeout = -1 }},
		"no handshake limit": {options: func(o *server.Options) { o.HandshakeTimeout = -1 }},
		"no message limit":   {options: func(o *server.Options) { o.MaxMessage = -1 }},
		"no pings":           {options: func(o *server.Options) { o.PingInterval = -1 }},
		"long writes":        {options: func(o *server.Options) { o.WriteTimeout = time.Minute }},
		"endless farewell":   {options: func(o *server.Options) { o.AppCloseTimeout = -1 }},
	},
}, {
	"S3", "only pages of the same origin may connect, unless configured",
	checkS3, map[string]variant{
		"any origin": {options: func(o *server.Options) { o.Origins = []string{"*"} }},
	},
}, {
	"S4", "close codes and reasons pass both ways; no code is 1005, lost 1006, bad UTF-8 1007, too big 1009, protocol error 1002",
	checkS4, map[string]variant{
		"drops reasons":        {app: rewriteClose(func(e *asgi.WebSocketClose) { e.Reason = "" })},
		"one code for all":     {app: rewriteClose(func(e *asgi.WebSocketClose) { e.Code = 1000 })},
		"1005 becomes 1000":    {app: rewriteDisconnect(func(e *asgi.WebSocketDisconnect) { e.Code = max(e.Code, 1006) })},
		"takes large messages": {options: func(o *server.Options) { o.MaxMessage = -1 }},
	},
}, {
	"S5", "shutdown stops accepting, tells each application why, closes with 1001 spread over a window, delivers the disconnect, waits, then cuts",
	checkS5, map[string]variant{
		"does not wait":  {shutdown: func(s *server.Server) error { return s.Shutdown(endedContext()) }},
		"all at once":    {options: func(o *server.Options) { o.ShutdownWindow = -1 }},
		"keeps it quiet": {app: rewriteDisconnect(func(e *asgi.WebSocketDisconnect) { e.Code, e.By = 1006, asgi.ByNetwork })},
	},
}, {
	"S6", "a response, once begun, either completes or the connection is cut: never a hang",
	checkS6, map[string]variant{
		"swallows the abort": {handler: swallowAbort},
	},
}, {
	"S7", "sending after the end is asgi.ErrClosed, not a panic",
	checkS7, map[string]variant{
		"no error":    {app: wrapSend(func(err error) error { return nil })},
		"another one": {app: wrapSend(func(err error) error { return errors.New("broken pipe") })},
		"a panic":     {app: wrapSend(func(err error) error { panic("send on closed connection") })},
	},
}, {
	"S8", "only errors.ErrUnsupported or no route means no lifespan; any other error before startup is complete fails the start",
	checkS8, map[string]variant{
		"any error means none": {app: hideLifespanErrors},
		"no error means none":  {app: loudLifespan},
	},
}}

func TestPromises(t *testing.T) {
	for _, p := range promises {
		t.Run(p.number, func(t *testing.T) {
			if err := p.check(t, variant{}); err != nil {
				t.Errorf("%s is broken: %s: %v", p.number, p.text, err)
			}
		})
	}
}

// TestPromisesBite shows that each check notices a server that does not keep the promise.
func TestPromisesBite(t *testing.T) {
	for _, p := range promises {
		for name, v := range p.broken {
			t.Run(p.number+"/"+name, func(t *testing.T) {
				if err := p.check(t, v); err == nil {
					t.Errorf("the check of %s lets a server pass that breaks it: %s", p.number, p.text)
				} else {
					t.Log(err)
				}
			})
		}
	}
}

// bubble runs a check in a synctest bubble and hands its error out.
func bubble(t *testing.T, check func(t *testing.T) error) (err error) {
	synctest.Test(t, func(t *testing.T) { err = check(t) })
	return err
}

func checkS1(t *testing.T, v variant) error {
	steps := make(chan string, 1)
	app := asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		switch query, _ := url.QueryUnescape(scope.RawQuery()); query {
		case "deny":
			return asgi.Deny{}
		case "route":
			return fmt.Errorf("routing: no route for %q: %w", scope.Path(), asgi.Deny{Status: 404})
		case "error":
			return errors.New("no database")
		case "panic":
			panic("no database")
		case "return":
			return nil
		case "close":
			return send(ctx, asgi.WebSocketClose{Code: 4000})
		case "close error":
			return asgi.CloseError{Code: 4000}
		case "wrapped close error":
			return fmt.Errorf("chat: %w", asgi.CloseError{Code: 4000})
		case "bad close error":
			return asgi.CloseError{Code: 1006}
		}
		<-steps
		return send(ctx, asgi.WebSocketAccept{})
	})
	s := v.mount(t, app, server.Options{})
	for query, want := range map[string]int{
		"deny": 403, "close": 403, "close error": 403, "wrapped close error": 403,
		"route": 404, "error": 500, "panic": 500, "return": 500, "bad close error": 500,
	} {
		before := len(s.warnings())
		resp, err := s.peer().request(strings.Replace(handshake, "q=1", url.QueryEscape(query), 1) + "\r\n")
		if err != nil {
			return fmt.Errorf("%s: %w", query, err)
		}
		if resp.StatusCode != want {
			return fmt.Errorf("%s: got %s, want %d", query, resp.Status, want)
		}
		lines := s.warnings()[before:]
		if wants := want == 500 || strings.HasPrefix(query, "wrapped"); wants != (len(lines) == 1) {
			return fmt.Errorf("%s: the log says %q", query, lines)
		}
	}
	return bubble(t, func(t *testing.T) error {
		steps := make(chan struct{})
		s := v.mountPipes(t, asgi.AppFunc(func(ctx context.Context, _ *asgi.Scope, _ asgi.Receive, send asgi.Send) error {
			<-steps
			return send(ctx, asgi.WebSocketAccept{})
		}), server.Options{})
		p, answered := s.peer(), false
		done := make(chan error, 1)
		go func() {
			_, err := p.request(handshake + "\r\n")
			answered = true
			done <- err
		}()
		synctest.Wait()
		early := answered
		close(steps)
		if err := <-done; err != nil {
			return err
		}
		if early {
			return errors.New("the client had an answer before the application gave one")
		}
		return p.expectEnd(1000)
	})
}

func acceptFirst(app asgi.App) asgi.App {
	return asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		if err := send(ctx, asgi.WebSocketAccept{}); err != nil {
			return err
		}
		return app.Serve(ctx, scope, receive, send)
	})
}

// alwaysOK answers with 200 whatever status is written.
func alwaysOK(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(okWriter{w}, r) })
}

type okWriter struct{ http.ResponseWriter }

func (w okWriter) WriteHeader(int)             { w.ResponseWriter.WriteHeader(200) }
func (w okWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func checkS2(t *testing.T, v variant) error {
	for name, check := range map[string]func(*testing.T, variant) error{
		"header": headerLimit, "handshake": handshakeLimit, "message": messageLimit, "ping": pingLimit, "write": writeLimit, "app close": appCloseLimit,
	} {
		if err := bubble(t, func(t *testing.T) error { return check(t, v) }); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// takes reports an error unless work ended want after start.
func takes(start time.Time, want time.Duration) error {
	if got := time.Since(start); got != want {
		return fmt.Errorf("it took %v, want %v", got, want)
	}
	return nil
}

func headerLimit(t *testing.T, v variant) error {
	s := v.serve(t, echoing(nil), server.Options{})
	p, start := s.peer(), time.Now()
	io.WriteString(p, "GET /ws/ HTTP/1.1\r\nHost:")
	io.Copy(io.Discard, p)
	return takes(start, 5*time.Second)
}

func handshakeLimit(t *testing.T, v variant) error {
	s := v.mountPipes(t, asgi.AppFunc(func(ctx context.Context, _ *asgi.Scope, _ asgi.Receive, _ asgi.Send) error {
		select {
		case <-ctx.Done():
		case <-time.After(time.Hour):
		}
		return context.Cause(ctx)
	}), server.Options{})
	start := time.Now()
	resp, err := s.peer().request(handshake + "\r\n")
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusServiceUnavailable {
		return fmt.Errorf("got %s, want 503", resp.Status)
	}
	return errors.Join(takes(start, 5*time.Second), s.oneLine("did not answer the handshake in time"))
}

func messageLimit(t *testing.T, v variant) error {
	s := v.mountPipes(t, echoing(nil), server.Options{})
	p := s.open()
	whole := strings.Repeat("x", 1<<20)
	go p.send(fin|text, whole)
	if err := p.expect(fin|text, whole); err != nil {
		return err
	}
	go p.send(fin|text, whole+"x")
	defer p.Close()
	return p.expectEnd(1009)
}

func pingLimit(t *testing.T, v variant) error {
	ends := make(chan asgi.WebSocketDisconnect, 1)
	s := v.mountPipes(t, echoing(ends), server.Options{})
	p, start := s.open(), time.Now()
	if err := p.expect(fin|ping, ""); err != nil {
		return err
	}
	if err := takes(start, 20*time.Second); err != nil {
		return err
	}
	if code, _ := p.end(); code != 1006 {
		return fmt.Errorf("the connection ended with %d, want a cut", code)
	}
	if e := <-ends; e.Code != 1006 {
		return fmt.Errorf("the application heard %d, want 1006", e.Code)
	}
	return errors.Join(takes(start, 50*time.Second), s.oneLine("did not answer a ping"))
}

func writeLimit(t *testing.T, v variant) error {
	failed := make(chan error, 1)
	s := v.mountPipes(t, socket(func(ctx context.Context, _ *asgi.Scope, _ asgi.Receive, send asgi.Send) error {
		for {
			if err := send(context.Background(), asgi.WebSocketSend{Frame: asgi.Frame{Binary: true, Data: make([]byte, 1<<16)}}); err != nil {
				failed <- err
				return nil
			}
		}
	}), server.Options{})
	start := time.Now()
	s.open()
	if err := <-failed; !errors.Is(err, asgi.ErrClosed) {
		return fmt.Errorf("send returned %v, want ErrClosed", err)
	}
	return errors.Join(takes(start, 10*time.Second), s.oneLine("does not read"))
}

func appCloseLimit(t *testing.T, v variant) error {
	ended := make(chan error, 1)
	s := v.mountPipes(t, socket(func(ctx context.Context, _ *asgi.Scope, receive asgi.Receive, _ asgi.Send) error {
		receive(ctx)
		select {
		case <-ctx.Done():
			ended <- context.Cause(ctx)
		case <-time.After(time.Minute):
			ended <- errors.New("ctx goes on")
		}
		return nil
	}), server.Options{})
	p, start := s.open(), time.Now()
	p.send(fin|closing, closePayload(1000, ""))
	if err := p.expectEnd(1000); err != nil {
		return err
	}
	var cause asgi.DisconnectError
	if err := <-ended; !errors.As(err, &cause) || cause.By != asgi.ByClient {
		return fmt.Errorf("ctx ended with %v, want the client's close", err)
	}
	return takes(start, 10*time.Second)
}

func checkS3(t *testing.T, v variant) error {
	s := v.mount(t, echoing(nil), server.Options{Origins: []string{"https://friend.example"}})
	for _, tc := range []struct {
		lines []string
		want  int
	}{
		{nil, 101},
		{[]string{"Origin: http://example.org"}, 101},
		{[]string{"Origin: https://friend.example"}, 101},
		{[]string{"Origin: http://friend.example"}, 403},
		{[]string{"Origin: https://evil.example"}, 403},
		{[]string{"Origin: http://example.org:8080"}, 403},
		{[]string{"Origin: http://example.org.evil.example"}, 403},
		{[]string{"Origin: null"}, 403},
		{[]string{"Origin: http://example.org", "Origin: https://evil.example"}, 403},
	} {
		resp, err := s.peer().request(handshake + strings.Join(append(tc.lines, "\r\n"), "\r\n"))
		if err != nil {
			return err
		}
		if resp.StatusCode != tc.want {
			return fmt.Errorf("%q: got %s, want %d", tc.lines, resp.Status, tc.want)
		}
	}
	return nil
}

func checkS4(t *testing.T, v variant) error {
	ends := make(chan asgi.WebSocketDisconnect, 1)
	s := v.mount(t, closingWhenTold(ends), server.Options{})
	for _, tc := range []struct {
		name     string
		do       func(p *peer) error
		code     int // that the peer gets; 1006: none
		reason   string
		app      int // that the application hears
		appWords string
	}{
		{"the client's code and reason", sends(fin|closing, closePayload(4001, "bye")), 4001, "", 4001, "bye"},
		{"no code", sends(fin|closing, ""), 1005, "", 1005, ""},
		{"the application's code and reason", sends(fin|text, "close"), 4002, "tschüss", 4002, "tschüss"},
		{"lost", func(p *peer) error { return p.Close() }, 1006, "", 1006, ""},
		{"bad UTF-8", sends(fin|text, "\xff"), 1007, "", 1007, ""},
		{"too big", sends(fin|bin, strings.Repeat("x", 1<<20+1), fin|closing, ""), 1009, "", 1009, ""},
		{"protocol error", sends(fin|0x3, ""), 1002, "", 1002, ""},
	} {
		p := s.open()
		if err := tc.do(p); err != nil {
			return fmt.Errorf("%s: %w", tc.name, err)
		}
		code, reason := p.end()
		p.Close()
		if code != tc.code || tc.reason != "" && reason != tc.reason {
			return fmt.Errorf("%s: the client heard %d %q, want %d %q", tc.name, code, reason, tc.code, tc.reason)
		}
		if e := <-ends; e.Code != tc.app || tc.appWords != "" && e.Reason != tc.appWords {
			return fmt.Errorf("%s: the application heard %d %q, want %d %q", tc.name, e.Code, e.Reason, tc.app, tc.appWords)
		}
	}
	return nil
}

// sends is a step that sends frames, each given by its first byte and its payload.
func sends(frames ...any) func(*peer) error {
	var b []byte
	for i := 0; i < len(frames); i += 2 {
		b = append(b, frame(byte(frames[i].(int)), frames[i+1].(string))...)
	}
	return func(p *peer) error { _, err := p.Write(b); return err }
}

// closingWhenTold closes with 4002 "tschüss" when it gets a text "close".
func closingWhenTold(ends chan<- asgi.WebSocketDisconnect) asgi.App {
	return socket(func(ctx context.Context, _ *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		for {
			event, err := receive(ctx)
			if err != nil {
				return err
			}
			switch e := event.(type) {
			case asgi.WebSocketReceive:
				if string(e.Frame.Data) == "close" {
					send(ctx, asgi.WebSocketClose{Code: 4002, Reason: "tschüss"})
				}
			case asgi.WebSocketDisconnect:
				ends <- e
				return nil
			}
		}
	})
}

func rewriteClose(change func(*asgi.WebSocketClose)) func(asgi.App) asgi.App {
	return func(app asgi.App) asgi.App {
		return asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
			return app.Serve(ctx, scope, receive, func(ctx context.Context, event asgi.Event) error {
				if e, ok := event.(asgi.WebSocketClose); ok {
					change(&e)
					event = e
				}
				return send(ctx, event)
			})
		})
	}
}

func rewriteDisconnect(change func(*asgi.WebSocketDisconnect)) func(asgi.App) asgi.App {
	return func(app asgi.App) asgi.App {
		return asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
			return app.Serve(ctx, scope, func(ctx context.Context) (asgi.Event, error) {
				event, err := receive(ctx)
				if e, ok := event.(asgi.WebSocketDisconnect); ok {
					change(&e)
					event = e
				}
				return event, err
			}, send)
		})
	}
}
