package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"

	"github.com/alexedwards/scs/v2"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/middleware/sessions"
)

// Session finds users in the sessions of an scs site.
type Session[U any] struct {
	// Manager is the site's, around which sessions.New stands. Required.
	Manager *scs.SessionManager
	// Load gets a user by the id that is in the session. Required. [ErrInvalid]: there is none any more, the connection is
	// anonymous. Other errors are failures of the site.
	Load func(ctx context.Context, id string) (U, error)
	// Hash returns what invalidates a user's sessions when it changes: the hash of the password, a counter that "log out
	// everywhere" raises. Default nil: nothing does. Only a digest of it is put into the session. Sessions that were begun
	// without Login have none, so set it only where all logins go through Login.
	Hash func(U) string
	// Key is where the session holds the id of the user, as a string, int or int64; default "auth.user", of the realm. Set
	// it to read the sessions of a site that has its own login. Login writes a string.
	Key string

	hashKey, loginKey string
}

// complete returns a copy with the defaults filled in, or what is wrong.
func (s *Session[U]) complete(realm string) (*Session[U], string) {
	full := *s
	switch {
	case s.Manager == nil:
		return nil, "Session.Manager is nil: pass the scs.SessionManager of the site"
	case s.Load == nil:
		return nil, "Session.Load is nil: say how a user is found by its id"
	}
	if full.Key == "" {
		full.Key = realm + ".user"
	}
	full.hashKey, full.loginKey = realm+".hash", realm+".login"
	return &full, ""
}

// errNoSession is for a stack without sessions.
var errNoSession = errors.New("there is no session: put sessions.New(manager) around the Authenticator, and use the ctx of a handler")

// bySession finds the user who has logged in.
func (a *Authenticator[U]) bySession(ctx context.Context) (finding[U], error) {
	s := a.opts.Session
	since, ok := sessions.Loaded(ctx, s.Manager)
	if !ok {
		return finding[U]{}, errNoSession
	}
	id, err := a.sessionUser(ctx)
	switch {
	case errors.Is(err, errOutdated):
		err = s.Manager.Destroy(ctx)
		return finding[U]{}, err
	case errors.Is(err, ErrInvalid):
		return finding[U]{}, nil
	}
	return finding[U]{id, true, since, a.sessionAgain(ctx)}, err
}

// sessionAgain reads the session from the store again. inside is a ctx that has the session.
func (a *Authenticator[U]) sessionAgain(inside context.Context) func(context.Context) (Identity[U], error) {
	return func(ctx context.Context) (id Identity[U], err error) {
		fresh, err := sessions.Reload(withValues{ctx, inside}, a.opts.Session.Manager)
		switch {
		case errors.Is(err, sessions.ErrDeleted):
			return id, fmt.Errorf("%w: %w", ErrInvalid, sessions.ErrDeleted)
		case err != nil:
			return id, err
		}
		return a.sessionUser(fresh)
	}
}

// withValues is a ctx with the values of another.
type withValues struct {
	context.Context
	values context.Context
}

func (c withValues) Value(key any) any { return c.values.Value(key) }

// errOutdated is for a session whose user has changed since, a password for instance.
var errOutdated = fmt.Errorf("the session is older than the user's hash: %w", ErrInvalid)

// sessionUser is the user of the session in ctx. [ErrInvalid]: there is none.
func (a *Authenticator[U]) sessionUser(ctx context.Context) (id Identity[U], err error) {
	s := a.opts.Session
	name := s.userID(ctx)
	if name == "" {
		return id, ErrInvalid
	}
	user, err := s.Load(ctx, name)
	if err != nil {
		return id, err
	}
	if s.Hash != nil && !s.sameHash(ctx, name, user) {
		return id, errOutdated
	}
	return Identity[U]{User: user, Session: s.login(ctx), Expires: s.Manager.Deadline(ctx)}, nil
}

// userID reads the id, whatever of these a site has put there.
func (s *Session[U]) userID(ctx context.Context) string {
	switch v := s.Manager.Get(ctx, s.Key).(type) {
	case string:
		return v
	case int:
		return strconv.Itoa(v)
	case int64:
		return strconv.FormatInt(v, 10)
	}
	return ""
}

// digest is what the session holds of Hash: nobody can go back from it.
func (s *Session[U]) digest(id string, user U) string {
	sum := sha256.Sum256([]byte(s.hashKey + "\x00" + id + "\x00" + s.Hash(user)))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func (s *Session[U]) sameHash(ctx context.Context, id string, user U) bool {
	return subtle.ConstantTimeCompare([]byte(s.Manager.GetString(ctx, s.hashKey)), []byte(s.digest(id, user))) == 1
}

// login names the login of the session. One that was begun without Login is named by its token, of which nobody can learn
// the token.
func (s *Session[U]) login(ctx context.Context) string {
	if name := s.Manager.GetString(ctx, s.loginKey); name != "" {
		return name
	}
	sum := sha256.Sum256([]byte(s.loginKey + "\x00" + s.Manager.Token(ctx)))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// Login makes user the one of the session and of the connection. The session gets a new token; what it holds stays, unless
// it was another user's.
//
// In a request the session is saved with the response, which must not have started; in Connect, before a WebSocket is
// accepted, it is saved at once. On an accepted WebSocket Login changes nothing and returns [middleware.ErrResponseBegun]:
// log in by a request, then open the WebSocket.
func (a *Authenticator[U]) Login(ctx context.Context, scope *asgi.Scope, user U) error {
	if err := a.login(ctx, scope, user); err != nil {
		return fmt.Errorf("auth: login: %w", err)
	}
	if a.opts.OnLogin != nil {
		a.opts.OnLogin(ctx, scope, user)
	}
	return nil
}

func (a *Authenticator[U]) login(ctx context.Context, scope *asgi.Scope, user U) error {
	c, s, err := a.withSession(ctx, scope)
	if err != nil {
		return err
	}
	id := a.opts.ID(user)
	if id == "" {
		return errors.New("the user has no id: pass one for whom Options.ID returns a name")
	}
	oldID, oldLogin := s.userID(ctx), s.login(ctx)
	if err := sessions.Renew(ctx, s.Manager); err != nil {
		return err
	}
	if oldID != "" && (oldID != id || s.Hash != nil && !s.sameHash(ctx, id, user)) {
		if err := s.Manager.Clear(ctx); err != nil {
			return err
		}
	}
	s.Manager.Put(ctx, s.Key, id)
	s.Manager.Put(ctx, s.loginKey, rand.Text())
	if s.Hash != nil {
		s.Manager.Put(ctx, s.hashKey, s.digest(id, user))
	}
	if scope.Type() == asgi.WebSocket {
		if err := sessions.Save(ctx, s.Manager); err != nil {
			return err
		}
	}
	c.enter(id, finding[U]{
		identity: Identity[U]{User: user, Session: s.login(ctx), Expires: s.Manager.Deadline(ctx)},
		again:    a.sessionAgain(ctx),
	})
	if oldID == "" {
		return nil
	}
	return a.revoke(ctx, c.layer, Revocation{User: oldID, Session: oldLogin})
}

// Logout ends the session: it is deleted from the store, the connection goes on without a user, and all others that came
// with the same login are closed, in every process. Where nobody is logged in it does no more than delete the session.
//
// On a WebSocket the browser keeps the cookie, which is worth nothing any more.
func (a *Authenticator[U]) Logout(ctx context.Context, scope *asgi.Scope) error {
	c, s, err := a.withSession(ctx, scope)
	if err != nil {
		return fmt.Errorf("auth: logout: %w", err)
	}
	id, login := s.userID(ctx), s.login(ctx)
	me, ok := a.Identity(scope)
	if err := s.Manager.Destroy(ctx); err != nil {
		return fmt.Errorf("auth: logout: delete the session: %w", err)
	}
	c.leave()
	if id == "" {
		return nil
	}
	if ok && me.Session == login && a.opts.OnLogout != nil { // and not known by a token
		a.opts.OnLogout(ctx, scope, me.User)
	}
	if err := a.revoke(ctx, c.layer, Revocation{User: id, Session: login}); err != nil {
		return fmt.Errorf("auth: logout: the session is deleted, its other connections may stay until they are checked: %w", err)
	}
	return nil
}

// withSession is what Login and Logout need.
func (a *Authenticator[U]) withSession(ctx context.Context, scope *asgi.Scope) (*connection[U], *Session[U], error) {
	if a.opts.Session == nil {
		return nil, nil, errors.New("there are no sessions: set Options.Session; tokens begin and end where they are issued")
	}
	c, ok := a.key.Get(scope)
	if !ok {
		return nil, nil, errors.New("the scope has no user: put the Authenticator's Middleware around the app")
	}
	if _, ok := sessions.Loaded(ctx, a.opts.Session.Manager); !ok {
		return nil, nil, errNoSession
	}
	return c, a.opts.Session, nil
}
