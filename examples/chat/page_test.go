package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tideway-go/tideway/examples/internal/webpage"
)

func TestPages(t *testing.T) {
	site := pages()
	webpage.Check(t, site, policy, webpage.Wants{
		{"/", 200, "text/html; charset=utf-8", `id="join"`},
		{"/lobby/", 200, "text/html; charset=utf-8", `id="message"`},
		{"/lobby", 307, "text/html; charset=utf-8", "/lobby/"},
		{"/static/", 200, "text/html; charset=utf-8", `id="message"`}, // a room like any other
		{"/static/chat.css", 200, "text/css; charset=utf-8", "color-scheme"},
		{"/static/chat.js", 200, "text/javascript; charset=utf-8", "WebSocket"},
		{"/static/icon.svg", 200, "image/svg+xml", "<svg"},
		{"/static/room.go", 404, "text/plain; charset=utf-8", ""},
		{"/a.b/", 404, "text/plain; charset=utf-8", "letters, digits"},
		{"/" + strings.Repeat("r", 65) + "/", 404, "text/plain; charset=utf-8", "at most 64"},
		{"/" + strings.Repeat("r", 64) + "/", 200, "text/html; charset=utf-8", `id="message"`},
		{"/a/b/", 404, "text/plain; charset=utf-8", ""},
	})
	w := httptest.NewRecorder()
	site.ServeHTTP(w, httptest.NewRequest("POST", "/lobby/", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: status %d, want 405", w.Code)
	}
}

func TestThePageNeedsNoOtherHost(t *testing.T) { webpage.CheckFiles(t, files) }
