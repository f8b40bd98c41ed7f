package main

import (
	"context"
	"net/http"

	"github.com/alexedwards/scs/v2"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/middleware/auth"
	"github.com/tideway-go/tideway/asgi/middleware/sessions"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/routing"
)

// A site is what its handlers share.
type site struct {
	people   *accounts
	store    store
	layer    *layers.Layer
	sessions *scs.SessionManager
	users    *auth.Authenticator[account]
}

// A store keeps the sessions, and can tell them all.
type store interface {
	scs.Store
	scs.IterableStore
}

func newSite(people *accounts, st store, layer *layers.Layer) *site {
	s := &site{people: people, store: st, layer: layer, sessions: scs.New()}
	s.sessions.Store = st
	s.sessions.HashTokenInStore = true // who reads the store cannot take a session over
	s.users = auth.New(auth.Options[account]{
		ID: func(a account) string { return a.Name },
		Session: &auth.Session[account]{
			Manager: s.sessions,
			Load:    people.find,
		},
		Refuse: s.refuse,
		Layer:  func(*asgi.Scope) *layers.Layer { return layer },
	})
	return s
}

// app is all of the site. Sessions and users are around everything, since the login needs them too; what is private asks
// for a user.
func (s *site) app() asgi.App {
	pages := asgi.FromHandler(s.pages())
	app := routing.Protocols(map[string]asgi.App{
		asgi.HTTP: routing.URLs(
			routing.Path("/", s.users.Require(pages)),
			routing.Path("/logout", s.users.Require(pages)),
			routing.Path("/logout/everywhere", s.users.Require(pages)),
			routing.Regexp("^/.*", pages),
		),
		asgi.WebSocket: routing.URLs(
			routing.Path("/ws/notes", s.users.Require(s.notes())),
		),
	})
	return asgi.Wrap(app, s.withLayer, sessions.New(s.sessions), s.users.Middleware)
}

// withLayer gives consumers the layer of this site, so that a test can have two sites in one process. One site alone calls
// layers.Register at start instead.
func (s *site) withLayer(app asgi.App) asgi.App {
	return asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		return app.Serve(ctx, consumers.LayerKey.With(scope, s.layer), receive, send)
	})
}

// refuse leads people to the login, and tells sockets the truth.
func (s *site) refuse(scope *asgi.Scope) asgi.Deny {
	if scope.Type() == asgi.HTTP {
		return asgi.Deny{Status: http.StatusSeeOther, Header: http.Header{"Location": {"/login"}}}
	}
	return asgi.Deny{Status: http.StatusUnauthorized}
}
