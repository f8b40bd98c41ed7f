package middleware

import (
	"fmt"
	"net/netip"
)

// Proxies are the peers that are believed in what they say about a client. The zero value believes a proxy on the same machine.
type Proxies struct {
	// Trusted are the addresses of the proxies, such as netip.MustParsePrefix("10.1.0.0/16"). Whoever can connect
	// from one of them can claim to be anybody, so list proxies and not networks where others live too; with 0.0.0.0/0 every
	// client is believed. Default: the loopback, 127.0.0.0/8 and ::1, which any user of the machine can connect from.
	Trusted []netip.Prefix
	// UnixSocket trusts peers on a Unix socket, which have no address. The permissions of the socket's file decide who that
	// is. Default: they are not trusted.
	UnixSocket bool
}

// checked fills in the default. It panics on what no address is in.
func (p Proxies) checked(caller string) Proxies {
	if len(p.Trusted) == 0 {
		p.Trusted = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	}
	for _, prefix := range p.Trusted {
		if !prefix.IsValid() || prefix.Addr().Is4In6() {
			panic(fmt.Sprintf("asgi/middleware: %s: Trusted has %v, which no peer's address is in: write netip.MustParsePrefix(\"10.1.0.0/16\")", caller, prefix))
		}
	}
	return p
}

// hasPeer reports whether the peer of a connection is one of them.
func (p Proxies) hasPeer(of peer) bool {
	client, err := netip.ParseAddrPort(of.client)
	if err != nil {
		_, err := netip.ParseAddrPort(of.server)
		return err != nil && of.server != "" && p.UnixSocket
	}
	return p.has(client.Addr())
}

func (p Proxies) has(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	for _, prefix := range p.Trusted {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}
