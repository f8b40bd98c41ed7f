package server

import (
	"net/http"
	"strings"
	"unicode/utf8"
)

// requestProblem says what is wrong with a request that net/http lets pass and no application should see, or "":
//
//   - a target that is no path (RFC 9112 section 3.2): a server of its own pages is no proxy, and HTTP/2's preface is no request;
//   - a target that is not ASCII (RFC 3986 section 2): those behind it may take it for different characters;
//   - a control character of C1 in a header, U+0080 to U+009F, as UTF-8 or as a byte of its own: U+0085 ends a line for some
//     that read the header later.
//
// Targets and headers with control characters of ASCII are refused by net/http.
func requestProblem(r *http.Request) string {
	target := r.RequestURI
	switch {
	case target == "": // the request was not read from a connection
	case !isASCII(target):
		return "the path and the query must be ASCII: percent-encode other characters"
	case target[0] != '/' && !isAbsolute(target):
		return "the request target must be a path"
	}
	for _, values := range r.Header {
		for _, v := range values {
			if !isASCII(v) && hasC1(v) {
				return "a header has a control character in its value"
			}
		}
	}
	return ""
}

// isAbsolute reports whether a target is in the form that clients use with proxies, which every server must take.
func isAbsolute(target string) bool {
	scheme, _, ok := strings.Cut(target, "://")
	return ok && (strings.EqualFold(scheme, "http") || strings.EqualFold(scheme, "https"))
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// hasC1 looks at bytes that are no UTF-8 as if they were Latin-1, which headers may be.
func hasC1(s string) bool {
	for i := 0; i < len(s); {
		c, size := utf8.DecodeRuneInString(s[i:])
		if c == utf8.RuneError && size == 1 {
			c = rune(s[i])
		}
		if c >= 0x80 && c <= 0x9F {
			return true
		}
		i += size
	}
	return false
}
