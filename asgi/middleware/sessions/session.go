package sessions

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/alexedwards/scs/v2"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/middleware"
)

// ErrDeleted is returned for a session that is not in the store any more: it was deleted elsewhere, by a logout or a
// renewal, or has expired. Nothing was saved. A handler may return it: a request is refused with 400, as suspicious
// operations are in Django, and a WebSocket closes with 1008.
var ErrDeleted = errors.New("the session was deleted elsewhere or has expired")

// deleted is ErrDeleted with what it makes of the connection.
func (s *session) deleted() error {
	if s.scope.Type() == asgi.HTTP {
		return fmt.Errorf("%w%w", ErrDeleted, quiet{asgi.Deny{Status: http.StatusBadRequest}})
	}
	return fmt.Errorf("%w%w", ErrDeleted, quiet{asgi.CloseError{Code: 1008, Reason: "session has ended"}})
}

// quiet is an error for errors.As and not for readers.
type quiet struct{ error }

func (quiet) Error() string   { return "" }
func (q quiet) Unwrap() error { return q.error }

// A session is one connection's.
type session struct {
	manager *scs.SessionManager
	scope   *asgi.Scope
	send    asgi.Send
	ctx     context.Context // of Serve, with the session
	loaded  time.Time       // just before it was read; zero if somebody outside has done that
	foreign bool            // somebody outside has loaded it, and saves it with responses

	mu       sync.Mutex
	stored   string // the token under which it is in the store, as far as is known here; "" if not
	client   string // the token that the client has, or will have with the answer
	answered bool   // the headers have left
}

// sessionKey finds a connection's session of one manager in a ctx.
type sessionKey struct{ manager *scs.SessionManager }

// scopeKey holds the session of the innermost middleware, whose ctx holds those of all.
var scopeKey = asgi.NewKey[*session]("session")

func of(ctx context.Context, manager *scs.SessionManager) (*session, error) {
	s, ok := ctx.Value(sessionKey{manager}).(*session)
	if !ok {
		return nil, errors.New("ctx has no session of this manager: put sessions.New(manager) around the app, and use the ctx of a handler")
	}
	return s, nil
}

// Context returns ctx with the sessions of a connection, for code that has its scope and a ctx from elsewhere. The ctx of
// handlers has them already.
func Context(ctx context.Context, scope *asgi.Scope) context.Context {
	s, ok := scopeKey.Get(scope)
	if !ok {
		return ctx
	}
	return over{ctx, s.ctx}
}

// over is a ctx with the values of another one beneath it.
type over struct {
	context.Context
	beneath context.Context
}

func (c over) Value(key any) any {
	if v := c.Context.Value(key); v != nil {
		return v
	}
	return c.beneath.Value(key)
}

// Loaded is when the middleware began to read the session from the store, for code that must know what may have happened
// since; zero where LoadAndSave has read it. False if ctx has no session of this manager.
func Loaded(ctx context.Context, manager *scs.SessionManager) (at time.Time, ok bool) {
	s, err := of(ctx, manager)
	if err != nil {
		return time.Time{}, false
	}
	return s.loaded, true
}

// Save saves the session of ctx if it was modified. A session that is new or renewed, or was destroyed, needs a cookie,
// which goes with the answer: [middleware.ErrResponseBegun] when that has left. [ErrDeleted] when it was deleted elsewhere.
//
// Requests need it only for what is modified after the response has started.
func Save(ctx context.Context, manager *scs.SessionManager) error {
	s, err := of(ctx, manager)
	if err != nil {
		return fmt.Errorf("sessions: save: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.save(ctx)
}

// save is Save with the lock held.
func (s *session) save(ctx context.Context) error {
	m := s.manager
	switch m.Status(ctx) {
	case scs.Unmodified:
		return nil
	case scs.Destroyed:
		s.stored = ""
		return s.forget(ctx)
	}
	token := m.Token(ctx)
	known := token != "" && token == s.stored
	if known {
		if err := s.exists(ctx); err != nil {
			return fmt.Errorf("sessions: save: %w", err)
		}
	}
	if len(m.Keys(ctx)) == 0 {
		return s.empty(ctx, known)
	}
	if s.answered && (token == "" || token != s.client) {
		return fmt.Errorf("sessions: save: the session has a new token: %w", middleware.ErrResponseBegun)
	}
	token, expiry, err := m.Commit(ctx)
	if err != nil {
		return fmt.Errorf("sessions: save: %w", err)
	}
	s.stored, s.client = token, token
	if s.answered {
		return nil
	}
	return s.setCookie(ctx, token, expiry)
}

// empty deletes a session that has lost its last value.
func (s *session) empty(ctx context.Context, known bool) error {
	if known {
		if err := s.manager.Destroy(ctx); err != nil {
			return fmt.Errorf("sessions: save: delete the empty session: %w", err)
		}
	}
	s.stored = ""
	return s.forget(ctx)
}

// forget has the answer delete the cookie. A client that keeps it has a token of nothing.
func (s *session) forget(ctx context.Context) error {
	if s.client == "" || s.answered {
		return nil
	}
	s.client = ""
	return s.setCookie(ctx, "", time.Time{})
}

// setCookie lets scs say what the cookie is; a zero expiry deletes it.
func (s *session) setCookie(ctx context.Context, token string, expiry time.Time) error {
	h := headerWriter{}
	s.manager.WriteSessionCookie(ctx, h, token, expiry)
	cookie, err := http.ParseSetCookie(http.Header(h).Get("Set-Cookie"))
	if err == nil {
		if s.manager.Cookie.SameSite == 0 {
			cookie.SameSite = http.SameSiteDefaultMode // no attribute, for scs
		}
		err = middleware.SetCookie(s.scope, cookie)
	}
	if err != nil {
		return fmt.Errorf("sessions: save: %w", err)
	}
	return nil
}

// headerWriter is the ResponseWriter that scs writes a cookie to.
type headerWriter http.Header

func (h headerWriter) Header() http.Header       { return http.Header(h) }
func (headerWriter) Write(b []byte) (int, error) { return len(b), nil }
func (headerWriter) WriteHeader(int)             {}

// exists looks whether the session is still in the store. The lock is held.
func (s *session) exists(ctx context.Context) error {
	fresh, err := s.read(ctx)
	if err == nil && s.manager.Token(fresh) == "" {
		err = s.deleted()
	}
	return err
}

// read loads the session anew, beside that of ctx.
func (s *session) read(ctx context.Context) (context.Context, error) {
	return s.manager.Load(bare{ctx}, s.stored)
}

// bare is a ctx without values, so that Load does not find the session that is there.
type bare struct{ context.Context }

func (bare) Value(any) any { return nil }

// Reload returns a ctx with the session as it is in the store now, in place of the copy that ctx has; what was modified in
// that one and not saved is left behind. Save with the ctx that it returns. [ErrDeleted] when the session is gone; a
// connection that has none gets an empty one. With an error it returns the ctx that it was given, old copy and all.
func Reload(ctx context.Context, manager *scs.SessionManager) (context.Context, error) {
	s, err := of(ctx, manager)
	if err != nil {
		return ctx, fmt.Errorf("sessions: reload: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	fresh, err := s.read(ctx)
	if err == nil && s.stored != "" && manager.Token(fresh) == "" {
		err = s.deleted()
	}
	if err != nil {
		return ctx, fmt.Errorf("sessions: reload: %w", err)
	}
	return over{fresh, ctx}, nil
}

// Renew gives the session a new token, as it must have at every login and change of rights: one that somebody has planted
// in the browser before is worth nothing then (session fixation). It is the manager's RenewToken, but does nothing where
// the new cookie could not be sent ([middleware.ErrResponseBegun]) or the session was deleted elsewhere ([ErrDeleted]).
func Renew(ctx context.Context, manager *scs.SessionManager) error {
	s, err := of(ctx, manager)
	if err != nil {
		return fmt.Errorf("sessions: renew: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.answered:
		err = middleware.ErrResponseBegun
	case s.stored != "" && manager.Token(ctx) == s.stored:
		err = s.exists(ctx)
	}
	if err == nil {
		err = manager.RenewToken(ctx)
	}
	if err != nil {
		return fmt.Errorf("sessions: renew: %w", err)
	}
	s.stored = ""
	return nil
}
