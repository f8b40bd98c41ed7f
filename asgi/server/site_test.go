package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
)

// A variant breaks a server, so that a check can be shown to fail. The zero variant breaks nothing.
type variant struct {
	app      func(asgi.App) asgi.App
	options  func(*server.Options)
	handler  func(http.Handler) http.Handler
	shutdown func(*server.Server) error
}

// A site is a live server.
type site struct {
	t    testing.TB
	srv  *server.Server
	dial func() (net.Conn, error)
	logs *observer.ObservedLogs
	stop func() error // shuts down once; later calls return the same

	served func() error // waits for the end of Serve; nil where the Server is mounted
}

// mount puts a Server into an http.Server of the test's own, on TCP.
func (v variant) mount(t testing.TB, app asgi.App, opts server.Options) *site {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return v.mountOn(t, ln, func() (net.Conn, error) { return net.Dial("tcp", ln.Addr().String()) }, app, opts)
}

// mountPipes is mount without sockets, for a bubble.
func (v variant) mountPipes(t testing.TB, app asgi.App, opts server.Options) *site {
	p := newPipes()
	return v.mountOn(t, p, p.dial, app, opts)
}

func (v variant) mountOn(t testing.TB, ln net.Listener, dial func() (net.Conn, error), app asgi.App, opts server.Options) *site {
	s := v.newSite(t, dial, app, opts)
	var h http.Handler = s.srv
	if v.handler != nil {
		h = v.handler(h)
	}
	hs := &http.Server{Handler: h, ErrorLog: zap.NewStdLog(zap.NewNop())}
	served := make(chan error, 1)
	go func() { served <- hs.Serve(ln) }()
	s.stop = once(func() error {
		stop := func(s *server.Server) error { return s.Shutdown(context.Background()) }
		if v.shutdown != nil {
			stop = v.shutdown
		}
		err := stop(s.srv)
		hs.Close()
		<-served
		return err
	})
	t.Cleanup(func() { s.stop() })
	return s
}

// serve lets the Server run by itself, on pipes.
func (v variant) serve(t testing.TB, app asgi.App, opts server.Options) *site {
	p := newPipes()
	return v.serveOn(t, p, p.dial, app, opts)
}

// serveTCP lets the Server run by itself, on TCP.
func (v variant) serveTCP(t testing.TB, app asgi.App, opts server.Options) *site {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return v.serveOn(t, ln, func() (net.Conn, error) { return net.Dial("tcp", ln.Addr().String()) }, app, opts)
}

func (v variant) serveOn(t testing.TB, ln net.Listener, dial func() (net.Conn, error), app asgi.App, opts server.Options) *site {
	s := v.newSite(t, dial, app, opts)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.srv.Serve(ctx, ln) }()
	s.served = once(func() error { return <-served })
	s.stop = func() error { cancel(); return s.served() }
	t.Cleanup(func() { s.stop() })
	return s
}

func (v variant) newSite(t testing.TB, dial func() (net.Conn, error), app asgi.App, opts server.Options) *site {
	core, logs := observer.New(zapcore.DebugLevel)
	opts.Logger = zap.New(core)
	if opts.ShutdownWindow == 0 {
		opts.ShutdownWindow = -1 // the tests' own time
	}
	if v.options != nil {
		v.options(&opts)
	}
	if v.app != nil {
		app = v.app(app)
	}
	return &site{t: t, srv: server.New(app, &opts), dial: dial, logs: logs}
}

// peer connects, and disconnects at the test's end.
func (s *site) peer() *peer {
	s.t.Helper()
	c, err := s.dial()
	if err != nil {
		s.t.Fatal(err)
	}
	p := newPeer(c)
	s.t.Cleanup(func() { p.Close() })
	return p
}

// open connects and completes a handshake.
func (s *site) open(lines ...string) *peer {
	s.t.Helper()
	p := s.peer()
	if err := p.open(lines...); err != nil {
		s.t.Fatal("handshake: ", err)
	}
	return p
}

// warnings are the lines that a default logger would print.
func (s *site) warnings() []string {
	var lines []string
	for _, e := range s.logs.All() {
		if e.Level >= zap.WarnLevel {
			lines = append(lines, e.Message)
		}
	}
	return lines
}

// oneLine reports an error unless a default logger would have printed one line, which gives the reason.
func (s *site) oneLine(reason string) error {
	lines := s.logs.FilterLevelExact(zap.WarnLevel).All()
	if n := len(s.warnings()); n != 1 || len(lines) != 1 || !strings.Contains(fmt.Sprint(lines[0].ContextMap()["reason"]), reason) {
		return fmt.Errorf("%d lines in the log, want one that says %q: %v", n, reason, s.logs.All())
	}
	return nil
}

// pipes is a listener whose connections are net.Pipes.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) dial() (net.Conn, error) {
	client, serverSide := net.Pipe()
	select {
	case p.conns <- serverSide:
		return client, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes", Net: "pipe"} }

// socket makes an App that serves WebSockets only, and accepts them before serve is called.
func socket(serve func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error) asgi.App {
	return asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		if scope.Type() != asgi.WebSocket {
			return errors.ErrUnsupported
		}
		if _, err := receive(ctx); err != nil {
			return err
		}
		if err := send(ctx, asgi.WebSocketAccept{}); err != nil {
			return err
		}
		return serve(ctx, scope, receive, send)
	})
}

// echoing returns each message. A text "quit" makes it return; ends, if not nil, gets the disconnect.
func echoing(ends chan<- asgi.WebSocketDisconnect) asgi.App {
	return socket(func(ctx context.Context, _ *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		for {
			event, err := receive(ctx)
			if err != nil {
				return err
			}
			switch e := event.(type) {
			case asgi.WebSocketReceive:
				if string(e.Frame.Data) == "quit" {
					return nil
				}
				if err := send(ctx, asgi.WebSocketSend{Frame: e.Frame}); err != nil && !errors.Is(err, asgi.ErrClosed) {
					return err // after ErrClosed the disconnect says why
				}
			case asgi.WebSocketDisconnect:
				if ends != nil {
					ends <- e
				}
				return nil
			}
		}
	})
}

// body reads a response's body.
func body(resp *http.Response) string {
	b, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	return string(b)
}

// once is sync.OnceValue, but those who wait do so on a channel, which a bubble's clock understands.
func once(f func() error) func() error {
	var mu sync.Mutex
	var done chan struct{}
	var result error
	return func() error {
		mu.Lock()
		first := done == nil
		if first {
			done = make(chan struct{})
		}
		mu.Unlock()
		if first {
			result = f()
			close(done)
		}
		<-done
		return result
	}
}
