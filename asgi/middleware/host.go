package middleware

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/internal/origin"
	"github.com/tideway-go/tideway/asgi/internal/wrap"
)

// Host refuses requests and WebSockets for a host that is not on the list with 400, and the app never starts.
//
// A server that answers for any host trusts the client with its own name: links in mails lead where the client wants
// (poisoned caches, password resets), and a page that points its own name at this server's address talks to it as to itself,
// past the same-origin rule (DNS rebinding). The second reaches servers on the loopback and in private networks.
//
// A pattern is one of
//
//	"example.org"       that host, at any port
//	"example.org:8443"  that host and port; a request without a port asks for the scheme's own
//	".example.org"      that domain and all its subdomains
//	"*"                 any host
//
// Case does not matter, nor does a dot at the end of the host that is asked for. Without patterns everything is refused. A
// pattern that could never match panics. Behind a proxy that sets X-Forwarded-Host put [RealIP] outside.
func Host(patterns ...string) asgi.Middleware {
	list, err := origin.ParseList(patterns)
	if err != nil {
		panic("asgi/middleware: Host: " + err.Error())
	}
	if scheme, ok := list.HasScheme(); ok {
		panic(fmt.Sprintf("asgi/middleware: Host: a pattern has the scheme %q: write the host alone, such as \"example.org\"", scheme))
	}
	return func(app asgi.App) asgi.App {
		wrap.NeedApp("asgi/middleware: Host", app)
		return asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
			if wrap.Concerns(scope) && !list.Any() {
				if err := checkHost(list, scope); err != nil {
					return err
				}
			}
			return app.Serve(ctx, scope, receive, send)
		})
	}
}

// Localhost is what [Host] and [Origin] may allow on a developer's machine: localhost, 127.0.0.1 and [::1], at any port.
func Localhost() []string { return []string{"localhost", "127.0.0.1", "[::1]"} }

func checkHost(list origin.List, scope *asgi.Scope) error {
	deny := asgi.Deny{Status: http.StatusBadRequest, Body: []byte("There is no such host here.\n")}
	asked, err := origin.ParseHost(scope.Host())
	if err != nil {
		return fmt.Errorf("middleware: host %q: %w: %w", scope.Host(), err, deny)
	}
	asked.Host = strings.TrimSuffix(asked.Host, ".")
	if asked.Port == "" {
		asked.Port = origin.DefaultPort(scope.Scheme())
	}
	if !list.Match(asked) {
		return fmt.Errorf("middleware: host %q is not on the list of middleware.Host: %w", scope.Host(), deny)
	}
	return nil
}
