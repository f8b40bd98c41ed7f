package admin

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// checkHosts panics on what no Host header can be.
func (s *Server) checkHosts() {
	for _, name := range s.Hosts {
		if name == "" || strings.ContainsAny(name, ":/*, ") {
			panic(fmt.Sprintf("admin: Server.Hosts has %q: write a name alone, such as \"app1.internal\", without scheme, port or \"*\"", name))
		}
	}
}

// guarded refuses requests by a name that somebody else may have led here.
func (s *Server) guarded(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.ownName(r) {
			http.Error(w, fmt.Sprintf("over the loopback interface, ask for localhost or an address, or add %q to admin.Server.Hosts", hostOf(r)), http.StatusForbidden)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// ownName reports whether a request may be answered in full. One that came over the loopback interface may be a browser's, whose page has
// its name from somebody who made that name lead here (DNS rebinding). No such page has an address for its name.
func (s *Server) ownName(r *http.Request) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok || !isLoopback(local) {
		return true
	}
	host := hostOf(r)
	if _, err := netip.ParseAddr(host); err == nil || host == "" || strings.EqualFold(host, "localhost") {
		return true
	}
	return slices.ContainsFunc(s.Hosts, func(name string) bool { return strings.EqualFold(name, host) })
}

// hostOf is the host that a request asks for, without the port, and without the brackets of an IPv6 address.
func hostOf(r *http.Request) string {
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		return strings.TrimSuffix(inner, "]")
	}
	return host
}
