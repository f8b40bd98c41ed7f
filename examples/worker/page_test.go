package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tideway-go/tideway/examples/internal/webpage"
)

func TestPages(t *testing.T) {
	site := pages()
	webpage.Check(t, site, policy, webpage.Wants{
		{"/", 200, "text/html; charset=utf-8", `id="pictures"`},
		{"/static/album.css", 200, "text/css; charset=utf-8", "--tide"},
		{"/static/album.js", 200, "text/javascript; charset=utf-8", "WebSocket"},
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

// TestThePageKnowsTheBounds holds the page's constants, and what it tells people, to those of the server.
func TestThePageKnowsTheBounds(t *testing.T) {
	for file, want := range map[string]string{
		"page/album.js":   fmt.Sprintf("const MAX_BYTES = %d_000;\nconst SIZES = %d;", maxBytes/1000, len(sizes)),
		"page/index.html": fmt.Sprintf("up to %d kB each", maxBytes/1000),
	} {
		text, err := files.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), want) {
			t.Errorf("%s lacks %q", file, want)
		}
	}
}

func TestThePageNeedsNoOtherHost(t *testing.T) { webpage.CheckFiles(t, files) }
