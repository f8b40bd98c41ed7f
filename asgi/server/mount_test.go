package server_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
)

type valueKey struct{}

// What a scope says, behind a mux with net/http middleware.
func TestScope(t *testing.T) {
	scopes := make(chan *asgi.Scope, 1)
	app := asgi.AppFunc(func(_ context.Context, scope *asgi.Scope, _ asgi.Receive, _ asgi.Send) error {
		scopes <- scope
		return asgi.Deny{}
	})
	v := variant{handler: func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), valueKey{}, "from middleware")))
		})
	}}
	s := v.mount(t, app, server.Options{RootPath: "/live"})
	for kind, request := range map[string]string{
		asgi.WebSocket: handshake + "A: 1\r\na: 2\r\n\r\n",
		asgi.HTTP:      "GET /ws/room/?q=1 HTTP/1.1\r\nHost: example.org\r\nA: 1\r\na: 2\r\n\r\n",
	} {
		p := s.peer()
		p.request(request)
		scope := <-scopes
		logger, _ := asgi.LoggerKey.Get(scope)
		for what, ok := range map[string]bool{
			"type":      scope.Type() == kind,
			"scheme":    scope.Scheme() == map[string]string{asgi.WebSocket: "ws", asgi.HTTP: "http"}[kind],
			"method":    scope.Method() == map[string]string{asgi.WebSocket: "", asgi.HTTP: "GET"}[kind],
			"version":   scope.HTTPVersion() == "1.1",
			"host":      scope.Host() == "example.org",
			"path":      scope.Path() == "/live/ws/room/" && scope.RawPath() == "/live/ws/room/",
			"root path": scope.RootPath() == "/live",
			"query":     scope.RawQuery() == "q=1",
			"header":    strings.Join(scope.Header()["A"], ",") == "1,2",
			"client":    scope.Client() == p.LocalAddr().String(),
			"server":    scope.Server() == p.RemoteAddr().String(),
			"value":     scope.Value(valueKey{}) == "from middleware",
			"logger":    logger != nil && logger.(*zap.Logger) != nil,
		} {
			if !ok {
				t.Errorf("%s scope: wrong %s: %+v", kind, what, scope)
			}
		}
	}
}

// Where the server runs net/http itself, the values of net/http are in the scope all the same.
func TestScopeValuesOfServe(t *testing.T) {
	scopes := make(chan *asgi.Scope, 1)
	s := variant{}.serveTCP(t, asgi.AppFunc(func(_ context.Context, scope *asgi.Scope, _ asgi.Receive, _ asgi.Send) error {
		if scope.Type() == asgi.WebSocket {
			scopes <- scope
		}
		return asgi.Deny{Status: 404}
	}), server.Options{})
	p := s.peer()
	p.request(handshake + "\r\n")
	scope := <-scopes
	if addr, _ := scope.Value(http.LocalAddrContextKey).(net.Addr); addr == nil || addr.String() != p.RemoteAddr().String() {
		t.Errorf("the local address is %v", addr)
	}
	if hs, _ := scope.Value(http.ServerContextKey).(*http.Server); hs == nil {
		t.Error("the http.Server is not there")
	}
}

// HTTP goes to the same application, and its failures are one line each.
func TestHTTP(t *testing.T) {
	s := variant{}.mount(t, asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		if scope.RawQuery() == "panic" {
			panic("no template")
		}
		event, err := receive(ctx)
		if err != nil {
			return err
		}
		if err := send(ctx, asgi.HTTPResponseStart{Status: 201}); err != nil {
			return err
		}
		return send(ctx, asgi.HTTPResponseBody{Body: append([]byte("got "), event.(asgi.HTTPRequest).Body...)})
	}), server.Options{})
	resp, err := s.peer().request("POST / HTTP/1.1\r\nHost: example.org\r\nContent-Length: 3\r\n\r\nabc")
	if err != nil || resp.StatusCode != 201 || body(resp) != "got abc" {
		t.Errorf("got %v, %v", resp, err)
	}
	resp, err = s.peer().request("GET /?panic HTTP/1.1\r\nHost: example.org\r\n\r\n")
	if err != nil || resp.StatusCode != 500 {
		t.Errorf("got %v, %v", resp, err)
	}
	if got := s.warnings(); len(got) != 1 {
		t.Errorf("lines in the log: %q", got)
	}
}

// Over TLS the scheme is wss, and writing works though there is no descriptor to write to.
func TestTLS(t *testing.T) {
	schemes := make(chan string, 1)
	srv := server.New(asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		schemes <- scope.Scheme()
		return echoing(nil).Serve(ctx, scope, receive, send)
	}), &server.Options{Logger: zap.NewNop(), ShutdownWindow: -1})
	hs := httptest.NewTLSServer(srv)
	defer hs.Close()
	defer srv.Shutdown(context.Background())
	c, err := tls.Dial("tcp", hs.Listener.Addr().String(), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	p := newPeer(c)
	defer p.Close()
	if err := p.open(); err != nil {
		t.Fatal(err)
	}
	large := strings.Repeat("x", 300_000)
	go p.send(fin|text, large)
	if err := p.expect(fin|text, large); err != nil {
		t.Error(err)
	}
	if got := <-schemes; got != "wss" {
		t.Errorf("the scheme is %q", got)
	}
	p.send(fin|closing, "")
	if err := p.expectEnd(1005); err != nil {
		t.Error(err)
	}
}

// A Unix socket is served like TCP.
func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := variant{}.serveOn(t, ln, func() (net.Conn, error) { return net.Dial("unix", path) }, echoing(nil), server.Options{})
	p := s.open()
	p.send(fin|text, "hello")
	if err := p.expect(fin|text, "hello"); err != nil {
		t.Error(err)
	}
}

// A middleware that hides the connection is named.
func TestNoHijacker(t *testing.T) {
	results := make(chan error, 1)
	v := variant{handler: func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(struct{ http.ResponseWriter }{w}, r) })
	}}
	s := v.mount(t, asgi.AppFunc(func(ctx context.Context, _ *asgi.Scope, _ asgi.Receive, send asgi.Send) error {
		err := send(ctx, asgi.WebSocketAccept{})
		results <- err
		return err
	}), server.Options{})
	resp, err := s.peer().request(handshake + "\r\n")
	if err != nil || resp.StatusCode != 500 {
		t.Errorf("got %v, %v", resp, err)
	}
	if err := <-results; err == nil || !strings.Contains(err.Error(), "needs Unwrap") {
		t.Errorf("accept returned %v", err)
	}
}

// Run listens on Options.Addr and says where; a second one on the same address fails and says so.
func TestRun(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := variant{}.newSite(t, nil, echoing(nil), server.Options{Addr: "127.0.0.1:0"})
	served := make(chan error, 1)
	go func() { served <- s.srv.Run(ctx) }()
	var addr string
	for addr == "" {
		for _, e := range s.logs.FilterMessage("serving").All() {
			addr = e.ContextMap()["address"].(string)
		}
	}
	s.dial = func() (net.Conn, error) { return net.Dial("tcp", addr) }
	p := s.open()
	if err := server.New(echoing(nil), &server.Options{Addr: addr, Logger: zap.NewNop()}).Run(ctx); err == nil || !strings.Contains(err.Error(), addr) {
		t.Errorf("a second Run returned %v", err)
	}
	cancel()
	go io.Copy(io.Discard, p)
	p.send(fin|closing, closePayload(1001, ""))
	if err := <-served; err != nil {
		t.Errorf("Run returned %v", err)
	}
	if err := s.srv.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "make a new one") {
		t.Errorf("Run after the shutdown returned %v", err)
	}
}
