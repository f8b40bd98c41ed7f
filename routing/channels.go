package routing

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/tideway-go/tideway/asgi"
)

// Channels chooses an app by the name of the channel that a worker serves ([asgi.Scope.Channel]). A channel without an
// app is an error that names it and matches [ErrNoRoute]; a scope without a channel is an error.
//
// It copies the map. It panics when the map is empty, an app is nil, or a name is empty.
func Channels(apps map[string]asgi.App) asgi.App {
	where := caller()
	checkApps(where, "Channels", apps)
	if _, ok := apps[""]; ok {
		mistake(where, "Channels: a name is empty: name the channel")
	}
	apps = maps.Clone(apps)
	return asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		name := scope.Channel()
		if name == "" {
			return fmt.Errorf("routing: a scope of type %q has no channel: put Channels behind Protocols as %q: %w",
				scope.Type(), asgi.Channel, errors.ErrUnsupported)
		}
		app, ok := apps[name]
		if !ok {
			return &noRouteError{what: fmt.Sprintf("channel %q: there is one for %s", name, names(apps))}
		}
		return app.Serve(ctx, scope, receive, send)
	})
}
