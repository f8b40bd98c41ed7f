package auth

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/tideway-go/tideway/asgi"
)

// FuzzBearer finds no token in what is left for the app, and takes none that is not one.
func FuzzBearer(f *testing.F) {
	f.Add("Bearer abc", "chat", "bearer.def", "token=ghi&a=1")
	f.Add("bearer  a.b-c_d~e+f/g==", "bearer", "bearer.", "%74oken=%61&token")
	f.Add("Basic x", "bearer.a", "bearer.b", "a=%zz&&=&token=%zz")
	f.Add("Bearer", "", "", "?")
	f.Fuzz(func(t *testing.T, authorization, first, second, query string) {
		scope := asgi.NewScope(asgi.Fields{
			Type: asgi.WebSocket, RawQuery: query, Subprotocols: []string{first, second},
			Header: http.Header{"Authorization": {authorization}, "Sec-Websocket-Protocol": {first + ", " + second}, "Host": {"h"}},
		})
		b, left := findBearer(scope, "token")
		if b.found && !b.bad && !validToken(b.token) {
			t.Errorf("%q is taken for a token", b.token)
		}
		if strings.ContainsAny(b.token, " \r\n,;\"") && !b.bad {
			t.Errorf("the token %q could not have come in a header", b.token)
		}
		for _, name := range left.Subprotocols() {
			if name == offered || strings.HasPrefix(name, offeredToken) {
				t.Errorf("A2: the app sees the subprotocol %q", name)
			}
		}
		for part := range strings.SplitSeq(left.RawQuery(), "&") {
			if part == "token" || strings.HasPrefix(part, "token=") {
				t.Errorf("A2: the app sees the query %q", left.RawQuery())
			}
		}
		again, same := findBearer(left, "token")
		if same.RawQuery() != left.RawQuery() || !slices.Equal(same.Subprotocols(), left.Subprotocols()) || again.offered {
			t.Errorf("what is left is not all that is left: %q, %q", same.RawQuery(), same.Subprotocols())
		}
	})
}
