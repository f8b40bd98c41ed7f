package auth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/layers"
)

// ErrInvalid says that credentials are no good: functions of [Options] return it, wrapped or not, for a token that is
// expired or forged and for a user that does not exist. Any other error of theirs is a failure of the site: status 500.
var ErrInvalid = errors.New("the credentials are not valid")

// Options say who users are and how they prove it. U is the site's own type, a struct or a pointer.
type Options[U any] struct {
	// ID names a user for ever, in sessions and revocations. Required. It must not be empty.
	ID func(U) string

	// Session finds users who have logged in; default nil, no sessions.
	Session *Session[U]

	// Token verifies a bearer token; default nil, no tokens. [ErrInvalid] refuses it. Package auth/jwt makes such functions.
	Token func(ctx context.Context, token string) (Identity[U], error)
	// Query is a parameter of the URL that may hold the token; default none, and better so: URLs are logged.
	Query string
	// FirstMessage lets WebSockets send the token as their first message; default nil, they may not.
	FirstMessage *FirstMessage

	// Find is a way of the site's own; default nil. False: there are no credentials of this kind.
	Find func(ctx context.Context, scope *asgi.Scope) (id Identity[U], ok bool, err error)

	// Refuse is what [Authenticator.Require] answers to those without a user, such as a redirect to the login page; default
	// 401. WWW-Authenticate is added to a 401 that has none.
	Refuse func(*asgi.Scope) asgi.Deny
	// CloseCode closes a WebSocket whose credentials have ended; default 4401. Pages tell by it that a new login is needed.
	CloseCode int
	// Recheck is how often the credentials of an open connection are verified again, from 90 to 100 % of it; default 5 min.
	// Less costs more reads of the session store; below a millisecond is a number without its unit, and panics. Negative: never but after an outage of the layer.
	Recheck time.Duration
	// Layer finds the channel layer that carries revocations; default layers.Get(layers.Default). Nil, or a function that
	// returns nil: Logout closes the connections of this process only. Where scopes have a layer of their own, as in
	// asgitest, it is under consumers.LayerKey.
	Layer func(*asgi.Scope) *layers.Layer
	// Realm tells authenticators of one deployment apart: it names the group of revocations, the keys in sessions, and the
	// realm of WWW-Authenticate. Default "auth". Letters, digits, "-", "_" and ".".
	Realm string

	// OnLogin and OnLogout hear of each; default nil. They run within the call.
	OnLogin, OnLogout func(ctx context.Context, scope *asgi.Scope, user U)
}

// An Identity is a user and the credentials by which one was known.
type Identity[U any] struct {
	User U
	// Session names the credentials, so that they can be revoked and others of the same user not: a login, or the id of a
	// token. Empty: they can only be revoked together.
	Session string
	// Expires is when they end; zero: never.
	Expires time.Time
}

const (
	defaultCode    = 4401
	defaultRecheck = 5 * time.Minute
	defaultRealm   = "auth"
)

// An Authenticator knows the users of a site. Make one with [New], at start: it keeps a channel of the layer until the layer
// is closed.
type Authenticator[U any] struct {
	opts     Options[U]
	key      asgi.Key[*connection[U]]
	registry registry[U]
	joins    joins
	warned   warned
}

// New makes an Authenticator. It panics where the options cannot be meant.
func New[U any](o Options[U]) *Authenticator[U] {
	if problem := o.complete(); problem != "" {
		panic("auth: New: " + problem)
	}
	a := &Authenticator[U]{opts: o, key: asgi.NewKey[*connection[U]]("user")}
	a.registry.users = make(map[string]map[*connection[U]]struct{})
	return a
}

// complete fills in the defaults and returns what is wrong.
func (o *Options[U]) complete() (problem string) {
	if o.Realm == "" {
		o.Realm = defaultRealm
	}
	if o.CloseCode == 0 {
		o.CloseCode = defaultCode
	}
	if o.Recheck == 0 {
		o.Recheck = defaultRecheck
	}
	if o.Layer == nil {
		o.Layer = func(*asgi.Scope) *layers.Layer { return layers.Get(layers.Default) }
	}
	switch {
	case o.ID == nil:
		return "Options.ID is nil: say how a user is named, such as func(u User) string { return u.Name }"
	case o.Session == nil && o.Token == nil && o.Find == nil:
		return "there is no way to find a user: set Options.Session, Token or Find"
	case o.Token == nil && (o.Query != "" || o.FirstMessage != nil):
		return "Options.Query and FirstMessage are for tokens: set Options.Token"
	case layers.CheckGroup(groupOf(o.Realm)) != nil:
		return fmt.Sprintf("Options.Realm is %q: use letters, digits, \"-\", \"_\" and \".\", at most %d", o.Realm, layers.MaxNameLength-len(groupOf("")))
	case o.Recheck > 0 && o.Recheck < time.Millisecond:
		return fmt.Sprintf("Options.Recheck is %v, a number without its unit: write 5*time.Minute", o.Recheck)
	case o.CloseCode != 1008 && (o.CloseCode < 3000 || o.CloseCode > 4999):
		return fmt.Sprintf("Options.CloseCode is %d: use 1008, or 3000 to 4999", o.CloseCode)
	}
	if o.Session != nil {
		o.Session, problem = o.Session.complete(o.Realm)
	}
	if problem == "" && o.FirstMessage != nil {
		o.FirstMessage, problem = o.FirstMessage.complete()
	}
	return problem
}

// User is the user of a connection; false for one without, and where the middleware is missing. After Login and Logout it
// is the new one, also for those who hold the scope since before.
func (a *Authenticator[U]) User(scope *asgi.Scope) (user U, ok bool) {
	id, ok := a.Identity(scope)
	return id.User, ok
}

// Identity is the user of a connection with the credentials that it has shown.
func (a *Authenticator[U]) Identity(scope *asgi.Scope) (id Identity[U], ok bool) {
	c, ok := a.key.Get(scope)
	if !ok {
		return id, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.identity, c.known
}
