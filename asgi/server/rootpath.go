package server

import (
	"fmt"
	"net/url"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/tideway-go/tideway/asgi"
)

// checkRootPath panics on an Options.RootPath that is no decoded path to mount something under. Applications put it in front of the
// links and redirects that they make: "//evil.example" there is another host, and a line end another header.
func checkRootPath(p string) {
	problem := ""
	switch {
	case p == "":
	case p[0] != '/':
		problem = `write "", or a path that begins with a slash and ends without one, such as "/live"`
	case !utf8.ValidString(p):
		problem = "it is not UTF-8: write it in UTF-8"
	case strings.ContainsFunc(p, unicode.IsControl):
		problem = `it has a control character: write a path without, such as "/live"`
	case strings.ContainsAny(p, "?#"):
		problem = fmt.Sprintf("the path ends before %q: leave out what begins there", p[strings.IndexAny(p, "?#")])
	case strings.Contains(p, "%"):
		problem = `it is percent-encoded: write it decoded, as "/a b" for "/a%20b"`
	case cleanRootPath(p) != p:
		problem = fmt.Sprintf("browsers would take it for another path, or for another host: write %q", cleanRootPath(p))
	}
	if problem != "" {
		panic(fmt.Sprintf("asgi/server: New: Options.RootPath is %q: %s", p, problem))
	}
}

// cleanRootPath is what browsers make of p: a backslash is a slash there. The root is "".
func cleanRootPath(p string) string {
	return strings.TrimSuffix(path.Clean(strings.ReplaceAll(p, `\`, "/")), "/")
}

// mount puts Options.RootPath in front.
func (s *Server) mount(f *asgi.Fields) {
	if s.opts.RootPath != "" {
		f.RootPath = s.opts.RootPath + f.RootPath
		f.Path = s.opts.RootPath + f.Path
		f.RawPath = s.rawRoot + f.RawPath
	}
}

// rawRootPath is p as requests send it.
func rawRootPath(p string) string { return (&url.URL{Path: p}).EscapedPath() }
