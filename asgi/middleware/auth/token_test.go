package auth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/middleware/auth"
	"github.com/tideway-go/tideway/testing/asgitest"
)

// tokens is an authenticator of tokens alone.
func tokens(change func(*auth.Options[account])) *auth.Authenticator[account] {
	o := auth.Options[account]{ID: func(u account) string { return u.Name }, Token: newAccounts().token}
	if change != nil {
		change(&o)
	}
	return auth.New(o)
}

// seen is an app that says who is there and what it sees of the handshake.
func seen(users *auth.Authenticator[account]) asgi.App {
	return asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		u, ok := users.User(scope)
		if !ok {
			u.Name = "nobody"
		}
		text := u.Name + " " + strings.Join(scope.Subprotocols(), ",") + " " + scope.Header().Get("Sec-Websocket-Protocol") + " " + scope.RawQuery()
		if scope.Type() == asgi.HTTP {
			if err := send(ctx, asgi.HTTPResponseStart{Status: 200}); err != nil {
				return err
			}
			return send(ctx, asgi.HTTPResponseBody{Body: []byte(text)})
		}
		var accept asgi.WebSocketAccept
		if slices.Contains(scope.Subprotocols(), "chat") {
			accept.Subprotocol = "chat"
		}
		if err := send(ctx, accept); err != nil {
			return err
		}
		return send(ctx, asgi.WebSocketSend{Frame: asgi.TextFrame(text)})
	})
}

// How a request says who it is, and what a bad one gets.
func TestAuthorization(t *testing.T) {
	for _, c := range []struct {
		name   string
		header []string
		query  string
		status int
		body   string
		realm  string // what is added to the challenge
	}{
		{name: "a token", header: []string{"Bearer ann"}, status: 200, body: "ann   "},
		{name: "a scheme in lower case", header: []string{"bearer  ann"}, status: 200, body: "ann   "},
		{name: "another scheme", header: []string{"Basic YW5uOjE="}, status: 401},
		{name: "none", status: 401},
		{name: "A1: nobody's token", header: []string{"Bearer eve"}, status: 401, realm: `, error="invalid_token"`},
		{name: "A1: an expired token", header: []string{"Bearer ann-0"}, status: 401, realm: `, error="invalid_token"`},
		{name: "A1: no token at all", header: []string{"Bearer"}, status: 400, realm: `, error="invalid_request"`},
		{name: "A1: what is no token", header: []string{"Bearer a b"}, status: 400, realm: `, error="invalid_request"`},
		{name: "A1: two tokens", header: []string{"Bearer ann", "Bearer bob"}, status: 400, realm: `, error="invalid_request"`},
		{name: "A1: a token in two places", header: []string{"Bearer ann"}, query: "?token=ann", status: 400, realm: `, error="invalid_request"`},
		{name: "A2: the query", query: "?a=1&token=ann&b=%20", status: 200, body: "ann   a=1&b=%20"},
		{name: "A2: the query, written in another way", query: "?%74oken=%61nn", status: 200, body: "ann   "},
		{name: "A1: the query, malformed", query: "?token=%zz", status: 400, realm: `, error="invalid_request"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				users := tokens(func(o *auth.Options[account]) { o.Query, o.Realm = "token", "tests" })
				site := asgitest.New(t, users.Require(seen(users)))
				site = site.With(&asgitest.Options{Header: http.Header{"Authorization": c.header}})
				r := site.Request("GET", "/"+c.query)
				if r.Status != c.status || string(r.Body) != c.body {
					t.Errorf("%d %q, want %d %q", r.Status, r.Body, c.status, c.body)
				}
				challenge, want := r.Header.Get("Www-Authenticate"), `Bearer realm="tests"`+c.realm
				if c.status == 200 {
					want = ""
				}
				if challenge != want {
					t.Errorf("WWW-Authenticate is %q, want %q", challenge, want)
				}
				if c.status == 200 {
					return
				}
				if refusal := site.Refused("/" + c.query); refusal.Status != c.status || refusal.Header.Get("Www-Authenticate") != want {
					t.Errorf("a WebSocket gets %v", refusal)
				}
			})
		})
	}
}

// Without Require those without a user pass, and bad credentials do not.
func TestAnonymous(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		users := tokens(nil)
		site := asgitest.New(t, users.Middleware(users.Middleware(seen(users))))
		if r := site.Request("GET", "/"); string(r.Body) != "nobody   " {
			t.Errorf("a request without credentials: %d %q", r.Status, r.Body)
		}
		site = site.With(&asgitest.Options{Header: http.Header{"Authorization": {"Bearer eve"}}})
		if r := site.Request("GET", "/"); r.Status != 401 {
			t.Errorf("A1: bad credentials count as none: %d %q", r.Status, r.Body)
		}
	})
}

// A token among the subprotocols, which is all that a browser's WebSocket can send.
func TestSubprotocol(t *testing.T) {
	for _, c := range []struct {
		name   string
		offer  []string
		chosen string
		text   string
	}{
		{"A2: beside the app's own", []string{"v2", "chat", "bearer.ann"}, "chat", "ann v2,chat v2, chat "},
		{"A2: beside the bare one", []string{"bearer", "bearer.ann"}, "bearer", "ann   "},
		{"A2: beside both", []string{"bearer", "bearer.ann", "chat"}, "chat", "ann chat chat "},
		{"A2: alone", []string{"bearer.ann"}, "", "ann   "},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				users := tokens(nil)
				site := asgitest.New(t, users.Require(seen(users)))
				ws := site.DialWith("/", &asgitest.Options{Subprotocols: c.offer})
				ws.ExpectText(c.text)
				if got := ws.Subprotocol(); got != c.chosen {
					t.Errorf("the subprotocol is %q, want %q", got, c.chosen)
				}
				ws.Wait()
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		users := tokens(nil)
		for _, offer := range [][]string{{"bearer."}, {"bearer.ann", "bearer.bob"}} {
			refusal := asgitest.New(t, users.Middleware(seen(users))).With(&asgitest.Options{Subprotocols: offer}).Refused("/")
			if refusal.Status != 400 {
				t.Errorf("A1: offering %q gets %v", offer, refusal)
			}
		}
	})
}

// An app cannot choose the subprotocol that holds the token.
func TestNoEcho(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		users := tokens(nil)
		var echo error
		site := asgitest.New(t, users.Require(asgi.AppFunc(func(ctx context.Context, _ *asgi.Scope, _ asgi.Receive, send asgi.Send) error {
			echo = send(ctx, asgi.WebSocketAccept{Subprotocol: "bearer.ann"})
			return send(ctx, asgi.WebSocketAccept{})
		})))
		ws := site.DialWith("/", &asgitest.Options{Subprotocols: []string{"bearer.ann"}})
		if echo == nil || ws.Subprotocol() != "" {
			t.Errorf("A2: the token is sent back as the subprotocol %q (%v)", ws.Subprotocol(), echo)
		}
		ws.Wait()
	})
}

// Find comes first, and its error is a failure or a refusal.
func TestFind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		users := tokens(func(o *auth.Options[account]) {
			o.Find = func(_ context.Context, scope *asgi.Scope) (id auth.Identity[account], ok bool, err error) {
				switch id.User.Name = scope.Header().Get("X-User"); id.User.Name {
				case "":
					return id, false, nil
				case "eve":
					return id, true, auth.ErrInvalid
				case "broken":
					return id, false, errDatabase
				}
				return id, true, nil
			}
			o.Refuse = func(*asgi.Scope) asgi.Deny {
				return asgi.Deny{Status: 303, Header: http.Header{"Location": {"/login"}}}
			}
		})
		site := asgitest.New(t, users.Require(seen(users)))
		as := func(name string) *asgitest.Site {
			return site.With(&asgitest.Options{Header: http.Header{"X-User": {name}}})
		}
		if r := as("bob").Request("GET", "/"); string(r.Body) != "bob   " {
			t.Errorf("%d %q", r.Status, r.Body)
		}
		if r := as("eve").Request("GET", "/"); r.Status != 401 {
			t.Errorf("A1: %d %q, want 401", r.Status, r.Body)
		}
		if r := site.Request("GET", "/"); r.Status != 303 || r.Header.Get("Location") != "/login" {
			t.Errorf("Refuse is not asked: %d %v", r.Status, r.Header)
		}
		e := as("broken").Stream("GET", "/")
		if status, _ := e.Start(); status != 500 {
			t.Errorf("a failure is %d, want 500", status)
		}
		if err := e.Wait(); !errors.Is(err, errDatabase) {
			t.Errorf("a failure is %v", err)
		}
	})
}

// Where Find knows the user, the token is hidden all the same.
func TestFindHidesToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		users := tokens(func(o *auth.Options[account]) {
			o.Find = func(context.Context, *asgi.Scope) (auth.Identity[account], bool, error) {
				return auth.Identity[account]{User: account{Name: "bob"}}, true, nil
			}
		})
		ws := asgitest.New(t, users.Require(seen(users))).DialWith("/", &asgitest.Options{Subprotocols: []string{"chat", "bearer.ann"}})
		if got := ws.ReceiveText(); got != "bob chat chat " {
			t.Errorf("A2: the app sees %q", got)
		}
		ws.Wait()
	})
}

// A 401 of Refuse has a challenge too.
func TestRefuse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		users := tokens(func(o *auth.Options[account]) {
			o.Refuse = func(*asgi.Scope) asgi.Deny { return asgi.Deny{Status: 401, Body: []byte("who is there?")} }
		})
		r := asgitest.New(t, users.Require(seen(users))).Request("GET", "/")
		if r.Status != 401 || string(r.Body) != "who is there?" || r.Header.Get("Www-Authenticate") != `Bearer realm="auth"` {
			t.Errorf("%d %q %v", r.Status, r.Body, r.Header)
		}
	})
}

// Other scopes pass.
func TestLifespan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		users := tokens(nil)
		raw := asgitest.New(t, users.Require(asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, _ asgi.Receive, send asgi.Send) error {
			if _, ok := users.User(scope); ok {
				t.Error("a lifespan has a user")
			}
			return send(ctx, asgi.LifespanStartupComplete{})
		}))).Raw(asgi.NewScope(asgi.Fields{Type: asgi.Lifespan}))
		raw.Expect(asgi.LifespanStartupComplete{})
		if err := raw.Wait(); err != nil {
			t.Error(err)
		}
	})
}

// What cannot be meant says so at start.
func TestMistakes(t *testing.T) {
	id := func(u account) string { return u.Name }
	token := newAccounts().token
	for want, o := range map[string]auth.Options[account]{
		"Options.ID is nil":     {Token: token},
		"no way to find a user": {ID: id},
		"set Options.Token":     {ID: id, Session: &auth.Session[account]{}, Query: "token"},
		"Session.Manager":       {ID: id, Session: &auth.Session[account]{}},
		"Session.Load":          {ID: id, Session: &auth.Session[account]{Manager: newManager()}},
		"Options.Realm":         {ID: id, Token: token, Realm: "my site"},
		"Options.CloseCode":     {ID: id, Token: token, CloseCode: 1000},
		"Options.Recheck is 5ns, a number without its unit: write 5*time.Minute":       {ID: id, Token: token, Recheck: 5},
		"FirstMessage.Within is 10ns, a number without its unit: write 10*time.Second": {ID: id, Token: token, FirstMessage: &auth.FirstMessage{Within: 10}},
		"FirstMessage": {ID: id, Token: token, FirstMessage: &auth.FirstMessage{Within: -time.Second}},
	} {
		t.Run(want, func(t *testing.T) {
			defer func() {
				if text, _ := recover().(string); !strings.Contains(text, want) {
					t.Errorf("New panics with %q, want %q in it", text, want)
				}
			}()
			auth.New(o)
		})
	}
	func() {
		defer func() {
			if text, _ := recover().(string); !strings.Contains(text, "make it with auth.New") {
				t.Errorf("a nil Authenticator panics with %q", text)
			}
		}()
		var users *auth.Authenticator[account]
		users.Middleware(asgi.AppFunc(nil))
	}()
	for name, m := range map[string]asgi.Middleware{"Middleware": tokens(nil).Middleware, "Require": tokens(nil).Require} {
		func() {
			defer func() {
				if text, _ := recover().(string); !strings.HasPrefix(text, "auth: "+name+": the app is nil: pass the one") {
					t.Errorf("%s of no app panics with %q", name, text)
				}
			}()
			m(nil)
		}()
	}
}

// Why credentials are refused is in one line of the log, and nowhere else.
func TestReasonOfRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logged := observer.New(zap.InfoLevel)
		reason := fmt.Errorf("the issuer is another one: %w", auth.ErrInvalid)
		users := auth.New(auth.Options[account]{
			ID:           func(a account) string { return a.Name },
			Token:        func(context.Context, string) (auth.Identity[account], error) { return auth.Identity[account]{}, reason },
			FirstMessage: &auth.FirstMessage{},
		})
		with := asgitest.Options{Logger: zap.New(core), Client: "192.0.2.1:5", Header: http.Header{"Authorization": {"Bearer secret"}}}
		site := asgitest.New(t, users.Require(seen(users)))
		if r := site.With(&with).Request("GET", "/page"); r.Status != 401 || strings.Contains(string(r.Body)+fmt.Sprint(r.Header), "issuer") {
			t.Errorf("the client got %d %q %v", r.Status, r.Body, r.Header)
		}
		site.With(&with).Refused("/socket")
		with.Header = nil
		ws := site.With(&with).Dial("/first")
		ws.SendText("secret")
		ws.ExpectClose(4401, "token is not valid")
		var lines []string
		for _, e := range logged.FilterMessage("auth: credentials refused").All() {
			m := e.ContextMap()
			lines = append(lines, fmt.Sprint(m["path"], " ", m["client"], " ", m["error"]))
		}
		var want []string
		for _, path := range []string{"/page", "/socket", "/first"} {
			want = append(want, path+" 192.0.2.1:5 "+reason.Error())
		}
		if !slices.Equal(lines, want) {
			t.Errorf("the log has %q, want %q", lines, want)
		}
		for _, e := range logged.All() {
			if strings.Contains(fmt.Sprint(e.Message, e.ContextMap()), "secret") {
				t.Errorf("the log has the token: %v", e)
			}
		}
	})
}
