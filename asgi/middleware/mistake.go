package middleware

import (
	"fmt"
	"strings"

	"github.com/tideway-go/tideway/asgi"
)

// needApp panics where a middleware of this package is put around nothing, which would otherwise show at the first connection.
func needApp(caller string, app asgi.App) {
	if app == nil {
		panic(fmt.Sprintf("asgi/middleware: %s: the app is nil: pass the one that it stands around", caller))
	}
}

// needToken panics on a name that no header has (RFC 9110 section 5.6.2). Empty is the default.
func needToken(caller, field, name, example string) {
	if strings.ContainsFunc(name, func(c rune) bool {
		return c <= ' ' || c >= 0x7f || strings.ContainsRune("\"(),/:;<=>?@[\\]{}", c)
	}) {
		panic(fmt.Sprintf("asgi/middleware: %s: %s is %q, which is no name of a header: write %q", caller, field, name, example))
	}
}
