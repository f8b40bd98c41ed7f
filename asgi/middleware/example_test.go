package middleware_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/middleware"
	"github.com/tideway-go/tideway/asgi/middleware/accesslog"
	"github.com/tideway-go/tideway/asgi/middleware/limit"
	"github.com/tideway-go/tideway/asgi/server"
)

// A site behind a proxy in 10.1.0.0/16, with everything in its order.
func Example() {
	hello := asgi.FromHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "hello") }))
	proxies := middleware.Proxies{Trusted: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}}
	app := asgi.Wrap(hello,
		middleware.RequestID(&middleware.RequestIDOptions{Proxies: proxies}),
		middleware.RealIP(&middleware.RealIPOptions{Proxies: proxies}),
		accesslog.New(nil), // to the server's logger
		middleware.Recover(func(_ context.Context, scope *asgi.Scope, err error) error {
			log.Printf("%s failed: %v", scope.Path(), err)
			return asgi.Deny{Status: http.StatusInternalServerError, Body: []byte("We are sorry: " + middleware.RequestIDOf(scope))}
		}),
		middleware.Host("example.org", ".example.org"),
		limit.New(&limit.Options{ConnectionsPerKey: 100, Messages: limit.Rate{PerSecond: 20}}),
		middleware.Timeout(30*time.Second),
		middleware.Cookies,
		middleware.Origin("https://example.org"),
	)
	site := httptest.NewServer(server.New(app, nil))
	defer site.Close()

	for _, host := range []string{"www.example.org", "evil.example"} {
		r := httptest.NewRequest(http.MethodGet, "http://"+host+"/", nil)
		w := httptest.NewRecorder()
		site.Config.Handler.ServeHTTP(w, r)
		fmt.Println(host, w.Code, w.Body)
	}
	// Output:
	// www.example.org 200 hello
	// evil.example 400 There is no such host here.
}

// A visit is counted in a cookie, which the answer to the handshake carries.
func ExampleSetCookie() {
	app := middleware.Cookies(asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		if seen, ok := middleware.CookieOf(scope, "seen"); ok {
			fmt.Println("seen before:", seen)
		}
		if err := middleware.SetCookie(scope, &http.Cookie{Name: "seen", Value: "yes", MaxAge: 3600, HttpOnly: true}); err != nil {
			return err
		}
		return send(ctx, asgi.WebSocketAccept{})
	}))
	scope := asgi.NewScope(asgi.Fields{Type: asgi.WebSocket, Scheme: "wss", Header: http.Header{"Cookie": {"seen=no"}}})
	_ = app.Serve(context.Background(), scope, nil, func(_ context.Context, event asgi.Event) error { // what a server does
		fmt.Println(event.(asgi.WebSocketAccept).Header["Set-Cookie"])
		return nil
	})
	// Output:
	// seen before: no
	// [seen=yes; Path=/; Max-Age=3600; HttpOnly; Secure; SameSite=Lax]
}
