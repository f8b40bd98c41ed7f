package sessions_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alexedwards/scs/v2"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/middleware"
	"github.com/tideway-go/tideway/asgi/middleware/sessions"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/testing/asgitest"
)

// A socket reads its session, and saves when it says so.
func TestSocket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager()
		token := stored(t, m, "k", "old")
		site := with(asgitest.New(t, asgi.Wrap(socket(nil, func(ctx context.Context, text string) (string, error) {
			if text == "save" {
				return "saved", sessions.Save(ctx, m)
			}
			was := m.GetString(ctx, "k")
			m.Put(ctx, "k", text)
			return was, nil
		}), sessions.New(m))), m, token)
		ws := site.Dial("/")
		if ws.Header()["Set-Cookie"] != nil {
			t.Errorf("SE3: the accept sets %q", ws.Header()["Set-Cookie"])
		}
		ws.SendText("new")
		ws.ExpectText("old")
		if got, _ := read(t, m, token, "k"); got != "old" {
			t.Errorf("a socket saved %q by itself", got)
		}
		ws.SendText("save")
		ws.ExpectText("saved")
		if got, _ := read(t, m, token, "k"); got != "new" {
			t.Errorf("the store has %q after Save, want new", got)
		}
		ws.Disconnect()
	})
}

// Case 151 on a socket: saving and reading anew say that the session is gone, and bring nothing back.
func TestSocketDeletedElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager()
		token := stored(t, m, "k", "old")
		site := with(asgitest.New(t, asgi.Wrap(socket(nil, func(ctx context.Context, text string) (string, error) {
			if text == "reload" {
				same, err := sessions.Reload(ctx, m)
				if same != ctx {
					t.Errorf("with its error Reload returns the ctx %v, want the one that it was given", same)
				}
				if !errors.Is(err, sessions.ErrDeleted) {
					t.Errorf("SE2: Reload returns %v", err)
				}
				return "reloaded", nil
			}
			m.Put(ctx, "k", text)
			err := sessions.Save(ctx, m)
			if !errors.Is(err, sessions.ErrDeleted) {
				t.Errorf("SE2: Save returns %v", err)
			}
			return "", err
		}), sessions.New(m))), m, token)
		ws := site.Dial("/")
		if err := m.Store.Delete(token); err != nil {
			t.Fatal(err)
		}
		ws.SendText("reload")
		ws.ExpectText("reloaded")
		ws.SendText("v")
		ws.ExpectClose(1008, "session has ended")
		if _, found := read(t, m, token, "k"); found {
			t.Error("SE2: the session was brought back")
		}
	})
}

// A session that begins on a socket has its cookie in the 101, and afterwards none.
func TestSocketCookie(t *testing.T) {
	save := func(m *scs.SessionManager) func(context.Context) error {
		return func(ctx context.Context) error {
			m.Put(ctx, "k", "v")
			return sessions.Save(ctx, m)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		m := newManager()
		ws := asgitest.New(t, asgi.Wrap(socket(save(m), nil), sessions.New(m))).Dial("/")
		if got, _ := read(t, m, oneCookie(t, ws.Header()).Value, "k"); got != "v" {
			t.Errorf("the new session has %q, want v", got)
		}
		ws.Disconnect()

		for name, late := range map[string]func(context.Context) error{
			"save":  save(m),
			"renew": func(ctx context.Context) error { return sessions.Renew(ctx, m) },
		} {
			ws := asgitest.New(t, asgi.Wrap(socket(nil, func(ctx context.Context, _ string) (string, error) {
				if err := late(ctx); !errors.Is(err, middleware.ErrResponseBegun) {
					t.Errorf("%s after the accept returns %v, want ErrResponseBegun", name, err)
				}
				return "done", nil
			}), sessions.New(m))).Dial("/")
			ws.SendText("go")
			ws.ExpectText("done")
			ws.Disconnect()
		}
	})
}

// A renewal that could give the client no cookie leaves the session as it is.
func TestRenew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager()
		token := stored(t, m, "k", "old")
		site := with(asgitest.New(t, asgi.Wrap(socket(nil, func(ctx context.Context, _ string) (string, error) {
			if err := sessions.Renew(ctx, m); !errors.Is(err, middleware.ErrResponseBegun) {
				t.Errorf("Renew returns %v, want ErrResponseBegun", err)
			}
			return m.GetString(ctx, "k"), nil
		}), sessions.New(m))), m, token)
		ws := site.Dial("/")
		ws.SendText("go")
		ws.ExpectText("old")
		ws.Disconnect()
		if _, found := read(t, m, token, "k"); !found {
			t.Error("the session is gone")
		}

		var err error
		request := asgitest.New(t, asgi.Wrap(handle(200, func(ctx context.Context) error {
			if err = m.Store.Delete(token); err == nil {
				err = sessions.Renew(ctx, m)
			}
			return nil
		}), sessions.New(m)))
		if with(request, m, token).Request("GET", "/"); !errors.Is(err, sessions.ErrDeleted) {
			t.Errorf("SE2: a session that was deleted elsewhere is renewed with %v", err)
		}
	})
}

// Two sockets of one session have copies of their own; what one saves, the other sees when it reads again.
func TestReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager()
		token := stored(t, m, "k", "old", "kept", "here")
		site := with(asgitest.New(t, asgi.Wrap(socket(nil, func(ctx context.Context, text string) (string, error) {
			switch text {
			case "copy":
				return m.GetString(ctx, "k"), nil
			case "read":
				ctx, err := sessions.Reload(ctx, m)
				if err != nil {
					return "", err
				}
				return m.GetString(ctx, "k"), nil
			}
			ctx, err := sessions.Reload(ctx, m)
			if err != nil {
				return "", err
			}
			m.Put(ctx, "k", text)
			return "saved", sessions.Save(ctx, m)
		}), sessions.New(m))), m, token)
		ann, bob := site.Dial("/"), site.Dial("/")
		ann.SendText("new")
		ann.ExpectText("saved")
		bob.SendText("copy")
		bob.ExpectText("old")
		bob.SendText("read")
		bob.ExpectText("new")
		bob.SendText("newer")
		bob.ExpectText("saved")
		ann.SendText("read")
		ann.ExpectText("newer")
		if got, _ := read(t, m, token, "kept"); got != "here" {
			t.Errorf("SE4: the rest of the session is %q", got)
		}
		ann.Disconnect()
		bob.Disconnect()
	})
}

// The session is there for whoever has the ctx of a handler, or the scope alone.
func TestConsumer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager()
		type state struct{ name string }
		app := consumers.AsyncWebsocketConsumer[state]{
			New: func(scope *asgi.Scope) *state {
				return &state{m.GetString(sessions.Context(context.Background(), scope), "name")}
			},
			Text: func(s *state, ctx context.Context, c *consumers.Conn, text string) error {
				c.Go(func(ctx context.Context) error { return c.SendText(ctx, "work of "+m.GetString(ctx, "name")) })
				return c.SendText(ctx, s.name+" is "+m.GetString(ctx, "name"))
			},
			Disconnect: func(s *state, ctx context.Context, c *consumers.Conn, _ asgi.DisconnectError) error {
				m.Put(ctx, "seen", "yes")
				return sessions.Save(ctx, m)
			},
		}.App()
		token := stored(t, m, "name", "Ann")
		ws := with(asgitest.New(t, asgi.Wrap(app, sessions.New(m))), m, token).Dial("/")
		ws.SendText("?")
		got := map[string]bool{ws.ReceiveText(): true, ws.ReceiveText(): true}
		if !got["Ann is Ann"] || !got["work of Ann"] {
			t.Errorf("the consumer said %v", got)
		}
		ws.Disconnect()
		if got, _ := read(t, m, token, "seen"); got != "yes" {
			t.Errorf("Disconnect saved %q", got)
		}
	})
}

// Blocking handlers have no ctx of their own: the scope has the session.
func TestSyncConsumer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager()
		token := stored(t, m, "name", "Ann")
		app := consumers.SyncWebsocketConsumer[struct{}]{
			Text: func(_ *struct{}, c *consumers.SyncConn, text string) error {
				ctx, err := sessions.Reload(sessions.Context(context.Background(), c.Scope()), m)
				if err != nil {
					return err
				}
				was := m.GetString(ctx, "name")
				m.Put(ctx, "name", text)
				if err := sessions.Save(ctx, m); err != nil {
					return err
				}
				return c.SendText(was)
			},
		}.App()
		ws := with(asgitest.New(t, sessions.New(m)(app)), m, token).Dial("/")
		ws.SendText("Bob")
		ws.ExpectText("Ann")
		ws.SendText("Eve")
		ws.ExpectText("Bob")
		ws.Disconnect()
		if got, _ := read(t, m, token, "name"); got != "Eve" {
			t.Errorf("the store has %q", got)
		}
	})
}

// Loaded says when the session was read, and whether there is one.
func TestLoaded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager()
		began := time.Now()
		site := asgitest.New(t, sessions.New(m)(socket(nil, func(ctx context.Context, _ string) (string, error) {
			if at, ok := sessions.Loaded(ctx, m); !at.Equal(began) || !ok {
				t.Errorf("loaded at %v, %t; want %v", at, ok, began)
			}
			return "asked", nil
		})))
		ws := site.Dial("/")
		<-time.After(time.Minute)
		ws.SendText("?")
		ws.ExpectText("asked")
		ws.Disconnect()
		if at, ok := sessions.Loaded(t.Context(), m); ok {
			t.Errorf("a ctx without a session was loaded at %v", at)
		}
	})
}

// Without the middleware the errors say what to write.
func TestNoSession(t *testing.T) {
	m := newManager()
	ctx := context.Background()
	same, err := sessions.Reload(ctx, m)
	if same != ctx {
		t.Errorf("with its error Reload returns the ctx %v, want the one that it was given", same)
	}
	for _, err := range []error{err, sessions.Save(ctx, m), sessions.Renew(ctx, m)} {
		if err == nil {
			t.Error("a ctx without a session is one")
		}
	}
	if got := sessions.Context(ctx, &asgi.Scope{}); got != ctx {
		t.Error("a scope without a session changes the ctx")
	}
	defer func() {
		if text, _ := recover().(string); text != "sessions: New: the app is nil: pass the one that it stands around" {
			t.Errorf("without an app it panics with %q", text)
		}
	}()
	sessions.New(m)(nil)
}
