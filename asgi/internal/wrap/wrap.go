// Package wrap has what apps that stand around another app look at first, in whichever package they are: that there is one, that
// their options name headers, and that a scope is one that they are for.
package wrap

import (
	"fmt"
	"strings"

	"github.com/tideway-go/tideway/asgi"
)

// NeedApp panics where a middleware is put around nothing, which would otherwise show at the first connection. who is the function
// that got the app, with its package.
func NeedApp(who string, app asgi.App) {
	if app == nil {
		panic(who + ": the app is nil: pass the one that it stands around")
	}
}

// NeedHeader panics on a name that no header has (RFC 9110 section 5.6.2). where is the option that has it, with its function and
// package; example is one to write in its place.
func NeedHeader(where, name, example string) {
	if name == "" || strings.ContainsFunc(name, func(c rune) bool {
		return c <= ' ' || c >= 0x7f || strings.ContainsRune("\"(),/:;<=>?@[\\]{}", c)
	}) {
		panic(fmt.Sprintf("%s is %q, which is no name of a header: write %q", where, name, example))
	}
}

// Concerns reports whether a scope is a request or a WebSocket. Those of other types, such as the lifespan, are to pass untouched.
//
// It is no app around both cases, which would be one more frame in the stack of each WebSocket that waits.
func Concerns(scope *asgi.Scope) bool {
	return scope.Type() == asgi.HTTP || scope.Type() == asgi.WebSocket
}
