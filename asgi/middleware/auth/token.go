package auth

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/tideway-go/tideway/asgi"
)

// offered is the subprotocol that is chosen for an app that chooses none; offeredToken begins the one with the token.
const (
	offered      = "bearer"
	offeredToken = "bearer."
)

// A bearer is what a scope holds of tokens.
type bearer struct {
	token   string
	found   bool
	offered bool // the client also offers the bare subprotocol
	bad     bool // more than one token, or what is none
}

// findBearer looks for a token and returns the scope without the places that an app need not see.
func findBearer(scope *asgi.Scope, query string) (bearer, *asgi.Scope) {
	var b bearer
	for _, value := range scope.Header()["Authorization"] {
		if token, ok := bearerValue(value); ok {
			b.add(token)
		}
	}
	if scope.Type() == asgi.WebSocket {
		scope = b.fromSubprotocols(scope)
	}
	if query != "" {
		scope = b.fromQuery(scope, query)
	}
	return b, scope
}

// add notes a token. Two of them are a client that is confused, or worse (RFC 6750 section 2: not more than one).
func (b *bearer) add(token string) {
	if b.found || !validToken(token) {
		b.bad = true
	}
	b.token, b.found = token, true
}

// bearerValue takes an Authorization header apart (RFC 6750 section 2.1); the scheme's case does not matter (RFC 9110 section
// 11.1).
func bearerValue(value string) (token string, ok bool) {
	scheme, token, _ := strings.Cut(value, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", false
	}
	return strings.TrimLeft(token, " "), true
}

// validToken reports whether s is a b64token (RFC 6750 section 2.1).
func validToken(s string) bool {
	body := strings.TrimRight(s, "=")
	for i := range len(body) {
		c := body[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("-._~+/", c) >= 0:
		default:
			return false
		}
	}
	return body != ""
}

// fromSubprotocols looks among what a WebSocket offers.
func (b *bearer) fromSubprotocols(scope *asgi.Scope) *asgi.Scope {
	all := scope.Subprotocols()
	kept := make([]string, 0, len(all))
	for _, name := range all {
		switch token, ok := strings.CutPrefix(name, offeredToken); {
		case ok:
			b.add(token)
		case name == offered:
			b.offered = true
		default:
			kept = append(kept, name)
		}
	}
	if len(kept) == len(all) {
		return scope
	}
	return scope.Derive(func(f *asgi.Fields) {
		f.Subprotocols = kept
		delete(f.Header, "Sec-Websocket-Protocol")
		if len(kept) > 0 {
			f.Header["Sec-Websocket-Protocol"] = []string{strings.Join(kept, ", ")}
		}
	})
}

// fromQuery looks among the parameters of the URL, and takes it out of them as they were written.
func (b *bearer) fromQuery(scope *asgi.Scope, name string) *asgi.Scope {
	parts := strings.Split(scope.RawQuery(), "&")
	kept := slices.DeleteFunc(parts, func(part string) bool {
		key, value, _ := strings.Cut(part, "=")
		if key, err := url.QueryUnescape(key); err != nil || key != name {
			return false
		}
		token, _ := url.QueryUnescape(value) // "" where it cannot be decoded, which is no token
		b.add(token)
		return true
	})
	rest := strings.Join(kept, "&")
	if rest == scope.RawQuery() {
		return scope
	}
	return scope.Derive(func(f *asgi.Fields) { f.RawQuery = rest })
}

// challenge is a 401. RFC 9110 section 11.6.1 wants WWW-Authenticate in each; a session has no scheme of its own there, and
// "Cookie" is what is used for one.
func (a *Authenticator[U]) challenge(problem string) asgi.Deny {
	scheme := "Cookie"
	if a.opts.Token != nil {
		scheme = "Bearer"
	}
	value := scheme + ` realm="` + a.opts.Realm + `"`
	if problem != "" {
		value += `, error="` + problem + `"`
	}
	return asgi.Deny{Status: http.StatusUnauthorized, Header: http.Header{"Www-Authenticate": {value}}}
}

// refusal is for those without a user.
func (a *Authenticator[U]) refusal(scope *asgi.Scope) asgi.Deny {
	deny := a.challenge("")
	if a.opts.Refuse == nil {
		return deny
	}
	own := a.opts.Refuse(scope)
	if own.StatusCode() == http.StatusUnauthorized && own.Header.Get("Www-Authenticate") == "" {
		if own.Header = own.Header.Clone(); own.Header == nil {
			own.Header = http.Header{}
		}
		own.Header["Www-Authenticate"] = deny.Header["Www-Authenticate"]
	}
	return own
}
