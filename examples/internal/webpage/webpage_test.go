package webpage_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/fstest"

	"go.uber.org/goleak"

	"github.com/tideway-go/tideway/examples/internal/webpage"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPage(t *testing.T) {
	page := fstest.MapFS{"index.html": {Data: []byte("<p>hello")}, "page.js": {Data: []byte("hello()")}}
	site := webpage.Guard("default-src 'self'", webpage.Mux(page))
	for path, want := range map[string]int{"/": 200, "/static/page.js": 200, "/static/none.js": 404, "/page.js": 404} {
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
