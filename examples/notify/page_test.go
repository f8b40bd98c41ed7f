package main

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/tideway-go/tideway/examples/internal/webpage"
)

func TestPages(t *testing.T) {
	site := pages()
	webpage.Check(t, site, policy, webpage.Wants{
		{"/", 200, "text/html; charset=utf-8", `id="commands"`},
		{"/static/notify.css", 200, "text/css; charset=utf-8", "--tide"},
		{"/static/notify.js", 200, "text/javascript; charset=utf-8", "WebSocket"},
		{"/static/backoff.js", 200, "text/javascript; charset=utf-8", "export"},
		{"/static/icon.svg", 200, "image/svg+xml", "<svg"},
		{"/static/main.go", 404, "text/plain; charset=utf-8", ""},
		{"/elsewhere", 404, "text/plain; charset=utf-8", ""},
	})
	w := httptest.NewRecorder()
	site.ServeHTTP(w, httptest.NewRequest("POST", "/", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: status %d, want 405", w.Code)
	}
}

func TestThePageNeedsNoOtherHost(t *testing.T) { webpage.CheckFiles(t, files) }
