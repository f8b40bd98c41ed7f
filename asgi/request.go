package asgi

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
)

// FieldsOf describes a request as net/http gives it to a handler. The result does not hold the request, so that a
// WebSocket may outlive it; Header is the request's own map, which [NewScope] copies.
//
// Type is [HTTP]; who opens another kind of scope changes it, with Scheme and Method. Behind [http.StripPrefix] the
// prefix becomes RootPath, and Path keeps it, as the ASGI specification wants.
func FieldsOf(r *http.Request) Fields {
	path, raw, root := requestPath(r)
	f := Fields{
		Type:        HTTP,
		Method:      strings.ToUpper(r.Method),
		Scheme:      "http",
		HTTPVersion: "1.1",
		Host:        r.Host,
		Path:        path,
		RawPath:     raw,
		RawQuery:    r.URL.RawQuery,
		RootPath:    root,
		Header:      headerWithoutHost(r.Header),
		Client:      address(r.RemoteAddr),
		Context:     context.WithoutCancel(r.Context()),
	}
	switch {
	case r.ProtoMajor >= 2:
		f.HTTPVersion = strconv.Itoa(r.ProtoMajor)
	case r.ProtoMajor == 1 && r.ProtoMinor == 0:
		f.HTTPVersion = "1.0"
	}
	if r.TLS != nil {
		f.Scheme = "https"
	}
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		f.Server = address(localText(local))
	}
	return f
}

// lastLocal is the local address that was last asked for. Those of one listener are mostly the same, and the text of one
// is then shared by all of its connections.
var lastLocal atomic.Pointer[struct {
	addr netip.AddrPort
	text string
}]

func localText(a net.Addr) string {
	tcp, ok := a.(*net.TCPAddr)
	if !ok || tcp.Zone != "" {
		return a.String()
	}
	addr := tcp.AddrPort()
	last := lastLocal.Load()
	if last == nil || last.addr != addr {
		last = &struct {
			addr netip.AddrPort
			text string
		}{addr, tcp.String()}
		lastLocal.Store(last)
	}
	return last.text
}

// requestPath returns the decoded path, the path as it was sent, and the prefix that handlers in front have cut off.
// The request line is the witness for both: r.URL is what those handlers made of it.
func requestPath(r *http.Request) (path, raw, root string) {
	path, raw = r.URL.Path, r.URL.EscapedPath()
	sent, _, _ := strings.Cut(r.RequestURI, "?")
	if !strings.HasPrefix(sent, "/") {
		return path, raw, ""
	}
	whole, err := url.PathUnescape(sent)
	if err != nil {
		return path, raw, ""
	}
	cut, ok := strings.CutSuffix(whole, path)
	switch {
	case !ok:
		return path, raw, "" // rewritten, not mounted
	case cut == "":
		return path, sent, ""
	case strings.HasPrefix(path, "/") || strings.HasSuffix(cut, "/") || path == "":
		return whole, sent, strings.TrimRight(cut, "/")
	}
	return path, raw, ""
}

func headerWithoutHost(h http.Header) http.Header {
	if _, ok := h["Host"]; !ok {
		return h
	}
	h = h.Clone()
	delete(h, "Host")
	return h
}

// address is s, or nothing for a Unix socket without a name, which Linux writes as "@".
func address(s string) string {
	if s == "@" {
		return ""
	}
	return s
}
