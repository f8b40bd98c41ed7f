package server

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// origins decides which pages may open a WebSocket (S3).
type origins struct {
	any     bool
	entries []originEntry
}

// originEntry is one entry of Options.Origins; an empty scheme or port means any.
type originEntry struct{ scheme, host, port string }

// parseOrigins panics on an entry that could never match, since such a hole shows only in production.
func parseOrigins(list []string) origins {
	var o origins
	for _, s := range list {
		if s == "*" {
			o.any = true
			continue
		}
		if strings.EqualFold(s, "null") {
			panic(fmt.Sprintf("asgi/server: New: Options.Origins: %q: it is what sandboxed pages and files of any kind send, so it cannot be allowed alone: write \"*\" to allow every page", s))
		}
		e, err := parseOrigin(s)
		if err != nil {
			panic(fmt.Sprintf("asgi/server: New: Options.Origins: %q: %v: write \"https://example.org\", \"example.org\" or \"*\"", s, err))
		}
		o.entries = append(o.entries, e)
	}
	return o
}

// parseOrigin takes "host", "host:port" or "scheme://host[:port]" apart.
func parseOrigin(s string) (originEntry, error) {
	scheme, rest, found := strings.Cut(s, "://")
	if !found {
		scheme, rest = "", s
	}
	u, err := url.Parse("//" + rest)
	switch {
	case err != nil:
		return originEntry{}, err
	case found && scheme == "":
		return originEntry{}, fmt.Errorf("the scheme is empty")
	case u.Hostname() == "":
		return originEntry{}, fmt.Errorf("the host is empty")
	case u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "":
		return originEntry{}, fmt.Errorf("an origin has only scheme, host and port")
	case strings.ContainsAny(u.Hostname(), "* "):
		return originEntry{}, fmt.Errorf("the host has a %q, and there are no wildcards inside names", "*")
	}
	e := originEntry{scheme: strings.ToLower(scheme), host: strings.ToLower(u.Hostname()), port: u.Port()}
	if e.scheme != "" && e.port == "" {
		e.port = defaultPort(e.scheme)
	}
	return e, nil
}

// allow reports whether the request's page may connect. Garbage fails closed.
func (o *origins) allow(r *http.Request) bool {
	headers := r.Header["Origin"]
	if o.any || len(headers) == 0 {
		return true
	}
	if len(headers) > 1 {
		return false
	}
	if isOwn(headers[0], r.Host) {
		return true
	}
	from, err := parseOrigin(headers[0])
	if err != nil || from.scheme == "" {
		return false // among them "null", the origin of sandboxed pages and files
	}
	if sameHost(from, r.Host) {
		return true
	}
	for _, e := range o.entries {
		if e.host == from.host && (e.scheme == "" || e.scheme == from.scheme) && (e.port == "" || e.port == from.port) {
			return true
		}
	}
	return false
}

// isOwn reports whether origin is the requested host as browsers write it. It is for nearly every handshake, and parses nothing.
func isOwn(origin, requested string) bool {
	scheme, host, _ := strings.Cut(origin, "://")
	return host == requested && (scheme == "http" || scheme == "https") &&
		host != "" && strings.Trim(host, ".-0123456789:abcdefghijklmnopqrstuvwxyz") == ""
}

// sameHost compares host and port only: behind a proxy that ends TLS the scheme seen here is not the browser's.
func sameHost(from originEntry, requested string) bool {
	host, port, err := net.SplitHostPort(requested)
	if err != nil {
		host, port = strings.Trim(requested, "[]"), defaultPort(from.scheme)
	}
	return strings.EqualFold(from.host, host) && from.port == port
}

func defaultPort(scheme string) string {
	switch scheme {
	case "http", "ws":
		return "80"
	case "https", "wss":
		return "443"
	}
	return ""
}
