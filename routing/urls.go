package routing

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/tideway-go/tideway/asgi"
)

// URLs chooses an app by the scope's path: that of the first route that matches. Where the app has no route itself, having
// touched nothing, the next one that matches is tried. Without a route the error matches [ErrNoRoute] and names the path;
// scopes of the types [asgi.Lifespan] and [asgi.Channel] have no path, for these it matches [errors.ErrUnsupported] too.
//
// It panics when there are no routes, or one can never be reached.
func URLs(routes ...Route) asgi.App {
	where := caller()
	if len(routes) == 0 {
		mistake(where, "URLs: there are no routes: add one, such as routing.Path(\"/\", app)")
	}
	for i, r := range routes {
		if r.app == nil {
			mistake(where, "URLs: route %d is empty: make it with routing.Path, Mount or Regexp", i+1)
		}
		for j, earlier := range routes[:i] {
			if earlier.shadows(r) {
				mistake(r.where, "URLs: route %d, %s(%q), can never be reached: route %d, %s(%q) at %s, matches all that it "+
					"matches: put it before that one, or remove it",
					i+1, r.kind, r.text, j+1, earlier.kind, earlier.text, earlier.where)
			}
		}
	}
	return &urls{slices.Clone(routes)}
}

type urls struct{ routes []Route }

// Serve hands the connection to the first route that will have it.
func (u *urls) Serve(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
	app, derived, err := u.Choose(scope)
	if app == nil {
		return err
	}
	return app.Serve(ctx, derived, receive, send)
}

// Choose returns the app of the only route that matches, or an app that tries all of them, and its scope; see
// [protocols.Choose].
func (u *urls) Choose(scope *asgi.Scope) (asgi.App, *asgi.Scope, error) {
	outer, rest, err := position(scope)
	if err != nil {
		return nil, nil, err
	}
	i, found := u.find(0, rest, outer)
	if found == nil {
		return nil, nil, noPath(scope)
	}
	derived := matchKey.With(scope, found)
	if j, second := u.find(i+1, rest, outer); second != nil {
		return &attempts{u, outer, rest, scope, i, derived, j, second}, derived, nil
	}
	return u.routes[i].app, derived, nil
}

// attempts tries routes in order: where one could follow, it matters whether an app touches the connection.
type attempts struct {
	urls    *urls
	outer   *match
	rest    string
	scope   *asgi.Scope
	now     int // the route to try, for which there is
	derived *asgi.Scope
	next    int // the one after it, which found
	found   *match
}

// Serve hands the connection from route to route until one has it.
func (a *attempts) Serve(ctx context.Context, _ *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
	for a.found != nil {
		var touched atomic.Bool
		err := a.urls.routes[a.now].app.Serve(ctx, a.derived,
			func(ctx context.Context) (asgi.Event, error) { touched.Store(true); return receive(ctx) },
			func(ctx context.Context, e asgi.Event) error { touched.Store(true); return send(ctx, e) })
		if touched.Load() || !errors.Is(err, ErrNoRoute) {
			return err
		}
		a.now, a.derived = a.next, matchKey.With(a.scope, a.found)
		a.next, a.found = a.urls.find(a.next+1, a.rest, a.outer)
	}
	return a.urls.routes[a.now].app.Serve(ctx, a.derived, receive, send)
}

// find returns the first route from i on that matches, and what it found.
func (u *urls) find(i int, rest string, outer *match) (int, *match) {
	encoded := strings.IndexByte(rest, '%') >= 0
	var few [4]param
	for ; i < len(u.routes); i++ {
		r := &u.routes[i]
		if !encoded && !strings.HasPrefix(rest, r.literal) {
			continue
		}
		params, args, left, ok := r.match(rest, few[:0])
		if !ok {
			continue
		}
		found := &match{rest: left, args: args}
		found.params = append(append(found.few[:0], params...), r.defaults...)
		if outer != nil {
			found.params = append(found.params, outer.params...)
			found.args = slices.Concat(outer.args, args)
		}
		return i, found
	}
	return i, nil
}

// position returns what outer routers have found, if any, and what is left of the path.
func position(scope *asgi.Scope) (outer *match, rest string, err error) {
	if outer, ok := matchKey.Get(scope); ok {
		return outer, outer.rest, nil
	}
	if t := scope.Type(); t == asgi.Lifespan || t == asgi.Channel {
		return nil, "", &noRouteError{what: fmt.Sprintf("scope type %q: it has no path", t), unsupported: true}
	}
	rest, ok := cutRoot(sentPath(scope), scope.RootPath())
	if !ok {
		return nil, "", noPath(scope)
	}
	return nil, rest, nil
}

// sentPath is the path as it was sent. A middleware may have changed the decoded path alone; then that counts.
func sentPath(scope *asgi.Scope) string {
	path, raw := scope.Path(), scope.RawPath()
	if path == raw && strings.IndexByte(path, '%') < 0 {
		return path
	}
	return (&url.URL{Path: path, RawPath: raw}).EscapedPath()
}

// cutRoot cuts the root path, which is decoded, off a path, which is not. What is left begins with one slash.
func cutRoot(path, root string) (rest string, ok bool) {
	for root = strings.Trim(root, "/"); root != ""; {
		var want, got string
		want, root, _ = strings.Cut(root, "/")
		got, path, _ = strings.Cut(strings.TrimLeft(path, "/"), "/")
		if got, ok := decode(got); !ok || got != want {
			return "", false
		}
	}
	if strings.HasPrefix(path, "/") && !strings.HasPrefix(path, "//") {
		return path, true
	}
	return "/" + strings.TrimLeft(path, "/"), true
}

func noPath(scope *asgi.Scope) error {
	what := fmt.Sprintf("%q", scope.Path())
	if root := scope.RootPath(); root != "" {
		what += fmt.Sprintf(" below root path %q", root)
	}
	return &noRouteError{what: what}
}
