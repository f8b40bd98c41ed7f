package middleware_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/middleware"
)

// everyMiddleware has each middleware in a form that would refuse or change every request of no client at no host.
var everyMiddleware = map[string]asgi.Middleware{
	"Cookies":   middleware.Cookies,
	"Host":      middleware.Host(),
	"Origin":    middleware.Origin(),
	"RealIP":    middleware.RealIP(&middleware.RealIPOptions{RootPath: "X-Forwarded-Prefix"}),
	"RequestID": middleware.RequestID(nil),
	"Timeout":   middleware.Timeout(time.Hour),
	"Recover":   middleware.Recover(func(context.Context, *asgi.Scope, error) error { return nil }),
}

// Case 145. Scopes of other types pass every middleware untouched, and so does what the app returns. (Channels' validator of
// origins raises an error for them, which would need another stack for each type.)
func TestOtherScopesPass(t *testing.T) {
	failed := errors.New("failed")
	for name, m := range everyMiddleware {
		for _, kind := range []string{asgi.Lifespan, asgi.Channel, "mqtt"} {
			scope := asgi.NewScope(asgi.Fields{Type: kind})
			var got *asgi.Scope
			var event asgi.Event
			app := m(asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
				got = scope
				if _, err := receive(ctx); err != nil {
					return err
				}
				return errors.Join(send(ctx, asgi.LifespanStartupComplete{}), failed)
			}))
			err := app.Serve(t.Context(), scope, func(context.Context) (asgi.Event, error) { return asgi.LifespanStartup{}, nil },
				func(_ context.Context, e asgi.Event) error { event = e; return nil })
			if got != scope || event != (asgi.LifespanStartupComplete{}) || !errors.Is(err, failed) {
				t.Errorf("%s: a %s scope became %v, the event %v, the error %v", name, kind, got, event, err)
			}
		}
	}
}
