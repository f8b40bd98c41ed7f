package server

import (
	"net"
	"net/http"
	"strings"

	"github.com/tideway-go/tideway/asgi/internal/origin"
)

// origins decides which pages may open a WebSocket (S3).
type origins struct{ listed origin.List }

// parseOrigins panics on an entry that could never match, since such a hole shows only in production.
func parseOrigins(list []string) origins {
	listed, err := origin.ParseList(list)
	if err != nil {
		panic("asgi/server: New: Options.Origins: " + err.Error())
	}
	return origins{listed}
}

// allow reports whether the request's page may connect. Garbage fails closed.
func (o *origins) allow(r *http.Request) bool {
	headers := r.Header["Origin"]
	if o.listed.Any() || len(headers) == 0 {
		return true
	}
	if len(headers) > 1 {
		return false
	}
	if isOwn(headers[0], r.Host) {
		return true
	}
	from, err := origin.Parse(headers[0])
	if err != nil {
		return false // among them "null", the origin of sandboxed pages and files
	}
	return sameHost(from, r.Host) || o.listed.Match(from)
}

// isOwn reports whether origin is the requested host as browsers write it. It is for nearly every handshake, and parses nothing.
func isOwn(origin, requested string) bool {
	scheme, host, _ := strings.Cut(origin, "://")
	return host == requested && (scheme == "http" || scheme == "https") &&
		host != "" && strings.Trim(host, ".-0123456789:abcdefghijklmnopqrstuvwxyz") == ""
}

// sameHost compares host and port only: behind a proxy that ends TLS the scheme seen here is not the browser's.
func sameHost(from origin.Origin, requested string) bool {
	host, port, err := net.SplitHostPort(requested)
	if err != nil {
		host, port = strings.Trim(requested, "[]"), origin.DefaultPort(from.Scheme)
	}
	return strings.EqualFold(from.Host, host) && from.Port == port
}
