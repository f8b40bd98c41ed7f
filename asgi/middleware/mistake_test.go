package middleware_test

import (
	"context"
	"testing"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/middleware"
)

// A middleware around nothing says so at start.
func TestNoApp(t *testing.T) {
	handle := func(_ context.Context, _ *asgi.Scope, err error) error { return err }
	for name, m := range map[string]asgi.Middleware{
		"Cookies": middleware.Cookies, "Host": middleware.Host("a.com"), "Origin": middleware.Origin("a.com"),
		"RealIP": middleware.RealIP(nil), "Recover": middleware.Recover(handle), "RequestID": middleware.RequestID(nil),
		"Timeout": middleware.Timeout(time.Second),
	} {
		panicsWith(t, "asgi/middleware: "+name+": ", "the app is nil: pass the one", func() { m(nil) })
	}
}

// So does the name of a header that no client can send.
func TestNoHeader(t *testing.T) {
	for _, name := range []string{"X Y", "X:", "X\r\n", "\u00fc", "X\x00", " "} {
		panicsWith(t, "asgi/middleware: RequestID: Header is ", `write "X-Request-Id"`, func() {
			middleware.RequestID(&middleware.RequestIDOptions{Header: name})
		})
		panicsWith(t, "asgi/middleware: RealIP: RootPath is ", `write "X-Forwarded-Prefix"`, func() {
			middleware.RealIP(&middleware.RealIPOptions{RootPath: name})
		})
	}
	middleware.RequestID(&middleware.RequestIDOptions{Header: "x-id!#$%&'*+-.^_`|~9"})
}
