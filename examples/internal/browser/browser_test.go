package browser_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/tideway-go/tideway/examples/internal/browser"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A page with a policy that forbids eval, which the tabs must do without.
const page = `<!doctype html><meta name=viewport content="width=device-width"><title>page</title><p id=a>one</p><p>two</p>`

func TestTab(t *testing.T) {
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'self'")
		w.Header().Set("Content-Type", "text/html")
		w.Write([]byte(page))
	}))
	defer site.Close()
	tab := browser.Start(t).Open(t, site.URL)
	tab.Until(`document.title === "page"`)
	if got := tab.Text("#a"); got != "one" {
		t.Errorf("the text is %q, want one", got)
	}
	if got := tab.Count("p"); got != 2 {
		t.Errorf("there are %d paragraphs, want 2", got)
	}
	if got := browser.Eval[int](tab, "Promise.resolve(7)"); got != 7 {
		t.Errorf("what is promised is %d, want 7", got)
	}
	tab.Phone()
	tab.Fits("a short page")
	if got := browser.Eval[int](tab, "innerWidth"); got != 375 {
		t.Errorf("the screen is %d wide, want 375", got)
	}
}
