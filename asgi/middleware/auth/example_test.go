package auth_test

import (
	"context"
	"fmt"
	"net/http"

	"github.com/alexedwards/scs/v2"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/middleware/auth"
	"github.com/tideway-go/tideway/asgi/middleware/sessions"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/routing"
)

// A site whose users log in by a form: pages for everybody, a socket for users. An account is a row of its database.
func Example() {
	var manager = scs.New() // the site's own; it keeps the session cookie

	var users = auth.New(auth.Options[account]{
		ID: func(a account) string { return a.Name },
		Session: &auth.Session[account]{
			Manager: manager,
			Load:    func(ctx context.Context, name string) (account, error) { return account{Name: name}, nil },
			Hash:    func(a account) string { return a.Hash }, // a new password ends the sessions
		},
	})

	login := func(w http.ResponseWriter, r *http.Request) {
		scope, _ := asgi.ScopeOf(r.Context())
		me := account{Name: r.FormValue("name")} // whose password has been compared
		if err := users.Login(r.Context(), scope, me); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		http.Redirect(w, r, "/", http.StatusSeeOther)
	}

	type tab struct{}
	notes := consumers.AsyncWebsocketConsumer[tab]{
		Connect: func(_ *tab, ctx context.Context, c *consumers.Conn) error {
			me, _ := users.User(c.Scope()) // there is one: Require is around
			return c.GroupAdd(ctx, "user."+me.Name)
		},
	}.App()

	mux := http.NewServeMux()
	mux.HandleFunc("POST /login", login)
	app := asgi.Wrap(routing.Protocols(map[string]asgi.App{
		asgi.HTTP:      asgi.FromHandler(http.NewCrossOriginProtection().Handler(mux)),
		asgi.WebSocket: routing.URLs(routing.Path("/ws/notes", users.Require(notes))),
	}), sessions.New(manager), users.Middleware)
	_ = app // server.New(app, nil).Run(ctx, ":8000")
}

// Whatever ends a user's credentials revokes them then: a new password, here, ends all sessions but the one on which it was
// set.
func ExampleRevoke() {
	users := auth.New(auth.Options[account]{
		ID: func(a account) string { return a.Name },
		Token: func(ctx context.Context, token string) (auth.Identity[account], error) {
			return auth.Identity[account]{}, fmt.Errorf("no tokens yet: %w", auth.ErrInvalid)
		},
	})
	changePassword := func(ctx context.Context, scope *asgi.Scope) error {
		me, ok := users.Identity(scope)
		if !ok {
			return asgi.Deny{Status: http.StatusForbidden}
		}
		// First the database, so that the other sessions are worth nothing; then what is open.
		return auth.Revoke(ctx, layers.Get(layers.Default), auth.Revocation{User: me.User.Name, Except: me.Session, Reason: "password changed"})
	}
	_ = changePassword
}

// Clients that are no browsers send their token in a header; browsers offer it as a subprotocol, or send it first:
//
//	new WebSocket(url, ["bearer", "bearer." + token])
func ExampleFirstMessage() {
	users := auth.New(auth.Options[account]{
		ID: func(a account) string { return a.Name },
		Token: func(ctx context.Context, token string) (auth.Identity[account], error) { // see package auth/jwt
			return auth.Identity[account]{}, fmt.Errorf("no tokens yet: %w", auth.ErrInvalid)
		},
		FirstMessage: &auth.FirstMessage{},
	})
	app := users.Require(consumers.AsyncWebsocketConsumer[struct{}]{}.App())
	_ = app
}
