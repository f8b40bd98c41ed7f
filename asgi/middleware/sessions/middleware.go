package sessions

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/alexedwards/scs/v2"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/internal/wrap"
	"github.com/tideway-go/tideway/asgi/middleware"
)

// New makes a middleware that gives each request and each WebSocket the session that its cookie names, or an empty one.
// Other types of scope pass through.
//
// A store that fails is an error before the app runs, and so status 500. New panics when manager is nil or its cookie is
// one that browsers refuse.
func New(manager *scs.SessionManager) asgi.Middleware {
	if manager == nil {
		panic("sessions: New: manager is nil: pass the scs.SessionManager of the site")
	}
	if err := checkCookie(manager.Cookie); err != nil {
		panic("sessions: New: " + err.Error())
	}
	return func(app asgi.App) asgi.App {
		wrap.NeedApp("sessions: New", app)
		return middleware.Cookies(serving{manager, app})
	}
}

// serving is the app inside, with sessions.
type serving struct {
	manager *scs.SessionManager
	app     asgi.App
}

func (a serving) Serve(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
	if !wrap.Concerns(scope) {
		return a.app.Serve(ctx, scope, receive, send)
	}
	if _, err := of(ctx, a.manager); err == nil { // one around this one has done it
		return a.app.Serve(ctx, scope, receive, send)
	}
	s := &session{manager: a.manager, send: send, scope: scope}
	if err := s.load(ctx); err != nil {
		return fmt.Errorf("sessions: load: %w", err)
	}
	inner := scopeKey.With(scope, s)
	if s.foreign && scope.Type() == asgi.HTTP {
		return a.app.Serve(s.ctx, inner, receive, send)
	}
	return s.conclude(a.app.Serve(s.ctx, inner, receive, s.forward))
}

// checkCookie finds what makes a cookie that scs writes as nothing, or that browsers drop.
func checkCookie(c scs.SessionCookie) error {
	probe := http.Cookie{Name: c.Name, Value: "x", Domain: c.Domain, Path: c.Path, Secure: c.Secure, Partitioned: c.Partitioned}
	if err := probe.Valid(); err != nil {
		return fmt.Errorf("the manager's Cookie: %w", err)
	}
	switch c.SameSite {
	case 0, http.SameSiteDefaultMode, http.SameSiteLaxMode, http.SameSiteStrictMode:
		return nil
	case http.SameSiteNoneMode:
		if !c.Secure {
			return errors.New("the manager's Cookie has SameSite None, which browsers take with Secure only: set Cookie.Secure")
		}
		return nil
	}
	return fmt.Errorf("the manager's Cookie.SameSite is %d: use one of http.SameSiteLaxMode, SameSiteStrictMode and SameSiteNoneMode", c.SameSite)
}

// load reads the session that the scope's cookie names.
func (s *session) load(ctx context.Context) error {
	outside := insideOf{ctx, s.scope}
	loaded := time.Now()
	token, _ := middleware.CookieOf(s.scope, s.manager.Cookie.Name)
	data, err := s.manager.Load(outside, token)
	if err != nil {
		return err
	}
	if s.foreign = data == context.Context(outside); !s.foreign {
		s.loaded = loaded
	}
	s.stored = s.manager.Token(data)
	s.client = s.stored
	s.ctx = context.WithValue(data, sessionKey{s.manager}, s)
	return nil
}

// insideOf is the ctx of Serve with the values of the HTTP request behind it, among them a session of LoadAndSave.
type insideOf struct {
	context.Context
	scope *asgi.Scope
}

// Value looks into the ctx first: it is the younger one.
func (c insideOf) Value(key any) any {
	if v := c.Context.Value(key); v != nil {
		return v
	}
	return c.scope.Value(key)
}

// forward is the Send of the app inside.
func (s *session) forward(ctx context.Context, event asgi.Event) error {
	switch e := event.(type) {
	case asgi.HTTPResponseStart:
		s.mu.Lock()
		defer s.mu.Unlock()
		if err := s.settle(e.Status); err != nil {
			return err
		}
		if e.Header = e.Header.Clone(); e.Header == nil {
			e.Header = http.Header{}
		}
		e.Header.Add("Vary", "Cookie")
		return s.answer(ctx, e)
	case asgi.WebSocketAccept, asgi.WebSocketHTTPResponseStart:
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.answer(ctx, e)
	}
	return s.send(ctx, event)
}

// answer sends the event that the cookie goes with. One that the server refuses has answered nothing. The lock is held, so
// that a Save comes before it or knows of it.
func (s *session) answer(ctx context.Context, event asgi.Event) error {
	err := s.send(ctx, event)
	s.answered = s.answered || err == nil
	return err
}

// settle saves the session of a request that is about to be answered. The lock is held.
func (s *session) settle(status int) error {
	if s.answered || status == http.StatusInternalServerError {
		return nil
	}
	return s.save(s.ctx)
}

// conclude saves the session of a request that the app refuses by returning an error.
func (s *session) conclude(err error) error {
	var deny asgi.Deny
	var panicked *asgi.PanicError
	if s.scope.Type() != asgi.HTTP || !errors.As(err, &deny) || errors.As(err, &panicked) || errors.Is(err, ErrDeleted) {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if failure := s.settle(deny.StatusCode()); failure != nil {
		return failure
	}
	return err
}
