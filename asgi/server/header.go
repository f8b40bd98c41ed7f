package server

import (
	"maps"
	"net/http"
	"strings"
)

// subprotocols are those that a client offers, in its order: all header lines, split at commas.
func subprotocols(h http.Header) []string {
	var list []string
	for _, line := range h["Sec-Websocket-Protocol"] {
		for p := range strings.SplitSeq(line, ",") {
			if p = strings.TrimSpace(p); p != "" {
				list = append(list, p)
			}
		}
	}
	return list
}

// withoutUnderscores leaves out the headers with an underscore in their names. CGI, WSGI and their like make underscores of
// hyphens, so that X_Forwarded_For passes for X-Forwarded-For where somebody behind this server looks, though no proxy in front
// has set or removed it (CVE-2015-0219).
func withoutUnderscores(h http.Header) http.Header {
	changed := false
	for name := range h {
		if !strings.Contains(name, "_") {
			continue
		}
		if !changed {
			h, changed = maps.Clone(h), true // it may be the request's own
		}
		delete(h, name)
	}
	return h
}

// errManyHeaders is the answer to more headers than Options.MaxHeaders.
const errManyHeaders = "the request has too many header lines"

// validToken reports whether s may be a header's name (RFC 9110 section 5.6.2).
func validToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		alnum := '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !alnum && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return s != ""
}

// validHeaderValue reports whether s has no control characters, which could end the header.
func validHeaderValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7F {
			return false
		}
	}
	return true
}
