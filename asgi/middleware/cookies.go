package middleware

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/internal/wrap"
)

// ErrResponseBegun is returned by [SetCookie] and [DeleteCookie] when the headers have already left.
var ErrResponseBegun = errors.New("the response has begun: change cookies before the start of the response, or before the accept of a WebSocket (in Connect)")

// Cookies lets apps set and delete cookies with [SetCookie] and [DeleteCookie]. They leave as Set-Cookie headers of
// whatever answers the request: a response, the 101 that accepts a WebSocket, or a refusal ([asgi.Deny], a denial
// response, a close before the accept). A response that a server makes up for an app that failed has none.
//
// A WebSocket has one answer. Afterwards cookies cannot change any more, and the functions return [ErrResponseBegun]. Some
// browsers store no cookies of a 101 from another site.
//
// Inside of another Cookies it does nothing.
func Cookies(app asgi.App) asgi.App {
	wrap.NeedApp("asgi/middleware: Cookies", app)
	return asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		if _, nested := jarKey.Get(scope); nested || !wrap.Concerns(scope) {
			return app.Serve(ctx, scope, receive, send)
		}
		_, canDeny := scope.Extension("websocket.http.response")
		j := &jar{send: send, canDeny: canDeny}
		return j.refusal(app.Serve(ctx, jarKey.With(scope, j), receive, j.answer))
	})
}

// CookiesOf returns the cookies that the client sent, in its order: those of all Cookie headers, since HTTP/2 lets a client
// send them in several (RFC 9113 section 8.2.3). What is malformed is left out. It needs no middleware. Nil means that there
// are none.
func CookiesOf(scope *asgi.Scope) []*http.Cookie {
	if j, ok := jarKey.Get(scope); ok {
		return j.received(scope)
	}
	return parseCookies(scope)
}

// CookieOf returns the value of one cookie of the client, and whether there is one. Of several with the name it is the first,
// which browsers send for the longest path. Clients write what they like into cookies: the value proves nothing unless it is
// signed, or too long to be guessed.
func CookieOf(scope *asgi.Scope, name string) (value string, ok bool) {
	for _, c := range CookiesOf(scope) {
		if c.Name == name {
			return c.Value, true
		}
	}
	return "", false
}

// SetCookie sends a cookie with the answer to the request. It takes the place of one that was set before with the same name,
// path and domain. What c leaves out has these defaults:
//
//   - Path: "/".
//   - SameSite: Lax. [http.SameSiteDefaultMode] leaves the attribute out.
//   - Secure: set where the scheme is https or wss; see [RealIP] for servers behind a proxy.
//
// HttpOnly is c's own: set it for whatever no script has to read. A cookie that browsers would drop in silence is an error: one
// with a bad name or value, with SameSite None or Partitioned but not Secure, or named __Host- or __Secure- without what that
// promises (RFC 6265bis section 4.1.3). So is a scope without [Cookies] around the app, and an answer that has left
// ([ErrResponseBegun]). SetCookie keeps nothing of c.
func SetCookie(scope *asgi.Scope, c *http.Cookie) error {
	if c == nil {
		return errors.New("middleware: set cookie: it is nil: pass &http.Cookie{Name: \"name\", Value: \"value\"}")
	}
	j, ok := jarKey.Get(scope)
	if !ok {
		return fmt.Errorf("middleware: set cookie %q: the scope takes none: put middleware.Cookies around the app, outside of whatever sets cookies", c.Name)
	}
	full := *c
	complete(&full, scope.Scheme())
	if err := checkCookie(&full); err != nil {
		return fmt.Errorf("middleware: set cookie %q: %w", c.Name, err)
	}
	if err := j.put(&full); err != nil {
		return fmt.Errorf("middleware: set cookie %q: %w", c.Name, err)
	}
	return nil
}

// DeleteCookie makes the client forget a cookie. Name, Path, Domain and Partitioned must be those that it was set with; the
// defaults are those of [SetCookie], and so are the errors.
func DeleteCookie(scope *asgi.Scope, c *http.Cookie) error {
	if c == nil {
		return errors.New("middleware: delete cookie: it is nil: pass &http.Cookie{Name: \"name\"}")
	}
	gone := *c
	gone.Value, gone.MaxAge, gone.Expires = "", -1, time.Unix(0, 0)
	return SetCookie(scope, &gone)
}

// complete fills in the defaults.
func complete(c *http.Cookie, scheme string) {
	if c.Path == "" {
		c.Path = "/"
	}
	if c.SameSite == 0 {
		c.SameSite = http.SameSiteLaxMode
	}
	if scheme == "https" || scheme == "wss" {
		c.Secure = true
	}
}

// checkCookie finds what would make net/http or a browser drop the cookie without a word.
func checkCookie(c *http.Cookie) error {
	switch {
	case c.SameSite < http.SameSiteDefaultMode || c.SameSite > http.SameSiteNoneMode:
		return fmt.Errorf("SameSite is %d: use http.SameSiteLaxMode, http.SameSiteStrictMode, http.SameSiteNoneMode or http.SameSiteDefaultMode", c.SameSite)
	case c.SameSite == http.SameSiteNoneMode && !c.Secure:
		return errors.New("SameSite is None, which browsers take only with Secure: set Secure, and serve over https")
	case hasPrefix(c.Name, "__Secure-") && !c.Secure:
		return errors.New("a name with __Secure- needs Secure")
	case hasPrefix(c.Name, "__Host-") && (!c.Secure || c.Path != "/" || c.Domain != ""):
		return errors.New("a name with __Host- needs Secure, the path \"/\" and no domain")
	case !c.Expires.IsZero() && c.Expires.Year() < 1601:
		return errors.New("it expires before 1601, which net/http leaves out: use DeleteCookie to delete")
	}
	return c.Valid()
}

// hasPrefix ignores case, as browsers do for these prefixes.
func hasPrefix(name, prefix string) bool {
	return len(name) >= len(prefix) && strings.EqualFold(name[:len(prefix)], prefix)
}

// parseCookies reads all Cookie headers.
func parseCookies(scope *asgi.Scope) []*http.Cookie {
	lines := scope.Header()["Cookie"]
	if len(lines) == 0 {
		return nil
	}
	joined := strings.Join(lines, "; ") // one header, as if the client had not split it
	return (&http.Request{Header: http.Header{"Cookie": {joined}}}).Cookies()
}

// jarKey holds the jar of a connection.
var jarKey = asgi.NewKey[*jar]("cookies")

// A jar is the cookies of one connection on their way out.
type jar struct {
	send    asgi.Send
	canDeny bool // the server takes denial responses

	mu     sync.Mutex
	begun  bool
	cookie []*http.Cookie

	parse  sync.Once
	parsed []*http.Cookie
}

// received parses once, and only if anybody asks.
func (j *jar) received(scope *asgi.Scope) []*http.Cookie {
	j.parse.Do(func() { j.parsed = parseCookies(scope) })
	return j.parsed
}

// put adds a cookie, or replaces the one that it would replace in the browser.
func (j *jar) put(c *http.Cookie) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.begun {
		return ErrResponseBegun
	}
	for i, old := range j.cookie {
		if old.Name == c.Name && old.Path == c.Path && strings.EqualFold(old.Domain, c.Domain) {
			j.cookie[i] = c
			return nil
		}
	}
	j.cookie = append(j.cookie, c)
	return nil
}

// answer is the app's Send.
func (j *jar) answer(ctx context.Context, event asgi.Event) error {
	e, closes := event.(asgi.WebSocketClose)
	if !closes && !begins(event) {
		return j.send(ctx, event)
	}
	header, first := j.begin()
	if !first || len(header) == 0 && !closes {
		return j.undoIf(first, j.send(ctx, event))
	}
	if closes {
		return j.undoIf(first, j.close(ctx, e, header))
	}
	return j.undoIf(first, j.send(ctx, withHeader(event, header, add)))
}

// close refuses a handshake. A close has no headers, so with cookies it becomes the response that it stands for.
func (j *jar) close(ctx context.Context, e asgi.WebSocketClose, header http.Header) error {
	if len(header) == 0 || !j.canDeny {
		return j.send(ctx, e)
	}
	if err := j.send(ctx, asgi.WebSocketHTTPResponseStart{Status: http.StatusForbidden, Header: header}); err != nil {
		return err
	}
	return j.send(ctx, asgi.WebSocketHTTPResponseBody{})
}

// begin yields the headers to add, once.
func (j *jar) begin() (header http.Header, first bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.begun {
		return nil, false
	}
	j.begun = true
	if len(j.cookie) > 0 {
		lines := make([]string, len(j.cookie))
		for i, c := range j.cookie {
			lines[i] = c.String()
		}
		header = http.Header{"Set-Cookie": lines}
	}
	return header, true
}

// undoIf lets the app answer in another way after an answer that the server did not take.
func (j *jar) undoIf(first bool, err error) error {
	if first && err != nil {
		j.mu.Lock()
		j.begun = false
		j.mu.Unlock()
	}
	return err
}

// refusal adds the cookies to a refusal that the app returned.
func (j *jar) refusal(err error) error {
	if err == nil {
		return nil
	}
	header, first := j.begin()
	if !first {
		return err
	}
	if e, ok := err.(asgi.CloseError); ok && len(header) > 0 { // a close before the accept; one that is wrapped has a story for the log
		return &denied{error: e, deny: asgi.Deny{Header: header}}
	}
	return deniedWith(err, header, add)
}
