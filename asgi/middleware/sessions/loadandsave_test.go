package sessions_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/middleware/sessions"
	"github.com/tideway-go/tideway/asgi/server"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/routing"
)

// An existing site on net/http and scs shares its sessions with sockets: with LoadAndSave around its pages, or around the
// whole server, or with the middleware alone.
func TestLoadAndSave(t *testing.T) {
	m := newManager()
	pages := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if name := r.FormValue("name"); name != "" {
			m.Put(r.Context(), "name", name)
		}
		_, _ = io.WriteString(w, "Hello "+m.GetString(r.Context(), "name"))
	})
	greet := consumers.AsyncWebsocketConsumer[struct{}]{
		Text: func(_ *struct{}, ctx context.Context, c *consumers.Conn, text string) error {
			ctx, err := sessions.Reload(ctx, m)
			if err != nil {
				return err
			}
			was := m.GetString(ctx, "name")
			m.Put(ctx, "name", text)
			if err := sessions.Save(ctx, m); err != nil {
				return err
			}
			return c.SendText(ctx, "Hello "+was)
		},
	}.App()
	site := func(pages http.Handler) asgi.App {
		return routing.Protocols(map[string]asgi.App{asgi.HTTP: asgi.FromHandler(pages), asgi.WebSocket: greet})
	}
	for name, app := range map[string]func() (asgi.App, func(http.Handler) http.Handler){
		"around the pages": func() (asgi.App, func(http.Handler) http.Handler) {
			return routing.Protocols(map[string]asgi.App{
				asgi.HTTP:      asgi.FromHandler(m.LoadAndSave(pages)),
				asgi.WebSocket: sessions.New(m)(greet),
			}), func(h http.Handler) http.Handler { return h }
		},
		"around the server": func() (asgi.App, func(http.Handler) http.Handler) { return sessions.New(m)(site(pages)), m.LoadAndSave },
		"the middleware alone": func() (asgi.App, func(http.Handler) http.Handler) {
			return sessions.New(m)(site(pages)), func(h http.Handler) http.Handler { return h }
		},
		"both": func() (asgi.App, func(http.Handler) http.Handler) {
			return sessions.New(m)(site(m.LoadAndSave(pages))), func(h http.Handler) http.Handler { return h }
		},
	} {
		t.Run(name, func(t *testing.T) {
			app, around := app()
			srv := server.New(app, nil)
			live := httptest.NewServer(around(srv))
			t.Cleanup(func() {
				if err := srv.Shutdown(context.Background()); err != nil {
					t.Error(err)
				}
				live.Close()
			})
			page := func(path, cookie string) (body string, h http.Header) {
				r, err := http.NewRequest("GET", live.URL+path, nil)
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("Cookie", cookie)
				response, err := live.Client().Do(r)
				if err != nil {
					t.Fatal(err)
				}
				defer response.Body.Close()
				text, err := io.ReadAll(response.Body)
				if err != nil {
					t.Fatal(err)
				}
				return string(text), response.Header
			}
			_, h := page("/?name=Ann", "")
			if len(cookiesOf(h)) == 0 {
				t.Fatalf("the page sets no cookie: %v", h)
			}
			cookie := cookiesOf(h)[0].Name + "=" + cookiesOf(h)[0].Value
			ws, _, err := websocket.DefaultDialer.Dial(strings.Replace(live.URL, "http", "ws", 1), http.Header{"Cookie": {cookie}})
			if err != nil {
				t.Fatal(err)
			}
			defer ws.Close()
			if err := ws.WriteMessage(websocket.TextMessage, []byte("Bob")); err != nil {
				t.Fatal(err)
			}
			_, got, err := ws.ReadMessage()
			if err != nil || string(got) != "Hello Ann" {
				t.Errorf("the socket says %q (%v), want Hello Ann", got, err)
			}
			if body, _ := page("/", cookie); body != "Hello Bob" {
				t.Errorf("the page says %q, want what the socket saved", body)
			}
		})
	}
}
