package server_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
)

// deaf ignores all but the end of its ctx, whose cause it reports.
func deaf(causes chan<- error) asgi.App {
	return socket(func(ctx context.Context, _ *asgi.Scope, _ asgi.Receive, _ asgi.Send) error {
		<-ctx.Done()
		causes <- context.Cause(ctx)
		return nil
	})
}

// A second call of Shutdown, or the end of its ctx, cuts at once, when close frames have had a moment.
func TestShutdownAtOnce(t *testing.T) {
	for name, hurry := range map[string]func(*server.Server, context.CancelFunc){
		"second call": func(s *server.Server, _ context.CancelFunc) { s.Shutdown(context.Background()) },
		"ctx":         func(_ *server.Server, cancel context.CancelFunc) { cancel() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				causes := make(chan error, 3)
				s := variant{}.mountPipes(t, deaf(causes), server.Options{ShutdownWindow: time.Minute})
				p := s.open()
				s.open()
				s.open()
				synctest.Wait()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				stopped := make(chan error, 1)
				start := time.Now()
				go func() { stopped <- s.srv.Shutdown(ctx) }()
				synctest.Wait()
				hurry(s.srv, cancel)
				if err := <-stopped; err != nil {
					t.Error(err)
				}
				if err := takes(start, 250*time.Millisecond); err != nil { // nobody reads, so the close frames cannot leave
					t.Error(err)
				}
				var cause asgi.DisconnectError
				if err := <-causes; !errors.As(err, &cause) || cause.By != asgi.ByServer {
					t.Errorf("ctx ended with %v", err)
				}
				p.Close()
			})
		})
	}
}

// A shutdown that has no time from its beginning still tells clients why, with TLS and without.
func TestShutdownWithoutTime(t *testing.T) {
	const clients = 40
	files := newCertFiles(t, issue(t, "mine"))
	for _, opts := range []server.Options{{}, {ShutdownCode: 1012, CertFile: files.cert, KeyFile: files.key}} {
		causes := make(chan error, clients)
		opts.ShutdownWindow = time.Minute
		s := variant{}.serveTCP(t, deaf(causes), opts)
		if opts.CertFile != "" {
			plain := *s
			s.dial = func() (net.Conn, error) { return dialTLS(&plain) }
		}
		var peers []*peer
		for range clients {
			peers = append(peers, s.open())
		}
		await(t, func() bool { return s.srv.Stats().Open == clients })
		if err := s.srv.Shutdown(endedContext()); err != nil {
			t.Error(err)
		}
		told := 0
		for _, p := range peers {
			if code, _ := p.end(); code == max(opts.ShutdownCode, 1001) {
				told++
			}
			p.Close()
		}
		if told < clients/2 { // a machine that is busy may be too slow for some
			t.Errorf("%d of %d clients were told, with TLS: %v", told, clients, opts.CertFile != "")
		}
		s.stop()
	}
}

// A hurried cut waits for the close frames, which others write, a quarter of a second in all. So every client that reads is told,
// and those that do not read cost no more time than one.
func TestShutdownTellsEveryReader(t *testing.T) {
	for _, withTLS := range []bool{false, true} {
		for _, deafClients := range []int{0, 3} {
			t.Run(fmt.Sprintf("TLS %v, %d do not read", withTLS, deafClients), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					causes := make(chan error, 20)
					opts := server.Options{ShutdownCode: 1012, ShutdownWindow: time.Minute}
					if withTLS {
						files := newCertFiles(t, issue(t, "mine"))
						opts.CertFile, opts.KeyFile = files.cert, files.key
					}
					s := variant{}.serve(t, deaf(causes), opts)
					if withTLS {
						plain := *s
						s.dial = func() (net.Conn, error) { return dialTLS(&plain) }
					}
					told := make(chan int, 10)
					for range cap(told) {
						p := s.open()
						go func() { // ends with the connection; received below
							code, _ := p.end()
							told <- code
						}()
					}
					for range deafClients {
						s.open()
					}
					synctest.Wait()
					start, want := time.Now(), time.Duration(0)
					if deafClients > 0 {
						want = 250 * time.Millisecond
					}
					if err := errors.Join(s.srv.Shutdown(endedContext()), takes(start, want)); err != nil {
						t.Error(err)
					}
					for range cap(told) {
						if code := <-told; code != 1012 {
							t.Errorf("a client that reads saw %d, want 1012", code)
						}
					}
				})
			})
		}
	}
}

// A handshake that is not decided when the shutdown begins gets 503, and its application's ctx ends.
func TestShutdownDuringTheHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		causes := make(chan error, 1)
		s := variant{}.mountPipes(t, asgi.AppFunc(func(ctx context.Context, _ *asgi.Scope, _ asgi.Receive, _ asgi.Send) error {
			<-ctx.Done()
			causes <- context.Cause(ctx)
			return nil
		}), server.Options{})
		p := s.peer()
		status := make(chan int, 1)
		go func() {
			resp, err := p.request(handshake + "\r\n")
			if err != nil {
				t.Error(err)
			}
			status <- resp.StatusCode
		}()
		synctest.Wait()
		if err := s.srv.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if got := <-status; got != 503 {
			t.Errorf("got %d, want 503", got)
		}
		var cause asgi.DisconnectError
		if err := <-causes; !errors.As(err, &cause) || cause.Code != 1001 {
			t.Errorf("ctx ended with %v", err)
		}
	})
}

// An application that ignores everything is named once, counted, and does not hold the others.
func TestShutdownCountsTheDeaf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		released := make(chan struct{})
		s := variant{}.mountPipes(t, socket(func(_ context.Context, _ *asgi.Scope, _ asgi.Receive, _ asgi.Send) error {
			<-released
			return nil
		}), server.Options{})
		for range 2 {
			go closeLikeABrowser(s.open())
		}
		if err := s.stop(); err == nil || !strings.Contains(err.Error(), "2 applications did not end") {
			t.Errorf("Shutdown returned %v", err)
		}
		if got := s.logs.FilterMessageSnippet("ignores the end").All(); len(got) != 2 || got[0].ContextMap()["path"] != "/ws/room/" {
			t.Errorf("lines in the log: %v", got)
		}
		close(released)
	})
}

// Serve tells a request that goes on for ever why it must end, and cuts one that does not listen.
func TestServeEndsRequests(t *testing.T) {
	for _, listens := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			released, causes := make(chan struct{}), make(chan error, 1)
			s := variant{}.serve(t, asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, _ asgi.Receive, send asgi.Send) error {
				if scope.Type() != asgi.HTTP {
					return errors.ErrUnsupported
				}
				<-ctx.Done()
				causes <- context.Cause(ctx)
				if !listens {
					<-released
				}
				return context.Cause(ctx)
			}), server.Options{})
			p := s.peer()
			p.Write([]byte("GET / HTTP/1.1\r\nHost: example.org\r\n\r\n"))
			synctest.Wait()
			start := time.Now()
			err := s.stop()
			if listens != (err == nil) || err != nil && !strings.Contains(err.Error(), "HTTP requests did not end") {
				t.Errorf("Serve returned %v", err)
			}
			if took := time.Since(start); listens && took > 6*time.Second || !listens && took != 15*time.Second {
				t.Errorf("it took %v", took)
			}
			var cause asgi.DisconnectError
			if err := <-causes; !errors.As(err, &cause) {
				t.Errorf("ctx ended with %v", err)
			}
			close(released)
		})
	}
}

// held is a ResponseWriter whose Hijack waits.
type held struct {
	http.ResponseWriter
	reached chan<- struct{}
	release <-chan struct{}
}

func (h held) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	h.reached <- struct{}{}
	<-h.release
	return http.NewResponseController(h.ResponseWriter).Hijack()
}

// A shutdown that is cut while the server takes a socket from net/http closes that socket too.
func TestCutWhileTheSocketIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reached, release := make(chan struct{}), make(chan struct{})
		s := variant{handler: func(h http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(held{w, reached, release}, r) })
		}}.mountPipes(t, echoing(nil), server.Options{})
		p := s.peer()
		answer := make(chan error, 1)
		go func() { // ends with the connection
			_, err := p.request(handshake + "\r\n")
			answer <- err
		}()
		<-reached
		cut, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.srv.Shutdown(cut); err == nil {
			t.Error("the shutdown ended in good order while a handshake was under way")
		}
		close(release)
		if err := <-answer; err == nil {
			t.Error("the handshake was completed after the cut")
		}
		synctest.Wait()
		if n := s.srv.Stats().Handshakes.Draining; n != 1 {
			t.Errorf("%d handshakes were counted as refused for the shutdown, want 1", n)
		}
	})
}
