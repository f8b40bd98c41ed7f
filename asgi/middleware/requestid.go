package middleware

import (
	"context"
	"crypto/rand"
	"net/http"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/internal/wrap"
)

// RequestIDOptions say where ids come from and go to. Nil and the zero value are ready.
type RequestIDOptions struct {
	// Header is the header in which an id comes from a proxy and goes to the client. Default "X-Request-Id".
	Header string
	// Proxies are the peers whose ids are taken over, so that one id stands in all their logs and ours. An id of anybody else
	// is ignored: it could repeat another's. Default: whoever connects from the loopback.
	Proxies Proxies
}

// RequestID gives each request and each WebSocket an id, under which everything about it is found in the logs of all that it
// went through: [RequestIDOf]. The id is the one that a trusted proxy has sent, or 26 random letters and digits. It
// goes out in the header of the answer, also of a refusal, unless the app has set that header; a refusal that is a close before
// the accept, and what a server answers by itself (400, 408, 413, the 500 of a failed app), have none. Package accesslog adds it to the connection's logger.
//
// An id from a proxy has 1 to 128 letters, digits and -_.:/+=@; any other is replaced.
//
// It knows the peer inside of [RealIP] too. Inside of another RequestID it does nothing.
func RequestID(opts *RequestIDOptions) asgi.Middleware {
	var o RequestIDOptions
	if opts != nil {
		o = *opts
	}
	proxies := o.Proxies.checked("RequestID")
	name := "X-Request-Id"
	if o.Header != "" {
		wrap.NeedHeader("asgi/middleware: RequestID: Header", o.Header, name)
		name = http.CanonicalHeaderKey(o.Header)
	}
	return func(app asgi.App) asgi.App {
		wrap.NeedApp("asgi/middleware: RequestID", app)
		return asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
			if _, nested := requestIDKey.Get(scope); nested || !wrap.Concerns(scope) {
				return app.Serve(ctx, scope, receive, send)
			}
			id := ""
			from, ok := peerKey.Get(scope)
			if !ok {
				from = peer{scope.Client(), scope.Server()}
			}
			if proxies.hasPeer(from) {
				id = incomingID(scope.Header()[name])
			}
			if id == "" {
				id = rand.Text()
			}
			header := http.Header{name: {id}}
			err := app.Serve(ctx, requestIDKey.With(scope, id), receive, func(ctx context.Context, event asgi.Event) error {
				return send(ctx, withHeader(event, header, keep))
			})
			return deniedWith(err, header, keep)
		})
	}
}

// RequestIDOf returns the id of a request or a WebSocket, "" outside of [RequestID].
func RequestIDOf(scope *asgi.Scope) string {
	id, _ := requestIDKey.Get(scope)
	return id
}

var requestIDKey = asgi.NewKey[string]("request id")

// incomingID returns the one value if it is fit for logs and headers, or "".
func incomingID(values []string) string {
	if len(values) != 1 || len(values[0]) > 128 {
		return ""
	}
	for _, c := range []byte(values[0]) {
		if !idByte(c) {
			return ""
		}
	}
	return values[0]
}

func idByte(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	switch c {
	case '-', '_', '.', ':', '/', '+', '=', '@':
		return true
	}
	return false
}
