package webpage_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"testing/fstest"

	"go.uber.org/goleak"

	"github.com/tideway-go/tideway/examples/internal/webpage"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The files that all pages share obey the rules of a page too, and a page may have its own instead.
func TestCommonFiles(t *testing.T) {
	webpage.CheckFiles(t, os.DirFS("common"))
	page := fstest.MapFS{"icon.svg": {Data: []byte("<svg>own")}}
	webpage.Check(t, webpage.Guard("none", webpage.Mux(page)), "none", webpage.Wants{
		{"/static/icon.svg", 200, "image/svg+xml", "own"},
		{"/static/backoff.js", 200, "text/javascript; charset=utf-8", "export"},
		{"/static/page.css", 200, "text/css; charset=utf-8", "color-scheme"},
	})
}

func TestPage(t *testing.T) {
	page := fstest.MapFS{"index.html": {Data: []byte("<p>hello")}, "page.js": {Data: []byte("hello()")}}
	site := webpage.Guard("default-src 'self'", webpage.Mux(page))
	for path, want := range map[string]int{"/": 200, "/static/page.js": 200, "/static/page.css": 200, "/static/backoff.js": 200, "/static/icon.svg": 200,
		"/static/none.js": 404, "/page.js": 404} {
		w := httptest.NewRecorder()
		site.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != want {
			t.Errorf("GET %s: status %d, want %d", path, w.Code, want)
		}
		for name, want := range map[string]string{
			"Content-Security-Policy": "default-src 'self'", "X-Content-Type-Options": "nosniff",
			"Referrer-Policy": "no-referrer", "Cache-Control": "no-cache",
		} {
			if got := w.Header().Get(name); got != want && !(name == "Cache-Control" && w.Code == http.StatusNotFound) {
				t.Errorf("GET %s: %s is %q, want %q", path, name, got, want)
			}
		}
	}
}
