package server

import (
	"fmt"
	"net/url"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/internal/rootpath"
)

// checkRootPath panics on an Options.RootPath that is no path to mount something under.
func checkRootPath(p string) {
	if err := rootpath.Check(p); err != nil {
		panic(fmt.Sprintf("asgi/server: New: Options.RootPath is %q: %v", p, err))
	}
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
