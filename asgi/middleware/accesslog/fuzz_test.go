package accesslog_test

import (
	"context"
	"net/url"
	"strings"
	"testing"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/middleware/accesslog"
)

// No value of a query parameter is in the line, however the query is written, but those that were asked for.
func FuzzQuery(f *testing.F) {
	for _, s := range []string{"", "a", "a=", "&", "%", "%zz=1&", "=", "room=1;", "a=1&a=2"} {
		f.Add(s, "x")
	}
	f.Fuzz(func(t *testing.T, before, name string) {
		logger, lines := observed()
		app := accesslog.New(&accesslog.Options{Logger: logger, Query: []string{"room"}})(asgi.AppFunc(
			func(context.Context, *asgi.Scope, asgi.Receive, asgi.Send) error { return asgi.Deny{} }))
		if name == "room" || strings.Contains(before, "s3cret") || strings.Contains(name, "s3cret") {
			return
		}
		for _, query := range []string{before + "&" + url.QueryEscape(name) + "=s3cret&room=7", "s3cret&" + before + "&room=7"} {
			_ = app.Serve(t.Context(), asgi.NewScope(asgi.Fields{Type: asgi.HTTP, RawQuery: query}), nil, nil)
			shown := lines.TakeAll()[0].ContextMap()["query"].(string)
			if strings.Contains(shown, "s3cret") || !strings.HasSuffix(shown, "&room=7") {
				t.Errorf("of %q the log has %q", query, shown)
			}
		}
	})
}
