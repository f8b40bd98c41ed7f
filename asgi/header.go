package asgi

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// checkHeader says what is wrong with headers that an application wants to send (RFC 9110 section 5). net/http would
// drop a bad name and mend a bad value in silence.
func checkHeader(h http.Header) error {
	for name, values := range h {
		if !validName(name) {
			return fmt.Errorf("header name %q is not a token", name)
		}
		for _, v := range values {
			if !validValue(v) {
				return fmt.Errorf("header %s has a control character in its value %q", name, v)
			}
		}
	}
	return nil
}

// checkTrailer is checkHeader for trailers, where fields that frame or route a message are refused (RFC 9110
// section 6.5.1).
func checkTrailer(h http.Header) error {
	for name := range h {
		switch http.CanonicalHeaderKey(name) {
		case "Authorization", "Cache-Control", "Connection", "Content-Encoding", "Content-Length", "Content-Range",
			"Content-Type", "Expect", "Host", "Keep-Alive", "Max-Forwards", "Pragma", "Proxy-Authenticate",
			"Proxy-Authorization", "Proxy-Connection", "Range", "Set-Cookie", "Te", "Trailer", "Transfer-Encoding",
			"Www-Authenticate":
			return fmt.Errorf("header %s cannot be a trailer: send it with the start of the response", name)
		}
	}
	return checkHeader(h)
}

// contentLength returns the length that the headers declare, or -1.
func contentLength(h http.Header) (int64, error) {
	length := int64(-1)
	for name, values := range h {
		if http.CanonicalHeaderKey(name) != "Content-Length" {
			continue
		}
		for _, v := range values {
			n, err := strconv.ParseUint(strings.Trim(v, " \t"), 10, 63)
			if err != nil {
				return -1, fmt.Errorf("header Content-Length is %q, not a number of bytes", v)
			}
			if length >= 0 && length != int64(n) {
				return -1, fmt.Errorf("header Content-Length has two values, %d and %d", length, n)
			}
			length = int64(n)
		}
	}
	return length, nil
}

// copyHeader puts the headers of a response beside those that handlers in front have set. Names become canonical,
// whatever their case was. Of Transfer-Encoding there is never more than the server's own.
func copyHeader(to, from http.Header) {
	for name, values := range from {
		name = http.CanonicalHeaderKey(name)
		switch name {
		case "Transfer-Encoding":
			continue
		case "Content-Length":
			if len(values) > 0 {
				to[name] = values[:1:1]
			}
			continue
		case "Server": // there is one, and the application's own counts
			delete(to, name)
		}
		if len(values) == 0 {
			to[name] = nil // net/http's way of leaving out a header that it would add
			continue
		}
		to[name] = append(to[name], values...)
	}
}

// validName reports whether s is a token (RFC 9110 section 5.6.2).
func validName(s string) bool {
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0:
		default:
			return false
		}
	}
	return s != ""
}

// validValue reports whether s may be a field value (RFC 9110 section 5.5): no control character but a tab.
func validValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}
