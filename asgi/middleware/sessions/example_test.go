package sessions_test

import (
	"context"
	"net/http"

	"github.com/alexedwards/scs/v2"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/middleware/sessions"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/routing"
)

// A site on net/http and scs gets a socket that reads its sessions, and saves a draft into them.
func Example() {
	manager := scs.New()
	pages := http.NewServeMux() // as they were, with manager.Get and Put

	type tab struct{ name string }
	editor := consumers.AsyncWebsocketConsumer[tab]{
		Connect: func(t *tab, ctx context.Context, c *consumers.Conn) error {
			if t.name = manager.GetString(ctx, "name"); t.name == "" {
				return asgi.Deny{Status: http.StatusForbidden}
			}
			return nil
		},
		Text: func(t *tab, ctx context.Context, c *consumers.Conn, draft string) error {
			ctx, err := sessions.Reload(ctx, manager) // pages have changed it since
			if err != nil {
				return err
			}
			manager.Put(ctx, "draft", draft)
			return sessions.Save(ctx, manager)
		},
	}.App()

	app := routing.Protocols(map[string]asgi.App{
		asgi.HTTP:      asgi.FromHandler(manager.LoadAndSave(pages)),
		asgi.WebSocket: sessions.New(manager)(routing.URLs(routing.Path("/ws/editor", editor))),
	})
	_ = app // server.New(app, nil).Run(ctx, ":8000")
}
