package routing

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tideway-go/tideway/asgi"
)

// Protocols chooses an app by the type of the scope: [asgi.HTTP], [asgi.WebSocket], [asgi.Lifespan], [asgi.Channel] or a
// type of your own. Any other type is an error that names it and matches [ErrNoRoute] and [errors.ErrUnsupported]; for
// "lifespan" that tells the server that there is none.
//
// It copies the map. It panics when the map is empty, an app is nil, or a name is a URL scheme or one of those types in
// capital letters, which no scope ever has.
func Protocols(apps map[string]asgi.App) asgi.App {
	where := caller()
	checkApps(where, "Protocols", apps)
	for scheme, typ := range map[string]string{"ws": asgi.WebSocket, "wss": asgi.WebSocket, "https": asgi.HTTP} {
		if _, ok := apps[scheme]; ok {
			mistake(where, "Protocols: %q is a scheme, not a type of scope: write %q", scheme, typ)
		}
	}
	for name := range apps {
		if lower := strings.ToLower(name); name != lower && slices.Contains(types, lower) {
			mistake(where, "Protocols: %q is no type of scope: write %q", name, lower)
		}
	}
	apps = maps.Clone(apps)
	return protocols(apps)
}

// types are those of the scopes that the servers of this module open.
var types = []string{asgi.HTTP, asgi.WebSocket, asgi.Lifespan, asgi.Channel}

type protocols map[string]asgi.App

// Serve hands the connection to the app for its type of scope.
func (p protocols) Serve(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
	app, scope, err := p.Choose(scope)
	if app == nil {
		return err
	}
	return app.Serve(ctx, scope, receive, send)
}

// Choose returns the app for a scope and the scope that it gets, or an error. A server that asks calls the app without
// a router in between, whose frame would stay on the stack for as long as the connection lasts.
func (p protocols) Choose(scope *asgi.Scope) (asgi.App, *asgi.Scope, error) {
	if app, ok := p[scope.Type()]; ok {
		return app, scope, nil
	}
	return nil, nil, p.noApp(scope)
}

func (p protocols) noApp(scope *asgi.Scope) error {
	what := fmt.Sprintf("scope type %q: there is one for %s", scope.Type(), names(p))
	return &noRouteError{what: what, unsupported: true}
}

// checkApps panics for what no router can work with.
func checkApps(where, router string, apps map[string]asgi.App) {
	if len(apps) == 0 {
		mistake(where, "%s: there is no app in the map: add at least one", router)
	}
	for name, app := range apps {
		if app == nil {
			mistake(where, "%s: the app for %q is nil: set it or remove the entry", router, name)
		}
	}
}

// names lists the keys of a map for a message.
func names(apps map[string]asgi.App) string {
	return strings.Join(slices.Sorted(maps.Keys(apps)), ", ")
}
