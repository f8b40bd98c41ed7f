// Package origin decides whether a host or a web site is one of a list. The server and the middleware of asgi use it, so that
// a pattern means the same in both.
package origin

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"
)

// An Origin is where a page comes from (RFC 6454). Scheme and Host are in lower case, and Port is never empty where the
// scheme has one of its own.
type Origin struct{ Scheme, Host, Port string }

// Parse takes the value of an Origin header apart. "null", the origin of sandboxed pages and files, is an error like
// everything else that is not scheme, host and perhaps port.
func Parse(s string) (Origin, error) {
	scheme, authority, found := strings.Cut(s, "://")
	if !found || scheme == "" {
		return Origin{}, errors.New("the scheme is missing")
	}
	o, err := parseAuthority(authority)
	if err != nil {
		return Origin{}, err
	}
	o.Scheme = strings.ToLower(scheme)
	if o.Port == "" {
		o.Port = DefaultPort(o.Scheme)
	}
	return o, nil
}

// ParseHost takes the value of a Host header apart; the port is empty if there is none.
func ParseHost(s string) (Origin, error) { return parseAuthority(s) }

// parseAuthority takes "host" or "host:port" apart (RFC 3986 section 3.2), and refuses what else a URL may have.
func parseAuthority(s string) (Origin, error) {
	u, err := url.Parse("//" + s)
	switch {
	case err != nil:
		return Origin{}, errors.Unwrap(err) // without the URL, which the caller shows
	case u.User != nil || u.Host != s:
		return Origin{}, errors.New("an origin has only scheme, host and port")
	case u.Hostname() == "":
		return Origin{}, errors.New("the host is empty")
	}
	o := Origin{Host: strings.ToLower(u.Hostname()), Port: u.Port()}
	if n, err := strconv.ParseUint(o.Port, 10, 16); o.Port != "" && (err != nil || n == 0) || strings.HasSuffix(s, ":") {
		return Origin{}, errors.New("the port is not a number from 1 to 65535")
	}
	return o, nil
}

// DefaultPort is the port that a scheme has of its own, or "".
func DefaultPort(scheme string) string {
	switch scheme {
	case "http", "ws":
		return "80"
	case "https", "wss":
		return "443"
	}
	return ""
}

// A List is the origins that a set of patterns stands for. The zero List has none.
type List struct {
	any      bool
	patterns []pattern
}

// pattern is one entry of a List; an empty scheme or port means any.
type pattern struct {
	Origin
	below bool // subdomains of Host too
}

// ParseList reads patterns: "*", "host", "host:port", "scheme://host" and "scheme://host:port", with a dot in front of the host
// for a domain with its subdomains. It refuses a pattern that could never match, since such a hole shows only in production.
// The error names the pattern.
func ParseList(patterns []string) (List, error) {
	var l List
	for _, s := range patterns {
		if s == "*" {
			l.any = true
			continue
		}
		p, err := parsePattern(s)
		if err != nil {
			return List{}, fmt.Errorf("%q: %w", s, err)
		}
		l.patterns = append(l.patterns, p)
	}
	return l, nil
}

var errNull = errors.New(`it is what sandboxed pages and files of any kind send, so it cannot be allowed alone: write "*" to allow every page`)

func parsePattern(s string) (p pattern, err error) {
	if strings.EqualFold(s, "null") {
		return p, errNull
	}
	scheme, authority, found := strings.Cut(s, "://")
	if !found {
		scheme, authority = "", s
	}
	if addr, err := netip.ParseAddr(authority); err == nil && addr.Is6() {
		authority = "[" + authority + "]"
	}
	if authority, p.below = strings.CutPrefix(authority, "."); found && scheme == "" {
		return p, mistake("the scheme is empty")
	}
	if p.Origin, err = parseAuthority(authority); err != nil {
		return p, mistake(err.Error())
	}
	switch host := p.Host; {
	case strings.Contains(host, "*"):
		return p, fmt.Errorf("the host has a %q, which stands only for itself: write %q for a domain with its subdomains, or \"*\" alone for everything", "*", "."+strings.TrimLeft(host, "*."))
	case strings.Contains(host, " ") || strings.HasPrefix(host, "."):
		return p, mistake("the host is no name")
	case !isASCII(host):
		return p, mistake("the host is not ASCII: browsers send its xn-- form")
	}
	if addr, err := netip.ParseAddr(p.Host); err == nil {
		p.Host = addr.String() // as browsers write it
	}
	p.Scheme = strings.ToLower(scheme)
	if p.Scheme != "" && p.Port == "" {
		p.Port = DefaultPort(p.Scheme)
	}
	return p, nil
}

func mistake(what string) error {
	return errors.New(what + `: write "https://example.org", "example.org", "example.org:8443", ".example.org" or "*"`)
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// Any reports whether the list has "*".
func (l List) Any() bool { return l.any }

// HasScheme reports whether a pattern names a scheme, and which one of them.
func (l List) HasScheme() (scheme string, ok bool) {
	for _, p := range l.patterns {
		if p.Scheme != "" {
			return p.Scheme, true
		}
	}
	return "", false
}

// Match reports whether a pattern stands for o.
func (l List) Match(o Origin) bool {
	if l.any {
		return true
	}
	for _, p := range l.patterns {
		if p.matches(o) {
			return true
		}
	}
	return false
}

func (p pattern) matches(o Origin) bool {
	if p.Scheme != "" && p.Scheme != o.Scheme || p.Port != "" && p.Port != o.Port {
		return false
	}
	return p.Host == o.Host || p.below && strings.HasSuffix(o.Host, "."+p.Host)
}
