package server_test

import (
	"context"
	"net/url"
	"strings"
	"testing"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
)

// A root path that is none is refused at the start, by New and by FromEnv alike, with what to write instead.
func TestRootPathRefused(t *testing.T) {
	for _, tc := range []struct{ root, want string }{
		{"live", `write "", or a path that begins with a slash`},
		{"https://example.org/live", `write "", or a path that begins with a slash`},
		{`\\evil.example`, `write "", or a path that begins with a slash`},
		{"//evil.example", `write "/evil.example"`},
		{"///evil.example/a", `write "/evil.example/a"`},
		{`/\evil.example`, `write "/evil.example"`},
		{`/live\..\..`, `write ""`},
		{"/live/", `write "/live"`},
		{"/", `write ""`},
		{"//", `write ""`},
		{"/a//b", `write "/a/b"`},
		{"/a/../b", `write "/b"`},
		{"/a/.", `write "/a"`},
		{"/live\r\nSet-Cookie: a=b", "it has a control character"},
		{"/live\nx", "it has a control character"},
		{"/\tlive", "it has a control character"},
		{"/li\x7fve", "it has a control character"},
		{"/li\u0085ve", "it has a control character"},
		{"/li\xffve", "it is not UTF-8"},
		{"/live?a=b", "the path ends before '?'"},
		{"/live#top", "the path ends before '#'"},
		{"/a%20b", `it is percent-encoded: write it decoded`},
		{"/%2f/evil.example", `it is percent-encoded: write it decoded`},
	} {
		mustPanic(t, tc.want, func() { server.New(pages, &server.Options{RootPath: tc.root}) })
		environment(t, map[string]string{"TIDEWAY_ROOT_PATH": tc.root})
		if _, err := server.FromEnv(nil); err == nil || !strings.HasPrefix(err.Error(), "asgi/server: TIDEWAY_ROOT_PATH is ") || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("TIDEWAY_ROOT_PATH %q: %v, want %q", tc.root, err, tc.want)
		}
	}
}

// A root path is decoded; in the path as it was sent it is percent-encoded.
func TestRootPathTaken(t *testing.T) {
	for root, sent := range map[string]string{"": "", "/live": "/live", "/a/b.c": "/a/b.c", "/a b": "/a%20b", "/größe": "/gr%C3%B6%C3%9Fe", "/~a:b@c": "/~a:b@c"} {
		scopes := make(chan *asgi.Scope, 1)
		s := variant{}.mount(t, asgi.AppFunc(func(_ context.Context, scope *asgi.Scope, _ asgi.Receive, _ asgi.Send) error {
			scopes <- scope
			return asgi.Deny{}
		}), server.Options{RootPath: root})
		for kind, request := range map[string]string{asgi.WebSocket: handshake + "\r\n", asgi.HTTP: get + "\r\n"} {
			s.peer().request(request)
			scope := <-scopes
			decoded, err := url.PathUnescape(scope.RawPath())
			if scope.Type() != kind || scope.RootPath() != root || !strings.HasPrefix(scope.RawPath(), sent+"/") || decoded != scope.Path() || err != nil {
				t.Errorf("%s below %q: the root path is %q, the path %q, as it was sent %q", kind, root, scope.RootPath(), scope.Path(), scope.RawPath())
			}
		}
		s.stop()
	}
}
