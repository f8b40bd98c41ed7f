package webpage

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

// Wants are what paths must be answered with.
type Wants = []struct {
	Path   string
	Status int
	Type   string // of the content
	Has    string // a part of the body
}

// Check asks a site, which is guarded by policy, for paths by GET.
func Check(t *testing.T, site http.Handler, policy string, wants Wants) {
	t.Helper()
	for _, c := range wants {
		w := httptest.NewRecorder()
		site.ServeHTTP(w, httptest.NewRequest("GET", c.Path, nil))
		if w.Code != c.Status || w.Header().Get("Content-Type") != c.Type || !strings.Contains(w.Body.String(), c.Has) {
			t.Errorf("GET %s: %d %s, want %d %s and a body with %q; it is\n%s",
				c.Path, w.Code, w.Header().Get("Content-Type"), c.Status, c.Type, c.Has, w.Body)
		}
		for name, want := range map[string]string{"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff"} {
			if got := w.Header().Get(name); got != want {
				t.Errorf("GET %s: %s is %q, want %q", c.Path, name, got, want)
			}
		}
	}
}

var forbidden = regexp.MustCompile(`https?://|//[a-z]+\.|innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|style="|\bon[a-z]+="`)

// CheckFiles looks for addresses, and for ways to make markup of text, in the files of a page.
func CheckFiles(t *testing.T, files fs.FS) {
	t.Helper()
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
