package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/pires/go-proxyproto"
	"go.uber.org/zap"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/middleware"
)

// peers are those that are trusted to say who their clients are.
type peers struct {
	unix     bool // those of Unix sockets
	prefixes []netip.Prefix
}

// parsePeers panics on an entry that names nobody.
func parsePeers(list []string) peers {
	var p peers
	for _, s := range list {
		if s == "unix" {
			p.unix = true
			continue
		}
		prefix, err := netip.ParsePrefix(s)
		if err != nil && !strings.Contains(s, "/") {
			var addr netip.Addr
			if addr, err = netip.ParseAddr(s); err == nil {
				prefix = netip.PrefixFrom(addr, addr.BitLen())
			}
		}
		if err == nil && prefix.Addr().Is4In6() {
			err = errors.New("it is an IPv4 address in the form of IPv6, which no peer has")
		}
		if err != nil {
			panic(fmt.Sprintf("asgi/server: New: Options.TrustedProxies: %q: %v: write an address such as \"10.0.0.7\", a network such as \"10.0.0.0/8\", or \"unix\"", s, err))
		}
		p.prefixes = append(p.prefixes, prefix.Masked())
	}
	return p
}

// warn writes a line where the list does nothing, and where it says everybody: either may be meant, behind a firewall or while
// a switch is off for a day.
func (p *peers) warn(o *Options) {
	protocol := slices.ContainsFunc(o.Listeners, func(l Listener) bool { return l.ProxyProtocol })
	if len(o.TrustedProxies) > 0 && !o.ProxyHeaders && !protocol {
		o.Logger.Warn("Options.TrustedProxies does nothing: nobody is asked who the clients are", zap.Strings("trusted", o.TrustedProxies),
			zap.String("hint", "set server.Options.ProxyHeaders for a proxy that writes X-Forwarded-For, or ProxyProtocol"))
	}
	for _, prefix := range p.prefixes {
		if prefix.Bits() == 0 {
			o.Logger.Warn("Options.TrustedProxies believes everybody: any client may claim any address", zap.Stringer("trusted", prefix),
				zap.String("hint", "write the address or the network of the proxy"))
		}
	}
}

// nobody is a network that no peer is in.
var nobody = netip.MustParsePrefix("::/128")

// believing reads the headers of trusted proxies (Options.ProxyHeaders): an app of which only the scope is wanted that it hands on.
func (p *peers) believing() asgi.App {
	trusted := middleware.Proxies{Trusted: p.prefixes, UnixSocket: p.unix}
	if len(trusted.Trusted) == 0 {
		trusted.Trusted = []netip.Prefix{nobody} // the default there is the loopback
	}
	return middleware.RealIP(&middleware.RealIPOptions{Proxies: trusted})(asgi.AppFunc(func(ctx context.Context, seen *asgi.Scope, _ asgi.Receive, _ asgi.Send) error {
		*ctx.Value(seenKey{}).(**asgi.Scope) = seen
		return nil
	}))
}

// seenKey finds in believing's ctx where the scope goes.
type seenKey struct{}

// clientSeen is scope with what trusted proxies say of the client, so that the server's own lines name it too.
func (s *Server) clientSeen(scope *asgi.Scope) *asgi.Scope {
	if s.believe == nil {
		return scope
	}
	seen := scope
	if s.believe.Serve(context.WithValue(context.Background(), seenKey{}, &seen), scope, nil, nil) != nil {
		return scope // an error needs the header Forwarded, which is not read here
	}
	return seen
}

// trust reports whether a is the address of a trusted peer.
func (p *peers) trust(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return p.unix && a.Network() == "unix"
	}
	addr := tcp.AddrPort().Addr().Unmap().WithZone("")
	for _, prefix := range p.prefixes {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// behindProxy is ln with the PROXY protocol in front (Listener.ProxyProtocol).
func (s *Server) behindProxy(ln net.Listener) net.Listener {
	timeout := s.opts.HeaderTimeout
	if timeout == 0 {
		timeout = -1 // off, as for the request
	}
	return &proxyproto.Listener{Listener: ln, ReadHeaderTimeout: timeout, ConnPolicy: func(o proxyproto.ConnPolicyOptions) (proxyproto.Policy, error) {
		if s.proxies.trust(o.Upstream) {
			return proxyproto.REQUIRE, nil
		}
		s.log.Warn("proxy protocol: connection closed: not a trusted proxy", zap.Stringer("peer", o.Upstream),
			zap.String("hint", "to trust it, add it to server.Options.TrustedProxies"))
		return proxyproto.REJECT, proxyproto.ErrInvalidUpstream
	}}
}

// below is the connection under the PROXY protocol, once that has been read: net/http has read the whole request, and so has
// emptied what the protocol's reader held.
func below(nc net.Conn) net.Conn {
	if p, ok := nc.(*proxyproto.Conn); ok {
		return p.Raw()
	}
	return nc
}
