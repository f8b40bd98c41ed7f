package main

import (
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

func TestPages(t *testing.T) {
	site := pages()
	for _, c := range []struct {
		path   string
		status int
		typ    string
		has    string
	}{
		{"/", 200, "text/html; charset=utf-8", `id="pictures"`},
		{"/static/album.css", 200, "text/css; charset=utf-8", "color-scheme"},
		{"/static/album.js", 200, "text/javascript; charset=utf-8", "WebSocket"},
		{"/static/backoff.js", 200, "text/javascript; charset=utf-8", "export"},
		{"/static/icon.svg", 200, "image/svg+xml", "<svg"},
		{"/static/main.go", 404, "text/plain; charset=utf-8", ""},
		{"/elsewhere", 404, "text/plain; charset=utf-8", ""},
	} {
		w := httptest.NewRecorder()
		site.ServeHTTP(w, httptest.NewRequest("GET", c.path, nil))
		if w.Code != c.status || w.Header().Get("Content-Type") != c.typ || !strings.Contains(w.Body.String(), c.has) {
			t.Errorf("GET %s: %d %s, want %d %s and a body with %q; it is\n%s",
				c.path, w.Code, w.Header().Get("Content-Type"), c.status, c.typ, c.has, w.Body)
		}
		for name, want := range map[string]string{"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff"} {
			if got := w.Header().Get(name); got != want {
				t.Errorf("GET %s: %s is %q, want %q", c.path, name, got, want)
			}
		}
	}
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

// TestThePageNeedsNoOtherHost looks for addresses, and for ways to make markup of text, in the files of the page.
func TestThePageNeedsNoOtherHost(t *testing.T) {
	forbidden := regexp.MustCompile(`https?://|//[a-z]+\.|innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|style="|\bon[a-z]+="`)
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		page := strings.ReplaceAll(string(text), `xmlns="http://www.w3.org/2000/svg"`, "") // a name, not an address
		if found := forbidden.FindString(page); found != "" {
			t.Errorf("%s has %q", name, found)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
