package server_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
	"testing"
	"unicode"

	"go.uber.org/zap"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
)

// A fuzzed is what a server answered to a request, and what its application saw.
type fuzzed struct {
	hijacked
	header http.Header
	status int
}

func (f *fuzzed) Header() http.Header         { return f.header }
func (f *fuzzed) Write(p []byte) (int, error) { f.WriteHeader(200); return len(p), nil }
func (f *fuzzed) WriteHeader(status int) {
	if f.status == 0 {
		f.status = status
	}
}

// FuzzHandshake gives a Server any request that net/http can read. A 101 goes only to handshakes that RFC 6455 section 4.2.1 allows, of this
// site's own pages; and no application sees a target that is no path or not ASCII, or a control character in a header.
func FuzzHandshake(f *testing.F) {
	for _, tc := range hostileHandshakes {
		f.Add(tc.request)
	}
	for _, tc := range hostileRequests {
		if len(tc.sent) < 2000 {
			f.Add(tc.sent)
		}
	}
	seen := make(chan *asgi.Scope, 1)
	app := asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		seen <- scope
		if scope.Type() != asgi.WebSocket {
			return send(ctx, asgi.HTTPResponseStart{Status: 204})
		}
		accept := asgi.WebSocketAccept{}
		if offered := scope.Subprotocols(); len(offered) > 0 {
			accept.Subprotocol = offered[0]
		}
		return send(ctx, accept)
	})
	srv := server.New(app, &server.Options{PingInterval: -1, Logger: zap.NewNop(), ShutdownWindow: -1, Compression: true})
	f.Cleanup(func() { srv.Shutdown(context.Background()) })
	f.Fuzz(func(t *testing.T, request string) {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(request)))
		if err != nil {
			return
		}
		s := &script{cuts: [2]int{100, 100}, closed: make(chan struct{})}
		w := &fuzzed{hijacked: hijacked{script: s}, header: http.Header{}}
		srv.ServeHTTP(w, r)
		var scope *asgi.Scope
		select {
		case scope = <-seen:
		default:
		}
		upgraded := scope != nil && scope.Type() == asgi.WebSocket && w.status == 0
		if upgraded {
			<-s.closed
			resp, err := http.ReadResponse(bufio.NewReader(&s.out), r)
			if err != nil || resp.StatusCode != 101 {
				t.Fatalf("%q: answered %v, %v", request, resp, err)
			}
			if problem := notAHandshake(r); problem != "" {
				t.Errorf("%q was let in: %s", request, problem)
			}
			if chosen := resp.Header.Values("Sec-Websocket-Protocol"); len(chosen) > 1 || len(chosen) == 1 && !slices.Contains(scope.Subprotocols(), chosen[0]) {
				t.Errorf("%q: the response has the subprotocols %q, offered are %q", request, chosen, scope.Subprotocols())
			}
		}
		if scope == nil {
			return
		}
		if target := scope.RawPath() + scope.RawQuery(); strings.ContainsFunc(target, func(c rune) bool { return c > unicode.MaxASCII }) || scope.RawPath() != "" && scope.RawPath()[0] != '/' {
			t.Errorf("%q: the application saw the target %q", request, target)
		}
		for name, values := range scope.Header() {
			for _, v := range values {
				if strings.ContainsFunc(v, func(c rune) bool { return unicode.IsControl(c) && c != '\t' }) {
					t.Errorf("%q: the application saw a control character in %s: %q", request, name, v)
				}
			}
		}
	})
}

// notAHandshake says what is wrong with a request, as plainly as possible.
func notAHandshake(r *http.Request) string {
	has := func(name, token string) bool {
		return slices.ContainsFunc(strings.Split(strings.Join(r.Header[name], ","), ","), func(s string) bool {
			return strings.EqualFold(strings.Trim(s, " \t"), token)
		})
	}
	key, err := base64.StdEncoding.DecodeString(strings.Join(r.Header["Sec-Websocket-Key"], ","))
	origin := strings.ToLower(strings.Join(r.Header["Origin"], ","))
	host := strings.ToLower(r.Host)
	switch {
	case r.Method != "GET":
		return "its method"
	case !r.ProtoAtLeast(1, 1) || r.ProtoMajor != 1:
		return "its version of HTTP"
	case !has("Connection", "upgrade") || !has("Upgrade", "websocket"):
		return "no upgrade"
	case err != nil || len(key) != 16:
		return "its key"
	case !has("Sec-Websocket-Version", "13"):
		return "its version"
	case r.ContentLength > 0 || len(r.TransferEncoding) > 0:
		return "a body"
	case r.Header["Origin"] != nil && !strings.Contains(origin, "://"+strings.Split(host, ":")[0]):
		return "its origin"
	}
	return ""
}
