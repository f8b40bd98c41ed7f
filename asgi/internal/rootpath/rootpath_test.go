package rootpath_test

import (
	"net/url"
	"testing"

	"go.uber.org/goleak"

	"github.com/tideway-go/tideway/asgi/internal/rootpath"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A link that begins with a path that was found good stays on its host and below that path, as browsers read it.
func FuzzCheck(f *testing.F) {
	for _, s := range []string{"", "/live", "/a b", "//evil.example", `/\evil.example`, "/a/../b", "/a//b", "/a\r\nb", "/x?y", "/größe", "/.", "/a:b"} {
		f.Add(s)
	}
	site, _ := url.Parse("https://example.org/elsewhere/")
	f.Fuzz(func(t *testing.T, root string) {
		if rootpath.Check(root) != nil {
			return
		}
		link, err := site.Parse((&url.URL{Path: root}).EscapedPath() + "/page")
		if err != nil || link.Host != site.Host || link.Path != root+"/page" || link.RawQuery != "" || link.Fragment != "" {
			t.Errorf("%q leads to %v, %v", root, link, err)
		}
	})
}
