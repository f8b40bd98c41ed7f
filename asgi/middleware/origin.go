package middleware

import (
	"context"
	"fmt"
	"net/http"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/internal/origin"
	"github.com/tideway-go/tideway/asgi/internal/wrap"
)

// Origin refuses WebSockets of pages that are not on the list with 403, and the app never starts. A browser sends cookies with
// a handshake from any page and has no same-origin rule for WebSockets; only the Origin header tells which page it was
// (cross-site WebSocket hijacking).
//
// A pattern is one of
//
//	"example.org"               that host, with any scheme and any port
//	"example.org:8443"          that host and port, with any scheme
//	".example.org"              that domain and all its subdomains
//	"https://example.org"       that scheme and host, and the scheme's own port
//	"https://.example.org:8443" all of it
//	"*"                         everything, also what has no Origin: only for services that use neither cookies nor the client's address
//
// Case does not matter, and an IPv6 address needs no brackets where no port follows. An origin that is malformed, "null"
// (sandboxed pages, files), missing, or there twice is refused unless "*" is listed, so clients that are no browsers need "*"
// or have to send an Origin. Without patterns everything is refused. A pattern that could never match panics.
//
// A server of this module checks too, before any middleware: pages of its own host may connect, and those in its
// Options.Origins. So this middleware narrows: for a route that fewer pages may use than the rest. What it is to let in from
// elsewhere must be in Options.Origins as well.
//
// HTTP requests pass. Browsers keep what pages of other origins may read, and [net/http.CrossOriginProtection] around the
// server keeps forms of other origins from being posted.
func Origin(patterns ...string) asgi.Middleware {
	list, err := origin.ParseList(patterns)
	if err != nil {
		panic("asgi/middleware: Origin: " + err.Error())
	}
	return func(app asgi.App) asgi.App {
		wrap.NeedApp("asgi/middleware: Origin", app)
		return asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
			if scope.Type() == asgi.WebSocket && !list.Any() {
				if err := checkOrigin(list, scope.Header()["Origin"]); err != nil {
					return err
				}
			}
			return app.Serve(ctx, scope, receive, send)
		})
	}
}

func checkOrigin(list origin.List, headers []string) error {
	deny := asgi.Deny{Status: http.StatusForbidden, Body: []byte("The page's origin is not allowed here.\n")}
	switch len(headers) {
	case 0:
		return fmt.Errorf("middleware: the request has no Origin header, which clients that are no browsers need not send: \"*\" lets them in: %w", deny)
	case 1:
	default:
		return fmt.Errorf("middleware: the request has %d Origin headers: %w", len(headers), deny)
	}
	from, err := origin.Parse(headers[0])
	if err != nil {
		return fmt.Errorf("middleware: origin %q: %w: %w", headers[0], err, deny)
	}
	if !list.Match(from) {
		return fmt.Errorf("middleware: origin %q is not on the list of middleware.Origin: %w", headers[0], deny)
	}
	return nil
}
