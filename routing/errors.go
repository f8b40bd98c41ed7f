package routing

import (
	"errors"
	"fmt"
	"net/http"
	"runtime"

	"github.com/tideway-go/tideway/asgi"
)

// ErrNoRoute is matched by the errors of routers that have no app for a connection. It wraps [asgi.Deny] with status
// 404, so a server answers it as any refusal. For the scope types that have no path it also wraps [errors.ErrUnsupported].
//
// A middleware or an app may return it itself, before it has received or sent anything, to leave the connection to the
// next route that matches.
var ErrNoRoute error = noRoute{}

type noRoute struct{}

// Error says it in words.
func (noRoute) Error() string { return "routing: no route" }

// Unwrap makes it a refusal with 404.
func (noRoute) Unwrap() error { return asgi.Deny{Status: http.StatusNotFound} }

// A noRouteError says for what there is no route.
type noRouteError struct {
	what        string
	unsupported bool
}

// Error names what was asked for.
func (e *noRouteError) Error() string { return "routing: no route for " + e.what }

// Unwrap makes it match ErrNoRoute, and errors.ErrUnsupported where the type of the scope is the reason.
func (e *noRouteError) Unwrap() []error {
	if e.unsupported {
		return []error{ErrNoRoute, errors.ErrUnsupported}
	}
	return []error{ErrNoRoute}
}

// caller is the line that called the exported function which calls this one.
func caller() string {
	if _, file, line, ok := runtime.Caller(2); ok {
		return fmt.Sprintf("%s:%d", file, line)
	}
	return "unknown line"
}

// mistake panics about the set-up.
func mistake(where, format string, args ...any) {
	panic(fmt.Sprintf("routing: %s\n\tat %s", fmt.Sprintf(format, args...), where))
}
