package asgitest

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/tideway-go/tideway/asgi"
)

// target reads where a test wants to go, a path with an optional query or a whole URL, with or without a scheme.
// A fragment never leaves the client.
func target(raw string) (*url.URL, error) {
	raw, _, _ = strings.Cut(raw, "#")
	var u *url.URL
	var err error
	switch authority, _, _ := strings.Cut(raw, "/"); {
	case strings.HasPrefix(raw, "/"):
		u, err = url.ParseRequestURI(raw) // which takes two slashes for a path, not for a host
	case strings.Contains(raw, "://"):
		u, err = url.Parse(raw)
	case strings.Contains(authority, "@"):
		u, err = url.Parse("//" + raw)
	default:
		return nil, fmt.Errorf("%q is neither a path nor a URL: begin it with a slash", raw)
	}
	if err != nil {
		return nil, err
	}
	if u.Path == "" {
		u.Path = "/"
	}
	return u, nil
}

// rawQuery is a query as it goes over the wire: what a request line cannot hold is escaped.
func rawQuery(query string) string {
	var b strings.Builder
	for i := 0; i < len(query); i++ {
		if c := query[i]; c <= ' ' || c >= 0x7f {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// scope makes the scope of a request for raw. For typ and method see [asgi.Fields].
func (s *Site) scope(typ, method, raw string) (*asgi.Scope, error) {
	u, err := target(raw)
	if err != nil {
		return nil, err
	}
	o := s.options
	scheme, err := schemeFor(typ, o.Scheme, u.Scheme)
	if err != nil {
		return nil, err
	}
	header := o.Header.Clone()
	if header == nil {
		header = http.Header{}
	}
	host := o.Host
	set(&host, header.Get("Host"))
	set(&host, u.Host)
	header.Del("Host")
	if len(o.Cookies) > 0 {
		header.Set("Cookie", cookies(o.Cookies))
	}
	if u.User != nil && header.Get("Authorization") == "" {
		header.Set("Authorization", basicAuth(u.User))
	}
	f := asgi.Fields{
		Type: typ, Method: strings.ToUpper(method), Scheme: scheme, HTTPVersion: o.HTTPVersion,
		Host: host, Path: o.RootPath + u.Path, RawPath: (&url.URL{Path: o.RootPath}).EscapedPath() + u.EscapedPath(), RawQuery: rawQuery(u.RawQuery),
		RootPath: o.RootPath, Header: header, Client: o.Client, Server: o.Server, State: s.startState(), Context: o.Context,
		Extensions: extensions(typ), Closing: s.going,
	}
	if typ == asgi.WebSocket {
		f.Subprotocols = o.Subprotocols
	}
	scope := asgi.NewScope(f)
	if o.Scope != nil {
		scope = o.Scope(scope)
	}
	return s.equip(scope), nil
}

// schemeFor chooses the scheme of a scope: what the options say, else what the URL says, in the words of the protocol.
func schemeFor(typ, option, inURL string) (string, error) {
	scheme := inURL
	set(&scheme, option)
	secure := false
	switch scheme {
	case "", "http", "ws":
	case "https", "wss":
		secure = true
	default:
		return "", fmt.Errorf("scheme %q: use http, https, ws or wss", scheme)
	}
	switch {
	case typ == asgi.WebSocket && secure:
		return "wss", nil
	case typ == asgi.WebSocket:
		return "ws", nil
	case secure:
		return "https", nil
	}
	return "http", nil
}

// cookies is the value of a Cookie header.
func cookies(list []*http.Cookie) string {
	r := http.Request{Header: http.Header{}}
	for _, c := range list {
		r.AddCookie(c)
	}
	return r.Header.Get("Cookie")
}

// basicAuth is what a client sends for the userinfo of a URL.
func basicAuth(user *url.Userinfo) string {
	password, _ := user.Password()
	r := http.Request{Header: http.Header{}}
	r.SetBasicAuth(user.Username(), password)
	return r.Header.Get("Authorization")
}

// extensions are those of the server in memory.
func extensions(typ string) map[string]map[string]any {
	if typ == asgi.WebSocket {
		return map[string]map[string]any{"websocket.http.response": {}, "websocket.flush": {}}
	}
	return map[string]map[string]any{
		"http.response.trailers": {}, "http.response.early_hint": {}, "http.response.zerocopysend": {},
		"http.response.pathsend": {}, "http.response.debug": {},
	}
}
