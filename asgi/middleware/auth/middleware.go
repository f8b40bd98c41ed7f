package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/internal/wrap"
)

// Middleware finds the user of each request and each WebSocket before the app runs, and lets those without one pass; bad
// credentials are refused. Other types of scope pass through, as does a connection that is inside of it already.
func (a *Authenticator[U]) Middleware(app asgi.App) asgi.App {
	return a.around("Middleware", app, false)
}

// Require refuses connections without a user before the app runs: with Options.Refuse, or by waiting for the token of a
// FirstMessage. It needs no Middleware around it, but works inside of one, around some routes.
func (a *Authenticator[U]) Require(app asgi.App) asgi.App {
	return a.around("Require", app, true)
}

func (a *Authenticator[U]) around(who string, app asgi.App, required bool) asgi.App {
	if a == nil {
		panic("auth: the *Authenticator is nil: make it with auth.New before the apps that it stands around")
	}
	wrap.NeedApp("auth: "+who, app)
	return &guarding[U]{a, app, required}
}

// guarding is the app inside, for those who may.
type guarding[U any] struct {
	auth     *Authenticator[U]
	app      asgi.App
	required bool
}

// Serve is where an idle WebSocket waits, so what comes before is done in functions that have returned by then.
func (g *guarding[U]) Serve(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
	if !wrap.Concerns(scope) {
		return g.app.Serve(ctx, scope, receive, send)
	}
	c, inside := g.auth.key.Get(scope)
	if !inside {
		c = g.auth.open(ctx, scope, send)
		defer c.close()
		if err := c.identify(scope); err != nil {
			return c.refuse(err)
		}
		ctx, scope, send = c.ctx, c.scope, c.forward
	}
	var err error
	switch {
	case !g.required || c.isKnown():
		err = g.app.Serve(ctx, scope, receive, send)
	case scope.Type() == asgi.WebSocket && g.auth.opts.FirstMessage != nil:
		var a *admitted
		if a, err = c.firstMessage(ctx, scope, receive, send); a != nil {
			err = a.refusal(g.app.Serve(ctx, scope, a.Receive, a.Send))
		}
	default:
		err = g.auth.refusal(scope)
	}
	if inside || c.request == nil {
		return err
	}
	return c.conclude(err)
}

// open makes the connection.
func (a *Authenticator[U]) open(ctx context.Context, scope *asgi.Scope, send asgi.Send) *connection[U] {
	c := &connection[U]{auth: a, ctx: ctx, scope: scope, send: send, since: time.Now(), layer: a.opts.Layer(scope)}
	if scope.Type() == asgi.HTTP {
		c.request = new(request)
		c.ctx, c.request.cancel = context.WithCancelCause(ctx)
		c.ctx = requestContext{c.ctx, c.request}
	}
	return c
}

// identify finds the user, and makes the scope of the app.
func (c *connection[U]) identify(scope *asgi.Scope) error {
	found, err := c.auth.find(c, &scope)
	if err != nil {
		return err
	}
	c.scope = c.auth.key.With(scope, c)
	return c.become(c.ctx, found)
}

// A finding is who was found, and how to look again.
type finding[U any] struct {
	identity Identity[U]
	ok       bool
	since    time.Time // before the credentials were read; zero if that is not known
	again    func(ctx context.Context) (Identity[U], error)
}

// find tries the ways in their order. It takes the token out of the scope, also where another way comes first.
func (a *Authenticator[U]) find(c *connection[U], scope **asgi.Scope) (finding[U], error) {
	ctx, whole := c.ctx, *scope
	var b bearer
	if a.opts.Token != nil {
		b, *scope = findBearer(whole, a.opts.Query)
		c.bare = b.offered
	}
	if a.opts.Find != nil {
		if id, ok, err := a.opts.Find(ctx, whole); ok || err != nil {
			return finding[U]{id, true, c.since, a.findAgain(whole)}, err
		}
	}
	switch {
	case b.bad:
		return finding[U]{}, errBadRequest
	case b.found:
		return a.byToken(ctx, b.token, c.since)
	case a.opts.Session != nil:
		return a.bySession(ctx)
	}
	return finding[U]{}, nil
}

// findAgain calls Find again.
func (a *Authenticator[U]) findAgain(scope *asgi.Scope) func(context.Context) (Identity[U], error) {
	return func(ctx context.Context) (Identity[U], error) {
		id, ok, err := a.opts.Find(ctx, scope)
		if err == nil && !ok {
			err = ErrInvalid
		}
		return id, err
	}
}

// byToken verifies a token.
func (a *Authenticator[U]) byToken(ctx context.Context, token string, since time.Time) (finding[U], error) {
	again := func(ctx context.Context) (Identity[U], error) { return a.opts.Token(ctx, token) }
	id, err := again(ctx)
	return finding[U]{id, true, since, again}, err
}

var (
	errBadRequest = errors.New("more than one token, or what is none")
	errRevoked    = fmt.Errorf("revoked: %w", ErrInvalid)
)

// refuse makes of an error what the client gets, who is not told why.
func (c *connection[U]) refuse(err error) error {
	switch {
	case errors.Is(err, errBadRequest):
		c.tellWhy(err)
		deny := c.auth.challenge("invalid_request")
		deny.Status = http.StatusBadRequest
		return deny
	case errors.Is(err, ErrInvalid):
		c.tellWhy(err)
		return c.auth.challenge("invalid_token")
	}
	return fmt.Errorf("auth: find the user: %w", err)
}

// become makes a connection that of a user, unless the credentials have been revoked meanwhile.
func (c *connection[U]) become(ctx context.Context, found finding[U]) error {
	if !found.ok {
		return nil
	}
	a := c.auth
	id := a.opts.ID(found.identity.User)
	if id == "" {
		return errors.New("Options.ID names the user with an empty string: give each a name that is never another's")
	}
	if expired(found.identity) {
		return ErrInvalid
	}
	joined := a.join(ctx, c)
	last := c.enter(id, found)
	if !joined.Before(found.since) || !last.Before(found.since) {
		// A revocation may have come after the credentials were read and before the connection was in the registry.
		fresh, err := found.again(ctx)
		if err == nil && a.opts.ID(fresh.User) != id {
			err = ErrInvalid
		}
		if err != nil {
			return err
		}
		c.renew(fresh)
	}
	if c.hasEnded() {
		return errRevoked
	}
	return nil
}

func expired[U any](id Identity[U]) bool {
	return !id.Expires.IsZero() && !time.Now().Before(id.Expires)
}
