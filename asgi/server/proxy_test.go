package server_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pires/go-proxyproto"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
)

// addresses tells each connection who it is: over a WebSocket, and as the header of a 204.
var addresses = asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
	switch scope.Type() {
	case asgi.Lifespan:
		return errors.ErrUnsupported
	case asgi.HTTP:
		return asgi.Deny{Status: 204, Header: map[string][]string{"Client": {scope.Client()}, "Server": {scope.Server()}}}
	}
	if err := send(ctx, asgi.WebSocketAccept{}); err != nil {
		return err
	}
	if err := send(ctx, asgi.WebSocketSend{Frame: asgi.TextFrame(scope.Client() + " " + scope.Server())}); err != nil {
		return err
	}
	for {
		event, err := receive(ctx)
		if err != nil {
			return err
		}
		if e, ok := event.(asgi.WebSocketReceive); ok {
			if err := send(ctx, asgi.WebSocketSend{Frame: e.Frame}); err != nil {
				return err
			}
		}
	}
})

// proxied begins a connection with what a load balancer says.
func proxied(s *site, version byte) (*peer, error) {
	c, err := s.dial()
	if err != nil {
		return nil, err
	}
	h := proxyproto.HeaderProxyFromAddrs(version, net.TCPAddrFromAddrPort(netip.MustParseAddrPort("203.0.113.7:4711")),
		net.TCPAddrFromAddrPort(netip.MustParseAddrPort("198.51.100.1:443")))
	if _, err := h.WriteTo(c); err != nil {
		c.Close()
		return nil, err
	}
	return newPeer(c), nil
}

// The PROXY protocol, in both versions, says who the client is: to HTTP applications and to WebSockets, with TLS and without.
func TestProxyProtocol(t *testing.T) {
	files := newCertFiles(t, issue(t, "mine"))
	for _, tc := range []struct {
		version byte
		options server.Options
	}{{1, server.Options{}}, {2, server.Options{}}, {1, server.Options{CertFile: files.cert, KeyFile: files.key}}, {2, server.Options{CertFile: files.cert, KeyFile: files.key}}} {
		tc.options.ProxyProtocol, tc.options.TrustedProxies = true, []string{"10.0.0.0/8", "127.0.0.1"}
		s := variant{}.serveTCP(t, addresses, tc.options)
		begin := func() *peer {
			p, err := proxied(s, tc.version)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { p.Close() })
			if tc.options.CertFile == "" {
				return p
			}
			c, _, err := shake(p.Conn, &tls.Config{NextProtos: []string{"http/1.1"}})
			if err != nil {
				t.Fatal(err)
			}
			return newPeer(c)
		}
		resp, err := begin().request("GET / HTTP/1.1\r\nHost: example.org\r\n\r\n")
		if err != nil || resp.Header.Get("Client") != "203.0.113.7:4711" || resp.Header.Get("Server") != "198.51.100.1:443" {
			t.Errorf("version %d: %v, %v", tc.version, resp, err)
		}
		p := begin()
		if err := errors.Join(p.open(), p.expect(fin|text, "203.0.113.7:4711 198.51.100.1:443")); err != nil {
			t.Errorf("version %d: %v", tc.version, err)
		}
		p.send(fin|text, "and on")
		if err := p.expect(fin|text, "and on"); err != nil {
			t.Errorf("version %d: %v", tc.version, err)
		}
		p.send(fin|closing, closePayload(1000, ""))
		if err := p.expectEnd(1000); err != nil {
			t.Errorf("version %d: %v", tc.version, err)
		}
		s.stop()
	}
}

// Who is no trusted proxy is not let in where the PROXY protocol is spoken, whatever it sends; and a trusted one must send it.
func TestProxyProtocolOfStrangers(t *testing.T) {
	for name, tc := range map[string]struct {
		trusted string
		request string
		lines   int
	}{
		"claim of a stranger":     {"10.0.0.1", "PROXY TCP4 203.0.113.7 198.51.100.1 4711 443\r\nGET / HTTP/1.1\r\nHost: example.org\r\n\r\n", 1},
		"stranger":                {"10.0.0.1", "GET / HTTP/1.1\r\nHost: example.org\r\n\r\n", 1},
		"proxy that says nothing": {"127.0.0.1", "GET / HTTP/1.1\r\nHost: example.org\r\n\r\n", 0},
		"proxy with nonsense":     {"127.0.0.1", "PROXY TCP9 1 2\r\nGET / HTTP/1.1\r\nHost: example.org\r\n\r\n", 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := variant{}.serveTCP(t, addresses, server.Options{ProxyProtocol: true, TrustedProxies: []string{tc.trusted}})
			if resp, err := s.peer().request(tc.request); err == nil && resp.StatusCode < 400 {
				t.Errorf("it was answered: %v", resp)
			}
			if lines := s.warnings(); len(lines) != tc.lines {
				t.Errorf("lines %q, want %d", lines, tc.lines)
			}
		})
	}
}

// Without the option, a PROXY header is no HTTP.
func TestProxyProtocolOff(t *testing.T) {
	s := variant{}.serveTCP(t, addresses, server.Options{TrustedProxies: []string{"127.0.0.1"}})
	p, err := proxied(s, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if resp, err := p.request("GET / HTTP/1.1\r\nHost: example.org\r\n\r\n"); err != nil || resp.StatusCode != 400 {
		t.Errorf("got %v, %v", resp, err)
	}
}

// A proxy that connects and says nothing is cut when the time for a header is over.
func TestProxyProtocolSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := newPipes()
		s := variant{}.serveOn(t, localPipes{ln}, ln.dial, addresses, server.Options{ProxyProtocol: true, TrustedProxies: []string{"unix"}})
		p, start := s.peer(), time.Now()
		p.Read(make([]byte, 1))
		if err := takes(start, 5*time.Second); err != nil {
			t.Error(err)
		}
	})
}

// localPipes are pipes that pass for Unix sockets.
type localPipes struct{ *pipes }

type localPipe struct{ net.Conn }

func (p localPipes) Accept() (net.Conn, error) {
	c, err := p.pipes.Accept()
	return localPipe{c}, err
}

func (localPipe) RemoteAddr() net.Addr { return &net.UnixAddr{Name: "@", Net: "unix"} }

// A list of proxies that does nothing, or that says everybody, is worth a line.
func TestTrustedProxiesAreQuestioned(t *testing.T) {
	for name, tc := range map[string]struct {
		options server.Options
		want    string
	}{
		"no switch":       {server.Options{TrustedProxies: []string{"10.0.0.7"}}, "does nothing"},
		"headers":         {server.Options{TrustedProxies: []string{"10.0.0.7"}, ProxyHeaders: true}, ""},
		"protocol":        {server.Options{TrustedProxies: []string{"10.0.0.7"}, ProxyProtocol: true}, ""},
		"listener's":      {server.Options{TrustedProxies: []string{"unix"}, Listeners: []server.Listener{{Addr: ":0", ProxyProtocol: true}}}, ""},
		"everybody":       {server.Options{TrustedProxies: []string{"0.0.0.0/0"}, ProxyHeaders: true}, "believes everybody"},
		"everybody, IPv6": {server.Options{TrustedProxies: []string{"10.0.0.7", "::/0"}, ProxyHeaders: true}, "believes everybody"},
		"nobody":          {server.Options{}, ""},
	} {
		s := variant{}.newSite(t, nil, pages, tc.options)
		lines := s.warnings()
		if tc.want == "" && len(lines) > 0 || tc.want != "" && (len(lines) != 1 || !strings.Contains(lines[0], tc.want)) {
			t.Errorf("%s: the lines are %q, want one with %q", name, lines, tc.want)
		}
	}
}

// X-Forwarded-For is believed of trusted proxies only, and only where that is switched on.
func TestProxyHeaders(t *testing.T) {
	for name, tc := range map[string]struct {
		options server.Options
		want    string // prefix of the client
	}{
		"off":      {server.Options{TrustedProxies: []string{"127.0.0.1"}}, "127.0.0.1:"},
		"trusted":  {server.Options{TrustedProxies: []string{"127.0.0.1"}, ProxyHeaders: true}, "203.0.113.7:"},
		"network":  {server.Options{TrustedProxies: []string{"10.0.0.0/8", "127.0.0.0/8"}, ProxyHeaders: true}, "203.0.113.7:"},
		"stranger": {server.Options{TrustedProxies: []string{"10.0.0.1"}, ProxyHeaders: true}, "127.0.0.1:"},
		"no unix":  {server.Options{TrustedProxies: []string{"unix"}, ProxyHeaders: true}, "127.0.0.1:"},
	} {
		s := variant{}.serveTCP(t, addresses, tc.options)
		resp, err := s.peer().request(get + "X-Forwarded-For: 203.0.113.7\r\n\r\n")
		if err != nil || !strings.HasPrefix(resp.Header.Get("Client"), tc.want) {
			t.Errorf("%s: %v, %v, want the client %s", name, resp, err, tc.want)
		}
		p := s.open("X-Forwarded-For: 203.0.113.7")
		_, socket, err := p.receive()
		p.Close()
		if err != nil || !strings.HasPrefix(socket, tc.want) {
			t.Errorf("%s: WebSocket: %q, %v, want the client %s", name, socket, err, tc.want)
		}
		s.stop()
	}
	mustPanic(t, "ProxyHeaders without TrustedProxies", func() { server.New(pages, &server.Options{ProxyHeaders: true}) })
	mustPanic(t, "IPv4 address in the form of IPv6", func() { server.New(pages, &server.Options{TrustedProxies: []string{"::ffff:10.0.0.1"}}) })
}
