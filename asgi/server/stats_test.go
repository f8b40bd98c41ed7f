package server_test

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
)

// Each handshake is counted once, under what became of it.
func TestStatsHandshakes(t *testing.T) {
	refusing := func(err error) asgi.App {
		return asgi.AppFunc(func(context.Context, *asgi.Scope, asgi.Receive, asgi.Send) error { return err })
	}
	sending := func(events ...asgi.Event) asgi.App {
		return asgi.AppFunc(func(ctx context.Context, _ *asgi.Scope, _ asgi.Receive, send asgi.Send) error {
			for _, e := range events {
				if err := send(ctx, e); err != nil {
					return err
				}
			}
			return nil
		})
	}
	silent := asgi.AppFunc(func(ctx context.Context, _ *asgi.Scope, _ asgi.Receive, _ asgi.Send) error {
		<-ctx.Done()
		return context.Cause(ctx)
	})
	for _, tc := range []struct {
		want    string
		app     asgi.App
		request string
		leave   bool
	}{
		{"accepted", echoing(nil), handshake, false},
		{"denied", refusing(asgi.Deny{}), handshake, false},
		{"denied", sending(asgi.WebSocketClose{}), handshake, false},
		{"denied", sending(asgi.WebSocketHTTPResponseStart{Status: 429}, asgi.WebSocketHTTPResponseBody{}), handshake, false},
		{"unavailable", refusing(asgi.Deny{Status: 503}), handshake, false},
		{"unavailable", sending(asgi.WebSocketHTTPResponseStart{Status: 503}, asgi.WebSocketHTTPResponseBody{}), handshake, false},
		{"failed", refusing(errors.New("no database")), handshake, false},
		{"failed", refusing(nil), handshake, false},
		{"timed_out", silent, handshake, false},
		{"origin", echoing(nil), handshake + "Origin: https://evil.example\r\n", false},
		{"malformed", echoing(nil), strings.Replace(handshake, "Version: 13", "Version: 12", 1), false},
		{"malformed", echoing(nil), strings.Replace(handshake, "GET", "POST", 1), false},
		{"abandoned", silent, handshake, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := variant{}.mountPipes(t, tc.app, server.Options{})
			p := s.peer()
			if tc.leave {
				p.Write([]byte(tc.request + "\r\n"))
				synctest.Wait()
				p.Close()
			} else if _, err := p.request(tc.request + "\r\n"); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			got := maps.Collect(s.srv.Stats().Handshakes.All())
			for result, n := range got {
				if want := uint64(len(result) - len(strings.TrimPrefix(result, tc.want))); (n > 0) != (want > 0) || n > 1 {
					t.Errorf("%s: %s is %d: %v", tc.want, result, n, got)
				}
			}
			p.Close()
		})
	}
}

// Each field has a label of its own.
func TestHandshakesAll(t *testing.T) {
	h := server.Handshakes{Accepted: 1, Denied: 2, Unavailable: 3, Failed: 4, TimedOut: 5, Origin: 6, Malformed: 7, Limited: 8, Draining: 9, Abandoned: 10}
	want := map[string]uint64{"accepted": 1, "denied": 2, "unavailable": 3, "failed": 4, "timed_out": 5, "origin": 6, "malformed": 7, "limited": 8,
		"draining": 9, "abandoned": 10}
	if got := maps.Collect(h.All()); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for range h.All() {
		break // is obeyed
	}
}

// What came during a shutdown, and what had no answer when it began, is counted as such.
func TestStatsDraining(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := variant{}.mountPipes(t, asgi.AppFunc(func(ctx context.Context, _ *asgi.Scope, _ asgi.Receive, _ asgi.Send) error {
			<-ctx.Done()
			return context.Cause(ctx)
		}), server.Options{})
		p := s.peer()
		p.Write([]byte(handshake + "\r\n"))
		synctest.Wait()
		if st := s.srv.Stats(); st.Handshaking != 1 || st.Open != 0 || s.srv.Draining() {
			t.Errorf("before the shutdown: %+v, draining %v", st, s.srv.Draining())
		}
		s.srv.Shutdown(t.Context())
		w := &recorder{header: http.Header{}}
		s.srv.ServeHTTP(w, mounted(t))
		if st := s.srv.Stats(); st.Handshakes.Draining != 2 || st.Handshaking != 0 || w.status != 503 || !s.srv.Draining() {
			t.Errorf("after the shutdown: %+v, status %d, draining %v", st, w.status, s.srv.Draining())
		}
		p.Close()
	})
}

// Messages and bytes of both directions are counted while a connection is open, and stay when it has gone.
func TestStatsTraffic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := variant{}.mountPipes(t, echoing(nil), server.Options{})
		p, q := s.open(), s.open()
		for range 3 {
			p.send(fin|text, "12345")
			p.expect(fin|text, "12345")
		}
		q.send(fin|bin, strings.Repeat("x", 300))
		q.expect(fin|bin, strings.Repeat("x", 300))
		synctest.Wait()
		want := server.Stats{Open: 2, Handshakes: server.Handshakes{Accepted: 2}, MessagesIn: 4, MessagesOut: 4,
			BytesIn: 3*11 + 308, BytesOut: 3*7 + 304}
		if got := s.srv.Stats(); got != want {
			t.Errorf("open:\ngot  %+v\nwant %+v", got, want)
		}
		p.send(fin|closing, closePayload(1000, ""))
		p.end()
		synctest.Wait()
		want.Open, want.BytesIn, want.BytesOut = 1, want.BytesIn+8, want.BytesOut+4
		if got := s.srv.Stats(); got != want {
			t.Errorf("after a close:\ngot  %+v\nwant %+v", got, want)
		}
		q.Close()
	})
}

// What goes wrong with a connection has a figure of its own.
func TestStatsTroubles(t *testing.T) {
	for name, tc := range map[string]struct {
		app     asgi.App
		options server.Options
		act     func(p *peer)
		want    func(st server.Stats) uint64
	}{
		"pings": {echoing(nil), server.Options{}, func(p *peer) { <-time.After(25 * time.Second); p.receive(); p.send(fin|pong, "") },
			func(st server.Stats) uint64 { return st.Pings }},
		"no pong": {echoing(nil), server.Options{}, func(p *peer) { p.end() }, func(st server.Stats) uint64 { return st.PingsUnanswered }},
		"slow reader": {socket(func(ctx context.Context, _ *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
			send(ctx, asgi.WebSocketSend{Frame: asgi.TextFrame("nobody reads this")})
			_, err := receive(ctx)
			return err
		}), server.Options{}, func(p *peer) { <-time.After(12 * time.Second) }, func(st server.Stats) uint64 { return st.SlowReaders }},
		"protocol": {echoing(nil), server.Options{}, func(p *peer) { p.send(fin|text, "\xff"); p.end() }, func(st server.Stats) uint64 { return st.ProtocolErrors }},
		"failure": {socket(func(context.Context, *asgi.Scope, asgi.Receive, asgi.Send) error { panic("at the disco") }), server.Options{},
			func(p *peer) { p.end() }, func(st server.Stats) uint64 { return st.Failures }},
		"full queue": {socket(func(ctx context.Context, _ *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
			for {
				if err := send(endedContext(), asgi.WebSocketSend{Frame: asgi.TextFrame("nobody reads this")}); err == asgi.ErrFull {
					return nil
				}
			}
		}), server.Options{QueueSize: 100}, func(p *peer) { <-time.After(12 * time.Second) }, func(st server.Stats) uint64 { return st.QueueFull }},
		"overdue": {socket(func(ctx context.Context, _ *asgi.Scope, _ asgi.Receive, send asgi.Send) error {
			send(ctx, asgi.WebSocketClose{})
			<-time.After(time.Minute)
			return nil
		}), server.Options{}, func(p *peer) { <-time.After(2 * time.Minute) }, func(st server.Stats) uint64 { return st.Overdue }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := variant{}.mountPipes(t, tc.app, tc.options)
				if n := tc.want(s.srv.Stats()); n != 0 {
					t.Errorf("at the start: %d", n)
				}
				p := s.open()
				tc.act(p)
				p.Close()
				synctest.Wait()
				if st := s.srv.Stats(); tc.want(st) != 1 {
					t.Errorf("not 1: %+v", st)
				}
			})
		})
	}
}

// HTTP requests are counted too.
func TestStatsHTTP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := variant{}.mountPipes(t, asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, _ asgi.Send) error {
			switch scope.Path() {
			case "/wait":
				<-release
			case "/fail":
				return errors.New("no")
			case "/large":
				return asgi.Deny{Body: make([]byte, 1<<20)}
			case "/read":
				_, err := receive(ctx)
				return err
			}
			return asgi.Deny{}
		}), server.Options{})
		p := s.peer()
		go p.request("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
		synctest.Wait()
		if got, want := s.srv.Stats(), (server.Stats{HTTPOpen: 1, HTTPRequests: 1}); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
		close(release)
		synctest.Wait()
		s.peer().request("GET /fail HTTP/1.1\r\nHost: a\r\n\r\n")
		s.peer().request("POST /read HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nno chunk\r\n")
		s.peer().Write([]byte("GET /large HTTP/1.1\r\nHost: a\r\n\r\n")) // and reads nothing
		<-time.After(time.Minute)
		if got, want := s.srv.Stats(), (server.Stats{HTTPRequests: 4, HTTPFailures: 1, HTTPBadRequests: 1, HTTPSlowReaders: 1}); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	})
}

// A recorder is a ResponseWriter that remembers the status.
type recorder struct {
	header http.Header
	status int
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(status int)      { r.status = status }
func (r *recorder) Write(p []byte) (int, error) { return len(p), nil }

// mounted is a good handshake that came by another server.
func mounted(t *testing.T) *http.Request {
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://example.org/ws/", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"},
		"Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="}}
	return r
}
