package server_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
)

// afterHeader is a request that ends its connection.
const afterHeader = get + "Connection: close\r\n\r\n"

// FuzzProxyProtocol puts any bytes before a request to a listener that expects the PROXY protocol. An application sees a request only
// below a header that the specification allows, and the client that it names; the request after such a header is answered; any
// other connection is closed, nothing panics, and a fresh client is served.
func FuzzProxyProtocol(f *testing.F) {
	v2 := func(command, family byte, rest string) string {
		return signature2 + string(binary.BigEndian.AppendUint16([]byte{command, family}, uint16(len(rest)))) + rest
	}
	addrs4, addrs6 := "\xcb\x00\x71\x07\xc6\x33\x64\x01\x12\x67\x01\xbb", strings.Repeat("\x20\x01\x0d\xb8\x00\x00\x00\x01", 4)+"\x12\x67\x01\xbb"
	for _, header := range []string{
		"", "PROXY", "PROXY TCP4 203.0.113.7 198.51.100.1 4711 443\r\n", "PROXY TCP6 2001:db8::1 2001:db8::2 4711 443\r\n",
		"PROXY TCP6 ::ffff:203.0.113.7 ::1 1 2\r\n", "PROXY UNKNOWN\r\n", "PROXY UNKNOWN 203.0.113.7 198.51.100.1 4711 443\r\n",
		"PROXY TCP4 203.0.113.7 198.51.100.1 04711 443\r\n", "PROXY TCP4 203.0.113.7 198.51.100.1 4711 65536\r\n", "PROXY TCP4 203.0.113.7 198.51.100.1 4711 443\n",
		"PROXY TCP4 2001:db8::1 2001:db8::2 4711 443\r\n", "PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n", "PROXY TCP4 203.0.113.7 198.51.100.1 4711 443 5\r\n",
		"PROXY TCP4 203.0.113.7 198.51.100.1 4711 443\r\nPROXY TCP4 192.0.2.9 198.51.100.1 1 2\r\n", "PROXY UNKNOWN " + strings.Repeat("x", 93) + "\r\n",
		"PROXYTCP4 203.0.113.7 198.51.100.1 4711 443\r\n", "PROXY TCP4 203.0.113.7\r\n4 198.51.100.1 1 2\r\n", "PROXY TCP4 203.0.113.7 198.51.100.1 4711 443\r\n" + get + "\r\n",
		v2(0x21, 0x11, addrs4), v2(0x21, 0x12, addrs4), v2(0x21, 0x21, addrs6), v2(0x21, 0x31, strings.Repeat("/a\x00", 72)), v2(0x20, 0x00, ""), v2(0x20, 0x11, addrs4),
		v2(0x21, 0x11, addrs4+"\x04\x00\x01x"), v2(0x21, 0x11, addrs4[:11]), v2(0x21, 0x13, addrs4), v2(0x22, 0x11, addrs4), v2(0x31, 0x11, addrs4), v2(0x21, 0x00, addrs4),
		v2(0x20, 0x11, "x"), v2(0x20, 0x00, strings.Repeat("x", 5000)), v2(0x21, 0x11, addrs4)[:20], signature2, signature2[:7],
	} {
		f.Add(header)
	}
	f.Fuzz(func(t *testing.T, header string) {
		synctest.Test(t, func(t *testing.T) { fuzzProxy(t, header) })
	})
}

// fuzzProxy is one try of FuzzProxyProtocol.
func fuzzProxy(t *testing.T, header string) {
	var seen []string // the clients of requests, one after the other
	app := asgi.AppFunc(func(_ context.Context, scope *asgi.Scope, _ asgi.Receive, _ asgi.Send) error {
		if scope.Type() == asgi.Lifespan {
			return errors.ErrUnsupported
		}
		seen = append(seen, scope.Client())
		return asgi.Deny{Status: 204}
	})
	ln := newPipes()
	s := variant{}.serveOn(t, localPipes{ln}, ln.dial, app, server.Options{ProxyProtocol: true, TrustedProxies: []string{"unix"}})
	p := s.peer()
	go io.WriteString(p, header+afterHeader) // ends when the server has closed the connection, or the test
	if _, err := io.ReadAll(p); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%q: the connection stays open", header)
	}
	p.Close()
	synctest.Wait()
	want, size := proxyHeader(header + afterHeader)
	for _, client := range seen {
		if size == 0 || client != want {
			t.Errorf("%q: the application saw the client %q, want %q after %d bytes", header, client, want, size)
		}
	}
	if size > 0 && size == len(header) && len(seen) != 1 {
		t.Errorf("%q: the application saw %d requests, want 1", header, len(seen))
	}
	seen = nil
	fresh, err := proxied(s, 2)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := fresh.request(afterHeader); err != nil || resp.StatusCode != 204 || !slices.Equal(seen, []string{"203.0.113.7:4711"}) {
		t.Errorf("%q: a fresh client: %v, %v, seen as %q", header, resp, err, seen)
	}
	fresh.Close()
	for _, line := range s.logs.All() {
		if strings.Contains(line.Message, "panic") {
			t.Errorf("%q: %s", header, line.Message)
		}
	}
}

const signature2 = "\r\n\r\n\x00\r\nQUIT\n"

var (
	header1      = regexp.MustCompile(`^PROXY (TCP4|TCP6) ([0-9A-Fa-f:.]+) ([0-9A-Fa-f:.]+) (0|[1-9]\d{0,4}) (0|[1-9]\d{0,4})\r\n`)
	headerNobody = regexp.MustCompile(`^PROXY UNKNOWN( [^\n]*)?\r\n`)
)

// proxyHeader reads a header of the PROXY protocol as plainly as possible: the client that it names, "" for the peer itself, and its
// length; 0 if it is none.
func proxyHeader(s string) (client string, size int) {
	if m := headerNobody.FindString(s); m != "" && len(m) <= 107 {
		return "", len(m)
	}
	if m := header1.FindStringSubmatch(s); m != nil {
		src, err1 := netip.ParseAddr(m[2])
		dst, err2 := netip.ParseAddr(m[3])
		sport, _ := strconv.Atoi(m[4])
		dport, _ := strconv.Atoi(m[5])
		four := m[1] == "TCP4"
		if err1 != nil || err2 != nil || src.Is4() != four || dst.Is4() != four || sport > 65535 || dport > 65535 || len(m[0]) > 107 {
			return "", 0
		}
		return netip.AddrPortFrom(src.Unmap(), uint16(sport)).String(), len(m[0])
	}
	rest, ok := strings.CutPrefix(s, signature2)
	if !ok || len(rest) < 4 {
		return "", 0
	}
	command, family, length := rest[0], rest[1], int(binary.BigEndian.Uint16([]byte(rest[2:4])))
	known := strings.IndexByte("\x00\x11\x12\x21\x22\x31\x32", family) >= 0
	if rest = rest[4:]; command != 0x20 && command != 0x21 || !known || length > len(rest) || length > 4096 { // the library's limit
		return "", 0
	}
	size = len(signature2) + 4 + length
	least := map[byte]int{0: 1 << 16, 1: 12, 2: 36, 3: 216}[family>>4]
	switch {
	case command == 0x20:
		return "", size
	case length < least:
		return "", 0
	case family>>4 == 1:
		return portOf(rest[:4], rest[8:10]), size
	case family>>4 == 2:
		return portOf(rest[:16], rest[32:34]), size
	}
	name, _, _ := strings.Cut(rest[:108], "\x00")
	if name == "@" {
		name = ""
	}
	return name, size
}

// portOf writes an address in bytes as text.
func portOf(ip, port string) string {
	addr, _ := netip.AddrFromSlice([]byte(ip))
	return netip.AddrPortFrom(addr.Unmap(), binary.BigEndian.Uint16([]byte(port))).String()
}
