package middleware

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/internal/origin"
	"github.com/tideway-go/tideway/asgi/internal/rootpath"
	"github.com/tideway-go/tideway/asgi/internal/wrap"
)

// RealIPOptions say which proxies are believed, and what. Nil and the zero value believe a proxy on the same machine.
//
// Each field that believes a header asks for a proxy that sets that header itself or removes it: a header that the proxy
// passes on as it came is the client's own invention.
type RealIPOptions struct {
	// Proxies are those that are believed. Default: whoever connects from the loopback.
	Proxies Proxies
	// Forwarded reads the header Forwarded (RFC 7239), of which host too is believed only with Host, instead of
	// X-Forwarded-For and X-Forwarded-Proto. Never are both read, because a proxy writes one family and passes the
	// other on from the client. Default: X-Forwarded-*.
	Forwarded bool
	// Host believes X-Forwarded-Host and X-Forwarded-Port, or the host of Forwarded. Many proxies pass these on without a
	// look; without them, and a proxy that keeps the Host header (nginx: proxy_set_header Host $host), the Host header says
	// it already. Default: they are ignored.
	Host bool
	// RootPath names a header in which the proxy says under which path it has mounted the application, percent-encoded, and
	// which it has cut off: "X-Forwarded-Prefix", "Daphne-Root-Path". It goes in front of the scope's RootPath, Path and
	// RawPath as the server's Options.RootPath does. No app sees the header. Default "": there is none.
	RootPath string
}

// RealIP puts what a trusted proxy says about the client in the place of what the connection shows, which is the proxy:
// [asgi.Scope.Client] and the scheme, and if asked for the host and the root path. Everything further in then sees the client:
// limits, logs, and cookies, which are Secure where the client uses https.
//
// Anybody can write an X-Forwarded-For header, and what a proxy receives it passes on with its own peer's address at the end. So
// headers count only if the peer itself is trusted, and the list is read from its end: addresses of trusted proxies are
// skipped, and the first other one is the client, the last that somebody trusted has seen. What stands before it is hearsay.
// If all are trusted, the first is the client. At an entry that is no address, such as "unknown", reading ends, and the
// client is the proxy that wrote it. The client's port is 0 unless the proxy names it.
//
// Of X-Forwarded-Proto, -Host and -Port the last value counts, which is the nearest proxy's; values that make no sense
// are ignored. Of Forwarded it is the element that names the client; a Forwarded header that cannot be parsed is refused
// with 400, since its end may be part of the client's beginning. The headers stay in the scope.
//
// The server's own check of origins comes before any middleware: it compares with the Host header, so let the proxy keep
// that, or name the site in the server's Options.Origins. For proxies that speak the PROXY protocol see the server's options.
func RealIP(opts *RealIPOptions) asgi.Middleware {
	var o RealIPOptions
	if opts != nil {
		o = *opts
	}
	o.Proxies = o.Proxies.checked("RealIP")
	if o.RootPath != "" {
		wrap.NeedHeader("asgi/middleware: RealIP: RootPath", o.RootPath, "X-Forwarded-Prefix")
		o.RootPath = http.CanonicalHeaderKey(o.RootPath)
	}
	p := believer{o}
	return func(app asgi.App) asgi.App {
		wrap.NeedApp("asgi/middleware: RealIP", app)
		return asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
			if wrap.Concerns(scope) {
				seen, err := p.look(scope)
				if err != nil {
					return err
				}
				if _, known := peerKey.Get(scope); !known && seen != scope {
					seen = peerKey.With(seen, peer{scope.Client(), scope.Server()})
				}
				scope = seen
			}
			return app.Serve(ctx, scope, receive, send)
		})
	}
}

// PeerOf is the address at the other end of the connection itself, the proxy's where [RealIP] has put the client's into the scope.
func PeerOf(scope *asgi.Scope) string {
	if p, ok := peerKey.Get(scope); ok {
		return p.client
	}
	return scope.Client()
}

// peer is the two ends of a connection.
type peer struct{ client, server string }

var peerKey = asgi.NewKey[peer]("peer")

// A believer has the options with the defaults filled in.
type believer struct{ opts RealIPOptions }

// told is what a proxy says; empty is nothing.
type told struct{ client, scheme, host, port, rootPath string }

// look returns the scope as the client would see it.
func (p *believer) look(scope *asgi.Scope) (*asgi.Scope, error) {
	header := scope.Header()
	_, hasRoot := header[p.opts.RootPath]
	if !p.opts.Proxies.hasPeer(peer{scope.Client(), scope.Server()}) {
		if hasRoot {
			scope = scope.Derive(func(f *asgi.Fields) { delete(f.Header, p.opts.RootPath) })
		}
		return scope, nil
	}
	t, err := p.read(header)
	if err != nil {
		deny := asgi.Deny{Status: http.StatusBadRequest, Body: []byte("The Forwarded header is malformed.\n")}
		return nil, fmt.Errorf("middleware: header Forwarded of the proxy %q: %w: %w", scope.Client(), err, deny)
	}
	if hasRoot {
		t.rootPath = rootPath(last(header, p.opts.RootPath))
	}
	if t == (told{}) && !hasRoot {
		return scope, nil
	}
	return scope.Derive(func(f *asgi.Fields) {
		t.apply(f)
		delete(f.Header, p.opts.RootPath)
	}), nil
}

func (p *believer) read(header http.Header) (told, error) {
	if p.opts.Forwarded {
		return p.readForwarded(header["Forwarded"])
	}
	t := told{client: p.clientOf(header["X-Forwarded-For"]), scheme: last(header, "X-Forwarded-Proto")}
	if p.opts.Host {
		t.host = last(header, "X-Forwarded-Host")
		t.port = last(header, "X-Forwarded-Port")
	}
	return t, nil
}

// clientOf reads X-Forwarded-For from its end. It returns "" where nothing can be read.
func (p *believer) clientOf(lines []string) (client string) {
	for i := len(lines) - 1; i >= 0; i-- {
		for rest, comma := lines[i], 0; comma >= 0; {
			comma = strings.LastIndexByte(rest, ',')
			entry := rest[comma+1:]
			rest = rest[:max(comma, 0)]
			addr, ok := parseNode(strings.TrimSpace(entry))
			if !ok {
				return client
			}
			client = addr.String()
			if !p.opts.Proxies.has(addr.Addr()) {
				return client
			}
		}
	}
	return client
}

// parseNode reads an address with or without a port; IPv6 may have brackets. Without a port it is 0.
func parseNode(s string) (netip.AddrPort, bool) {
	if addr, err := netip.ParseAddrPort(s); err == nil {
		return netip.AddrPortFrom(addr.Addr().Unmap().WithZone(""), addr.Port()), true
	}
	if inner, ok := strings.CutPrefix(s, "["); ok {
		if s, ok = strings.CutSuffix(inner, "]"); !ok || !strings.Contains(s, ":") {
			return netip.AddrPort{}, false
		}
	}
	addr, err := netip.ParseAddr(s)
	return netip.AddrPortFrom(addr.Unmap().WithZone(""), 0), err == nil
}

// last is the last value of a header that is a list, or "".
func last(header http.Header, name string) string {
	lines := header[name]
	if len(lines) == 0 {
		return ""
	}
	line := lines[len(lines)-1]
	return strings.TrimSpace(line[strings.LastIndexByte(line, ',')+1:])
}

// apply changes what makes sense.
func (t told) apply(f *asgi.Fields) {
	if t.client != "" {
		f.Client = t.client
	}
	switch scheme := strings.ToLower(t.scheme); {
	case scheme != "http" && scheme != "https" && scheme != "ws" && scheme != "wss":
	case f.Type == asgi.WebSocket:
		f.Scheme = strings.Replace(scheme, "http", "ws", 1)
	default:
		f.Scheme = strings.Replace(scheme, "ws", "http", 1)
	}
	f.Host = t.hostOf(f.Host, f.Scheme)
	if t.rootPath != "" {
		f.RootPath = t.rootPath + f.RootPath
		f.Path = t.rootPath + f.Path
		f.RawPath = (&url.URL{Path: t.rootPath}).EscapedPath() + f.RawPath
	}
}

// hostOf is the host that is told if it makes sense, with the port that is told if it has none of its own.
func (t told) hostOf(host, scheme string) string {
	if valid(t.host) {
		host = t.host
	}
	own, err := origin.ParseHost(host)
	if err != nil || own.Port != "" || t.port == "" || t.port == origin.DefaultPort(scheme) {
		return host
	}
	if whole := host + ":" + t.port; valid(whole) {
		return whole
	}
	return host
}

func valid(host string) bool {
	_, err := origin.ParseHost(host)
	return err == nil
}

// rootPath decodes the value of a root path header; "" where that is no path to mount something under.
func rootPath(value string) string {
	path, err := url.PathUnescape(strings.TrimRight(value, "/"))
	if err != nil || rootpath.Check(path) != nil {
		return ""
	}
	return path
}
