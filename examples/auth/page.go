package main

import (
	"embed"
	"io/fs"
	"net/http"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/middleware/auth"
	"github.com/tideway-go/tideway/examples/internal/webpage"
)

// files are the pages of the notes and of the login, their style and their script.
//
//go:embed page
var files embed.FS

// policy lets the pages use what comes from here, and nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// maxForm is the largest login form.
const maxForm = 4 << 10

// pages serves the notes at /, the login at /login, and takes its forms. A form of another site is refused, besides the
// cookie's SameSite.
func (s *site) pages() http.Handler {
	page, err := fs.Sub(files, "page")
	if err != nil {
		panic(err) // the directory is named above
	}
	mux := webpage.Mux(page)
	mux.HandleFunc("GET /login", func(w http.ResponseWriter, r *http.Request) { http.ServeFileFS(w, r, page, "login.html") })
	mux.HandleFunc("POST /login", s.login)
	mux.HandleFunc("POST /logout", s.logout)
	mux.HandleFunc("POST /logout/everywhere", s.logoutEverywhere)
	return webpage.Guard(policy, http.NewCrossOriginProtection().Handler(mux))
}

func (s *site) login(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	u, err := s.people.check(r.PostFormValue("name"), r.PostFormValue("password"))
	if err != nil {
		http.Redirect(w, r, "/login?wrong", http.StatusSeeOther)
		return
	}
	scope, _ := asgi.ScopeOf(r.Context())
	s.done(w, r, s.users.Login(r.Context(), scope, u), "/")
}

// logout ends the login of this browser: its tabs hear of it by their sockets.
func (s *site) logout(w http.ResponseWriter, r *http.Request) {
	scope, _ := asgi.ScopeOf(r.Context())
	s.done(w, r, s.users.Logout(r.Context(), scope), "/login")
}

// logoutEverywhere ends all logins of the user, on all machines: first the sessions, so that nobody comes back with one,
// then what is open.
func (s *site) logoutEverywhere(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	scope, _ := asgi.ScopeOf(ctx)
	me, _ := s.users.User(scope) // there is one: Require is around
	err := s.users.Logout(ctx, scope)
	if err == nil {
		err = s.endSessions(me.Name)
	}
	if err == nil {
		err = auth.Revoke(ctx, s.layer, auth.Revocation{User: me.Name, Reason: "logged out everywhere"})
	}
	s.done(w, r, err, "/login")
}

// endSessions deletes the sessions of a user. A site with many sessions keeps a list of each user's, or has
// auth.Session.Hash cover a counter of the account's.
func (s *site) endSessions(name string) error {
	all, err := s.store.All()
	if err != nil {
		return err
	}
	for token, data := range all {
		_, values, err := s.sessions.Codec.Decode(data)
		if err == nil && values["auth.user"] == name {
			err = s.store.Delete(token)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// done goes on to another page, or says what failed.
func (s *site) done(w http.ResponseWriter, r *http.Request, err error, next string) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	http.Redirect(w, r, next, http.StatusSeeOther)
}
