package sessions_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/alexedwards/scs/v2/memstore"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/testing/asgitest"
)

// newManager is what scs.New makes, but for the store, which has no goroutine: that of scs.New never ends.
func newManager() *scs.SessionManager {
	return &scs.SessionManager{
		Lifetime: 24 * time.Hour,
		Store:    memstore.NewWithCleanupInterval(0),
		Codec:    scs.GobCodec{},
		Cookie:   scs.SessionCookie{Name: "sessionid", HttpOnly: true, Path: "/", SameSite: http.SameSiteLaxMode, Persist: true},
	}
}

// stored writes a session as another process of the site would, and returns its token.
func stored(t *testing.T, m *scs.SessionManager, pairs ...string) string {
	t.Helper()
	ctx, err := m.Load(context.Background(), "")
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(pairs); i += 2 {
		m.Put(ctx, pairs[i], pairs[i+1])
	}
	token, _, err := m.Commit(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// read is what the store has under a token, as another process of the site sees it.
func read(t *testing.T, m *scs.SessionManager, token, key string) (value string, found bool) {
	t.Helper()
	ctx, err := m.Load(context.Background(), token)
	if err != nil {
		t.Fatal(err)
	}
	return m.GetString(ctx, key), m.Token(ctx) != ""
}

// with is the site as a browser with this session sees it.
func with(site *asgitest.Site, m *scs.SessionManager, token string) *asgitest.Site {
	return site.With(&asgitest.Options{Cookies: []*http.Cookie{{Name: m.Cookie.Name, Value: token}}})
}

// cookiesOf are the cookies that headers set.
func cookiesOf(h http.Header) []*http.Cookie { return (&http.Response{Header: h}).Cookies() }

// oneCookie demands that headers set exactly one cookie.
func oneCookie(t *testing.T, h http.Header) *http.Cookie {
	t.Helper()
	cookies := cookiesOf(h)
	if len(cookies) != 1 {
		t.Fatalf("the answer sets %d cookies, want one: %q", len(cookies), h["Set-Cookie"])
	}
	return cookies[0]
}

// handle makes an app of what an HTTP handler does with a ctx before it responds.
func handle(status int, change func(ctx context.Context) error) asgi.App {
	return asgi.AppFunc(func(ctx context.Context, _ *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		if err := change(ctx); err != nil {
			return err
		}
		if err := send(ctx, asgi.HTTPResponseStart{Status: status}); err != nil {
			return err
		}
		return send(ctx, asgi.HTTPResponseBody{Body: []byte("done")})
	})
}

// socket makes an app of what is done before the accept, and at each message.
func socket(before func(ctx context.Context) error, each func(ctx context.Context, text string) (string, error)) asgi.App {
	return asgi.AppFunc(func(ctx context.Context, _ *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		if before != nil {
			if err := before(ctx); err != nil {
				return err
			}
		}
		if err := send(ctx, asgi.WebSocketAccept{}); err != nil {
			return err
		}
		for {
			event, err := receive(ctx)
			if errors.Is(err, asgi.ErrClosed) {
				return nil
			}
			if err != nil {
				return err
			}
			if e, ok := event.(asgi.WebSocketReceive); ok {
				answer, err := each(ctx, string(e.Frame.Data))
				if err != nil {
					return err
				}
				if err := send(ctx, asgi.WebSocketSend{Frame: asgi.TextFrame(answer)}); err != nil {
					return err
				}
			}
		}
	})
}
