package middleware_test

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/middleware"
	"github.com/tideway-go/tideway/testing/asgitest"
)

// seenThrough returns the scope that an app sees of a request and of a WebSocket behind RealIP.
func seenThrough(t *testing.T, opts middleware.RealIPOptions, o asgitest.Options) (request, socket *asgi.Scope) {
	t.Helper()
	app := middleware.RealIP(&opts)(page(func(s *asgi.Scope) error {
		if s.Type() == asgi.HTTP {
			request = s
		} else {
			socket = s
		}
		return nil
	}))
	site := asgitest.New(t, app).With(&o)
	site.Request("GET", "/a%20b/")
	site.Dial("/a%20b/").Disconnect()
	return request, socket
}

// Case 177. Headers of proxies count from trusted peers only. The first address that no trusted proxy has is the client, with its
// port or 0; what is missing keeps what was there. (Daphne believes anybody, and takes the first address of all.)
func TestRealIPClient(t *testing.T) {
	ten := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")}
	lines := func(l ...string) []string { return l }
	const proxy = "10.0.0.1:99"
	for _, tc := range []struct {
		name    string
		trusted []netip.Prefix
		client  string
		header  []string
		want    string
	}{
		{"one", ten, proxy, lines("1.2.3.4"), "1.2.3.4:0"},
		{"case 177: no header", ten, proxy, nil, proxy},
		{"case 177: a port", ten, proxy, lines("1.2.3.4:5"), "1.2.3.4:5"},
		{"case 177: IPv6", ten, proxy, lines("2001:470::1"), "[2001:470::1]:0"},
		{"IPv6 with brackets", ten, proxy, lines("[2001:470::1]"), "[2001:470::1]:0"},
		{"IPv6 with a port", ten, proxy, lines("[2001:470::1]:5"), "[2001:470::1]:5"},
		{"IPv4 in IPv6", ten, proxy, lines("::ffff:1.2.3.4"), "1.2.3.4:0"},
		{"IPv4 in IPv6 with a port", ten, proxy, lines("[::ffff:1.2.3.4]:5"), "1.2.3.4:5"},
		{"case 177: a peer that is not trusted", ten, "192.0.2.1:99", lines("1.2.3.4"), "192.0.2.1:99"},
		{"what the client made up stands first", ten, proxy, lines("6.6.6.6, 1.2.3.4"), "1.2.3.4:0"},
		{"and in a header of its own", ten, proxy, lines("6.6.6.6", "1.2.3.4"), "1.2.3.4:0"},
		{"trusted proxies are skipped", ten, proxy, lines("6.6.6.6, 1.2.3.4, 10.0.0.2,10.0.0.3"), "1.2.3.4:0"},
		{"over several headers", ten, proxy, lines("6.6.6.6, 1.2.3.4", "10.0.0.2", "10.0.0.3"), "1.2.3.4:0"},
		{"of IPv6 too", ten, "[2001:db8::1]:99", lines("1.2.3.4, 2001:db8::2"), "1.2.3.4:0"},
		{"a trusted peer, mapped", ten, "[::ffff:10.0.0.1]:99", lines("1.2.3.4"), "1.2.3.4:0"},
		{"a trusted peer with a zone", ten, "[2001:db8::1%eth0]:99", lines("1.2.3.4"), "1.2.3.4:0"},
		{"only proxies", ten, proxy, lines("10.0.0.3, 10.0.0.2"), "10.0.0.3:0"},
		{"no address at the end", ten, proxy, lines("1.2.3.4, unknown"), proxy},
		{"no address in between", ten, proxy, lines("1.2.3.4, unknown, 10.0.0.2"), "10.0.0.2:0"},
		{"an empty header", ten, proxy, lines(""), proxy},
		{"an empty entry", ten, proxy, lines("1.2.3.4,"), proxy},
		{"brackets around IPv4", ten, proxy, lines("[1.2.3.4]"), proxy},
		{"half a bracket", ten, proxy, lines("[2001:470::1"), proxy},
		{"a port too large", ten, proxy, lines("1.2.3.4:66666"), proxy},
		{"by default the loopback is trusted", nil, "127.0.0.5:99", lines("1.2.3.4"), "1.2.3.4:0"},
		{"of IPv6 too", nil, "[::1]:99", lines("1.2.3.4"), "1.2.3.4:0"},
		{"and nobody else", nil, proxy, lines("1.2.3.4"), proxy},
		{"a list replaces the loopback", ten, "127.0.0.1:99", lines("1.2.3.4"), "127.0.0.1:99"},
		{"an address is a prefix", []netip.Prefix{netip.MustParsePrefix("10.0.0.1/32")}, proxy, lines("1.2.3.4, 10.0.0.2"), "10.0.0.2:0"},
	} {
		request, socket := seenThrough(t, middleware.RealIPOptions{Proxies: middleware.Proxies{Trusted: tc.trusted}}, asgitest.Options{Client: tc.client,
			Header: http.Header{"X-Forwarded-For": tc.header, "Forwarded": {"for=9.9.9.9;proto=https"}}})
		if request.Client() != tc.want || socket.Client() != tc.want || request.Scheme() != "http" {
			t.Errorf("%s: a request of %s (%s), a socket of %s, want %s", tc.name, request.Client(), request.Scheme(), socket.Client(), tc.want)
		}
		if middleware.PeerOf(request) != tc.client || middleware.PeerOf(socket) != tc.client {
			t.Errorf("%s: the peer is %s", tc.name, middleware.PeerOf(request))
		}
		if got := request.Header()["X-Forwarded-For"]; len(got) != len(tc.header) {
			t.Errorf("%s: the app sees the header %q", tc.name, got)
		}
	}
}

// A peer on a Unix socket has no address.
func TestRealIPUnixSocket(t *testing.T) {
	for _, tc := range []struct {
		trust          bool
		client, server string
		want           string
	}{
		{true, "", "/run/app.sock", "1.2.3.4:0"},
		{true, "/run/client.sock", "@app", "1.2.3.4:0"},
		{false, "", "/run/app.sock", ""},
		{true, "", "10.0.0.1:80", ""}, // TCP, by a server that does not know the peer
		{true, "", "", ""},
		{true, "192.0.2.1:9", "/run/app.sock", "192.0.2.1:9"}, // the PROXY protocol over a Unix socket
	} {
		request, _ := seenThrough(t, middleware.RealIPOptions{Proxies: middleware.Proxies{UnixSocket: tc.trust}}, asgitest.Options{
			Header: http.Header{"X-Forwarded-For": {"1.2.3.4"}},
			Scope: func(s *asgi.Scope) *asgi.Scope {
				return s.Derive(func(f *asgi.Fields) { f.Client, f.Server = tc.client, tc.server })
			}})
		if request.Client() != tc.want {
			t.Errorf("client %q at %q, trusted %v: got %q, want %q", tc.client, tc.server, tc.trust, request.Client(), tc.want)
		}
	}
}

// Case 177. The scheme that a proxy tells, and with Host the host and the port.
func TestRealIPSchemeAndHost(t *testing.T) {
	type header = map[string]string
	for _, tc := range []struct {
		name   string
		host   bool
		header header
		want   string // scheme of a request, scheme of a socket, host
	}{
		{"nothing", true, nil, "http ws a.com"},
		{"case 177: https", false, header{"X-Forwarded-Proto": "https"}, "https wss a.com"},
		{"wss", false, header{"X-Forwarded-Proto": "WSS"}, "https wss a.com"},
		{"http", false, header{"X-Forwarded-Proto": "http"}, "http ws a.com"},
		{"the nearest proxy's word", false, header{"X-Forwarded-Proto": "https, http"}, "http ws a.com"},
		{"no such scheme", false, header{"X-Forwarded-Proto": "gopher"}, "http ws a.com"},
		{"a host, not asked for", false, header{"X-Forwarded-Host": "b.com", "X-Forwarded-Port": "81"}, "http ws a.com"},
		{"a host", true, header{"X-Forwarded-Host": "b.com"}, "http ws b.com"},
		{"the last host", true, header{"X-Forwarded-Host": "evil.com, b.com:1"}, "http ws b.com:1"},
		{"no host", true, header{"X-Forwarded-Host": "b.com/x"}, "http ws a.com"},
		{"an empty host", true, header{"X-Forwarded-Host": ""}, "http ws a.com"},
		{"a port", true, header{"X-Forwarded-Port": "81"}, "http ws a.com:81"},
		{"host and port", true, header{"X-Forwarded-Host": "b.com", "X-Forwarded-Port": "81"}, "http ws b.com:81"},
		{"the host has a port", true, header{"X-Forwarded-Host": "b.com:82", "X-Forwarded-Port": "81"}, "http ws b.com:82"},
		{"the scheme's port", true, header{"X-Forwarded-Proto": "https", "X-Forwarded-Port": "443"}, "https wss a.com"},
		{"no port", true, header{"X-Forwarded-Port": "x"}, "http ws a.com"},
		{"a port too large", true, header{"X-Forwarded-Port": "65536"}, "http ws a.com"},
		{"IPv6", true, header{"X-Forwarded-Host": "[::1]", "X-Forwarded-Port": "81"}, "http ws [::1]:81"},
	} {
		for client, believed := range map[string]bool{"127.0.0.1:9": true, "192.0.2.1:9": false} {
			h := http.Header{}
			for name, value := range tc.header {
				h.Set(name, value)
			}
			want := tc.want
			if !believed {
				want = "http ws a.com"
			}
			request, socket := seenThrough(t, middleware.RealIPOptions{Host: tc.host}, asgitest.Options{Client: client, Host: "a.com", Header: h})
			got := request.Scheme() + " " + socket.Scheme() + " " + request.Host()
			if got != want || socket.Host() != request.Host() {
				t.Errorf("%s, from %s: got %s and %s, want %s", tc.name, client, got, socket.Host(), want)
			}
		}
	}
}

// Case 178. The header with the root path is decoded, goes in front of the path and is removed, whoever sent it. One that is no path to
// mount something under, such as another host's, counts as none.
func TestRealIPRootPath(t *testing.T) {
	for _, tc := range []struct {
		client, header      string
		root, path, rawPath string
	}{
		{"127.0.0.1:9", "/li%76e", "/live/app", "/live/a b/", "/live/a%20b/"},
		{"127.0.0.1:9", "/x%20y/", "/x y/app", "/x y/a b/", "/x%20y/a%20b/"},
		{"127.0.0.1:9", "", "/app", "/a b/", "/a%20b/"},
		{"127.0.0.1:9", "/", "/app", "/a b/", "/a%20b/"},
		{"127.0.0.1:9", "live", "/app", "/a b/", "/a%20b/"},
		{"127.0.0.1:9", "/%zz", "/app", "/a b/", "/a%20b/"},
		{"127.0.0.1:9", "/a%0Ab", "/app", "/a b/", "/a%20b/"},
		{"127.0.0.1:9", "//evil.example", "/app", "/a b/", "/a%20b/"},
		{"127.0.0.1:9", `/\evil.example`, "/app", "/a b/", "/a%20b/"},
		{"127.0.0.1:9", "/a/%2E%2E/b", "/app", "/a b/", "/a%20b/"},
		{"192.0.2.1:9", "/live", "/app", "/a b/", "/a%20b/"},
	} {
		request, socket := seenThrough(t, middleware.RealIPOptions{RootPath: "daphne-root-path"}, asgitest.Options{Client: tc.client,
			Header: http.Header{"Daphne-Root-Path": {tc.header}, "X-Other": {"1"}},
			Scope: func(s *asgi.Scope) *asgi.Scope {
				return s.Derive(func(f *asgi.Fields) { f.RootPath = "/app" })
			}})
		for _, s := range []*asgi.Scope{request, socket} {
			if s.RootPath() != tc.root || s.Path() != tc.path || s.RawPath() != tc.rawPath {
				t.Errorf("%q from %s: got root %q, path %q, raw %q", tc.header, tc.client, s.RootPath(), s.Path(), s.RawPath())
			}
			if _, ok := s.Header()["Daphne-Root-Path"]; ok || s.Header().Get("X-Other") != "1" {
				t.Errorf("%q from %s: the app sees %v", tc.header, tc.client, s.Header())
			}
		}
	}
	request, _ := seenThrough(t, middleware.RealIPOptions{}, asgitest.Options{Client: "127.0.0.1:9", Header: http.Header{"X-Forwarded-Prefix": {"/live"}}})
	if request.RootPath() != "" || request.Header().Get("X-Forwarded-Prefix") != "/live" {
		t.Errorf("a root path that was not asked for: %q %v", request.RootPath(), request.Header())
	}
}

// Forwarded, RFC 7239, instead of the X-Forwarded headers.
func TestRealIPForwarded(t *testing.T) {
	for _, tc := range []struct {
		name  string
		lines []string
		want  string // client, scheme, host
	}{
		{"nothing", nil, "10.0.0.1:99 http a.com"},
		{"an address", []string{"for=1.2.3.4"}, "1.2.3.4:0 http a.com"},
		{"everything", []string{`for="1.2.3.4:5";proto=https;host=b.com;by=10.0.0.1`}, "1.2.3.4:5 https b.com"},
		{"in capitals", []string{`For="1.2.3.4:5" ; PROTO=HTTPS;Host="b.com:1"`}, "1.2.3.4:5 https b.com:1"},
		{"IPv6", []string{`for="[2001:470::1]:5"`}, "[2001:470::1]:5 http a.com"},
		{"without quotes", []string{`for=[2001:470::1]`}, "[2001:470::1]:0 http a.com"},
		{"made up by the client", []string{"for=6.6.6.6;host=evil.com;proto=https, for=1.2.3.4"}, "1.2.3.4:0 http a.com"},
		{"in a header of its own", []string{"for=6.6.6.6;host=evil.com", "for=1.2.3.4;host=b.com"}, "1.2.3.4:0 http b.com"},
		{"a header for each proxy", []string{"for=6.6.6.6", "for=1.2.3.4;host=b.com", "for=10.0.0.2"}, "1.2.3.4:0 http b.com"},
		{"through two proxies", []string{"for=6.6.6.6;host=evil.com, for=1.2.3.4;host=b.com;proto=https, for=10.0.0.2;host=c.com;proto=http"}, "1.2.3.4:0 https b.com"},
		{"the outer one says no scheme", []string{"for=1.2.3.4, for=10.0.0.2;proto=https"}, "1.2.3.4:0 https a.com"},
		{"only proxies", []string{"for=10.0.0.3;host=b.com, for=10.0.0.2"}, "10.0.0.3:0 http b.com"},
		{"unknown", []string{"for=6.6.6.6, for=unknown;proto=https"}, "10.0.0.1:99 https a.com"},
		{"a hidden name", []string{`for=6.6.6.6, for="_hidden", for=10.0.0.2`}, "10.0.0.2:0 http a.com"},
		{"no address at all", []string{"for=6.6.6.6, proto=https"}, "10.0.0.1:99 https a.com"},
		{"a comma in quotes", []string{`for=6.6.6.6;ext=", for=7.7.7.7", for=1.2.3.4`}, "1.2.3.4:0 http a.com"},
		{"a quote in quotes", []string{`for=1.2.3.4;ext="\", for=7.7.7.7"`}, "1.2.3.4:0 http a.com"},
		{"empty elements", []string{", ;,for=1.2.3.4;,"}, "1.2.3.4:0 http a.com"},
		{"a bad host", []string{"for=1.2.3.4;host=b/c"}, "1.2.3.4:0 http a.com"},
		{"no end of quotes", []string{`for=6.6.6.6;ext=", for=1.2.3.4`}, "refused: has no end"},
		{"a backslash at the end", []string{`for="\`}, "refused: has no end"},
		{"no value", []string{"for"}, "refused: expected name=value"},
		{"a space in a name", []string{"a b=c"}, "refused: expected name=value"},
		{"no name", []string{"=1.2.3.4"}, "refused: expected name=value"},
		{"two values", []string{"for=1.2.3.4 5.6.7.8"}, "refused: expected a comma"},
		{"text after quotes", []string{`for="1.2.3.4"x`}, "refused: expected a comma"},
		{"twice", []string{"for=1.2.3.4;FOR=5.6.7.8"}, "refused: \"for\" is there twice"},
	} {
		opts := middleware.RealIPOptions{Proxies: middleware.Proxies{Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}, Forwarded: true, Host: true}
		o := asgitest.Options{Client: "10.0.0.1:99", Host: "a.com", Header: http.Header{"Forwarded": tc.lines,
			"X-Forwarded-For": {"9.9.9.9"}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"evil.com"}}}
		if why, refused := strings.CutPrefix(tc.want, "refused: "); refused {
			site := asgitest.New(t, middleware.RealIP(&opts)(page(nil))).With(&o)
			if r := site.Refused("/"); r.Status != 400 || !strings.Contains(r.Err.Error(), why) || site.Request("GET", "/").Status != 400 {
				t.Errorf("%s: got %v, want 400 and %q", tc.name, r, why)
			}
			continue
		}
		request, socket := seenThrough(t, opts, o)
		if got := request.Client() + " " + request.Scheme() + " " + request.Host(); got != tc.want || socket.Client() != request.Client() {
			t.Errorf("%s: got %s, want %s", tc.name, got, tc.want)
		}
		opts.Host = false
		if request, _ := seenThrough(t, opts, o); request.Host() != "a.com" {
			t.Errorf("%s: the host %s was not asked for", tc.name, request.Host())
		}
	}
	// From a peer that is not trusted nothing is read, and nothing refused.
	request, _ := seenThrough(t, middleware.RealIPOptions{Forwarded: true}, asgitest.Options{Client: "192.0.2.1:1", Header: http.Header{"Forwarded": {`"`}}})
	if request.Client() != "192.0.2.1:1" {
		t.Errorf("got %s", request.Client())
	}
}

// Whatever a client writes in front of what the proxy appends, it does not become the client: with X-Forwarded-For it is
// skipped, and with Forwarded it is skipped or the request refused.
func FuzzRealIP(f *testing.F) {
	for _, s := range []string{"", "6.6.6.6", "for=6.6.6.6", `for="`, `for="\`, "a=b;", ",", "for=6.6.6.6;host=evil"} {
		f.Add(s, true)
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, made string, separate bool) {
		for name, proxy := range map[string]string{"X-Forwarded-For": "1.2.3.4", "Forwarded": "for=1.2.3.4;host=b.com"} {
			lines := []string{made, proxy}
			if !separate {
				lines = []string{made + ", " + proxy}
			}
			var got *asgi.Scope
			app := middleware.RealIP(&middleware.RealIPOptions{Forwarded: name == "Forwarded", Host: true})(asgi.AppFunc(
				func(_ context.Context, s *asgi.Scope, _ asgi.Receive, _ asgi.Send) error { got = s; return nil }))
			err := app.Serve(t.Context(), asgi.NewScope(asgi.Fields{Type: asgi.HTTP, Client: "127.0.0.1:1", Header: http.Header{name: lines}}), nil, nil)
			switch {
			case err != nil && name == "Forwarded":
			case err != nil || got.Client() != "1.2.3.4:0" || name == "Forwarded" && got.Host() != "b.com":
				t.Errorf("%s %q: got %v, %v", name, lines, got, err)
			}
		}
	})
}

func TestRealIPPanics(t *testing.T) {
	for _, prefix := range []netip.Prefix{{}, netip.MustParsePrefix("::ffff:10.0.0.0/104")} {
		panicsWith(t, "asgi/middleware: RealIP: ", "netip.MustParsePrefix", func() {
			middleware.RealIP(&middleware.RealIPOptions{Proxies: middleware.Proxies{Trusted: []netip.Prefix{prefix}}})
		})
	}
}

// Where two of them stand in one stack, the second reads on from the client that the first has found, and the peer is still the one
// at the other end of the connection.
func TestRealIPPeerOfTwo(t *testing.T) {
	var got *asgi.Scope
	near := middleware.RealIP(nil)
	far := middleware.RealIP(&middleware.RealIPOptions{Proxies: middleware.Proxies{Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}})
	app := near(far(page(func(s *asgi.Scope) error { got = s; return nil })))
	asgitest.New(t, app).With(&asgitest.Options{Client: "127.0.0.1:1", Header: http.Header{"X-Forwarded-For": {"1.2.3.4, 10.0.0.9"}}}).Request("GET", "/")
	if got.Client() != "1.2.3.4:0" || middleware.PeerOf(got) != "127.0.0.1:1" {
		t.Errorf("got %s, the peer %s; want 1.2.3.4:0, 127.0.0.1:1", got.Client(), middleware.PeerOf(got))
	}
}

// Within itself it changes nothing more.
func TestRealIPNests(t *testing.T) {
	var got *asgi.Scope
	one := middleware.RealIP(&middleware.RealIPOptions{RootPath: "X-Forwarded-Prefix"})
	app := one(one(page(func(s *asgi.Scope) error { got = s; return nil })))
	asgitest.New(t, app).With(&asgitest.Options{Client: "127.0.0.1:1", Header: http.Header{"X-Forwarded-For": {"6.6.6.6, 1.2.3.4"},
		"X-Forwarded-Prefix": {"/live"}}}).Request("GET", "/")
	if got.Client() != "1.2.3.4:0" || got.RootPath() != "/live" || middleware.PeerOf(got) != "127.0.0.1:1" {
		t.Errorf("got %s and %s, the peer %s", got.Client(), got.RootPath(), middleware.PeerOf(got))
	}
}
