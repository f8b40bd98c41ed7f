package server_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
)

// living is an application with a lifespan. Each step's answer is what the functions return.
func living(startup, shutdown func(scope *asgi.Scope) asgi.Event, app asgi.App) asgi.App {
	return asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		if scope.Type() != asgi.Lifespan {
			return app.Serve(ctx, scope, receive, send)
		}
		for {
			event, err := receive(ctx)
			if err != nil {
				return err
			}
			answer := shutdown
			if _, ok := event.(asgi.LifespanStartup); ok {
				answer = startup
			}
			if err := send(ctx, answer(scope)); err != nil {
				return err
			}
			if _, ok := event.(asgi.LifespanShutdown); ok {
				return nil
			}
		}
	})
}

func complete(*asgi.Scope) asgi.Event { return asgi.LifespanStartupComplete{} }
func cleanUp(*asgi.Scope) asgi.Event  { return asgi.LifespanShutdownComplete{} }

// Case 206: after startup.complete the server serves, and not before; startup.failed makes Run return its message.
func TestStartup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ready := make(chan struct{})
		s := variant{}.serve(t, living(func(*asgi.Scope) asgi.Event { <-ready; return asgi.LifespanStartupComplete{} }, cleanUp, echoing(nil)), server.Options{})
		dialed := make(chan net.Conn, 1)
		go func() { c, _ := s.dial(); dialed <- c }()
		synctest.Wait()
		select {
		case <-dialed:
			t.Error("case 206: the server accepted a connection before the startup was complete")
		default:
		}
		close(ready)
		p := newPeer(<-dialed)
		if err := p.open(); err != nil {
			t.Error("case 206: ", err)
		}
		p.Close()
	})
	failed := func(*asgi.Scope) asgi.Event { return asgi.LifespanStartupFailed{Message: "the database is not there"} }
	err := server.New(living(failed, nil, nil), &server.Options{Addr: "127.0.0.1:0"}).Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "the database is not there") {
		t.Errorf("case 206: Run returned %v", err)
	}
}

// Case 207: what the application left in the state is in every scope, in a copy for each connection.
func TestState(t *testing.T) {
	startup := func(scope *asgi.Scope) asgi.Event {
		scope.State()["motto"] = "slack water"
		return asgi.LifespanStartupComplete{}
	}
	states := make(chan map[string]any, 1)
	report := asgi.AppFunc(func(_ context.Context, scope *asgi.Scope, _ asgi.Receive, _ asgi.Send) error {
		scope.State()[scope.Type()+" "+scope.RawQuery()] = true
		states <- maps.Clone(scope.State())
		return asgi.Deny{}
	})
	s := variant{}.serveTCP(t, living(startup, cleanUp, report), server.Options{})
	for _, mine := range []string{"websocket 1", "websocket 2", "http 3", "http 4"} {
		kind, number, _ := strings.Cut(mine, " ")
		if kind == asgi.WebSocket {
			s.peer().request(strings.Replace(handshake, "q=1", number, 1) + "\r\n")
		} else {
			s.peer().request("GET /?" + number + " HTTP/1.1\r\nHost: example.org\r\n\r\n")
		}
		if state := <-states; len(state) != 2 || state["motto"] != "slack water" || state[mine] != true {
			t.Errorf("case 207: the state of %s is %v", mine, state)
		}
	}
}

// Case 208: the shutdown event comes after the last connection has ended, and the server waits for the answer.
func TestShutdownEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var order []string
		app := socket(func(ctx context.Context, _ *asgi.Scope, receive asgi.Receive, _ asgi.Send) error {
			receive(ctx)
			<-time.After(3 * time.Second)
			order = append(order, "connection")
			return nil
		})
		shutdown := func(*asgi.Scope) asgi.Event {
			<-time.After(3 * time.Second)
			order = append(order, "lifespan")
			return asgi.LifespanShutdownComplete{}
		}
		s := variant{}.serve(t, living(complete, shutdown, app), server.Options{})
		p := s.open()
		go closeLikeABrowser(p)
		err := s.stop()
		order = append(order, "Serve")
		if got := strings.Join(order, ", "); got != "connection, lifespan, Serve" || err != nil {
			t.Errorf("case 208: the order of ends is %s, %v", got, err)
		}
	})
}

// What else may happen to a lifespan.
func TestLifespanEnds(t *testing.T) {
	for _, tc := range []struct {
		name string
		app  asgi.App
		want string // of Serve's error
	}{
		{"shutdown failed", living(complete, func(*asgi.Scope) asgi.Event { return asgi.LifespanShutdownFailed{Message: "disk full"} }, nil), "disk full"},
		{"returns while serving", lifespan(func(ctx context.Context, receive asgi.Receive, send asgi.Send) error {
			receive(ctx)
			return send(ctx, asgi.LifespanStartupComplete{})
		}), ""},
		{"fails while serving", lifespan(func(ctx context.Context, receive asgi.Receive, send asgi.Send) error {
			receive(ctx)
			send(ctx, asgi.LifespanStartupComplete{})
			return errors.New("lost the database")
		}), "lost the database"},
		{"panics at startup", lifespan(func(ctx context.Context, receive asgi.Receive, send asgi.Send) error { panic("nil map") }), "nil map"},
		{"does not answer the shutdown", lifespan(func(ctx context.Context, receive asgi.Receive, send asgi.Send) error {
			send(ctx, asgi.LifespanStartupComplete{})
			<-ctx.Done()
			return nil
		}), "took too long"},
		{"answers twice", lifespan(func(ctx context.Context, receive asgi.Receive, send asgi.Send) error {
			send(ctx, asgi.LifespanStartupComplete{})
			return send(ctx, asgi.LifespanStartupComplete{})
		}), "answer each lifespan event once"},
		{"answers before the question", lifespan(func(ctx context.Context, receive asgi.Receive, send asgi.Send) error {
			return send(ctx, asgi.LifespanShutdownComplete{})
		}), "not asked for now"},
		{"another protocol's event", lifespan(func(ctx context.Context, receive asgi.Receive, send asgi.Send) error {
			return send(ctx, asgi.WebSocketAccept{})
		}), "this is the lifespan"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := variant{}.serve(t, tc.app, server.Options{})
				synctest.Wait()
				if err := s.stop(); (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
					t.Errorf("Serve returned %v, want %q", err, tc.want)
				}
			})
		})
	}
}

func lifespan(serve func(ctx context.Context, receive asgi.Receive, send asgi.Send) error) asgi.App {
	return asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		if scope.Type() != asgi.Lifespan {
			return errors.ErrUnsupported
		}
		return serve(ctx, receive, send)
	})
}

// S8: what means "no lifespan" from an application that was not asked is a failed start from one that was.
func TestStartupFailsLikeNoLifespan(t *testing.T) {
	for name, failure := range map[string]error{
		"system call": fmt.Errorf("open the database: %w", syscall.EOPNOTSUPP),
		"404":         fmt.Errorf("fetch the keys: %w", asgi.Deny{Status: 404}),
	} {
		for _, asked := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				s := variant{}.serve(t, lifespan(func(ctx context.Context, receive asgi.Receive, _ asgi.Send) error {
					if asked {
						receive(ctx)
					}
					return failure
				}), server.Options{})
				synctest.Wait()
				if err := s.stop(); asked != errors.Is(err, failure) || asked != (err != nil) {
					t.Errorf("S8: %s, startup received %v: Serve returned %v", name, asked, err)
				}
			})
		}
	}
}

// The end of ctx before or during the startup is a clean end of Serve. An application that ignores it is given
// AppCloseTimeout, and named.
func TestStopDuringStartup(t *testing.T) {
	for _, tc := range []struct {
		name    string
		listens bool
		stop    func(*site) error
		want    string
		takes   time.Duration
	}{
		{"ctx", true, func(s *site) error { return s.stop() }, "", 0},
		{"Shutdown", true, func(s *site) error { return errors.Join(s.srv.Shutdown(context.Background()), s.served()) }, "", 0},
		{"deaf", false, func(s *site) error { return s.stop() }, "lifespan: the application did not return", 10 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				released := make(chan struct{})
				s := variant{}.serve(t, lifespan(func(ctx context.Context, _ asgi.Receive, _ asgi.Send) error {
					if !tc.listens {
						ctx = context.WithoutCancel(ctx)
					}
					select {
					case <-ctx.Done():
						if cause := (asgi.DisconnectError{}); !errors.As(context.Cause(ctx), &cause) || cause.By != asgi.ByServer {
							t.Errorf("ctx ended with %v", context.Cause(ctx))
						}
						return ctx.Err()
					case <-released:
						return nil
					}
				}), server.Options{})
				synctest.Wait()
				start := time.Now()
				if err := tc.stop(s); (err != nil) != (tc.want != "") || err != nil && !strings.Contains(err.Error(), tc.want) {
					t.Errorf("got %v, want %q", err, tc.want)
				}
				if err := takes(start, tc.takes); err != nil {
					t.Error(err)
				}
				close(released)
			})
		})
	}
}

// A ctx that has ended before is a clean end, without a startup.
func TestStopBeforeStartup(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	srv := server.New(lifespan(func(context.Context, asgi.Receive, asgi.Send) error {
		t.Error("the application was asked to start")
		return nil
	}), &server.Options{Addr: "127.0.0.1:0"})
	if err := srv.Run(ctx); err != nil {
		t.Errorf("Run returned %v", err)
	}
}
