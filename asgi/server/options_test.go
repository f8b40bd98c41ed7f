package server_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
)

// Nonsense panics at New, with the line to change.
func TestNewPanics(t *testing.T) {
	app := echoing(nil)
	for want, make := range map[string]func(){
		"pass the application as the first argument":                   func() { server.New(nil, nil) },
		"app is asgi.AppFunc(nil)":                                     func() { server.New(asgi.AppFunc(nil), nil) },
		`RootPath is "live": write ""`:                                 func() { server.New(app, &server.Options{RootPath: "live"}) },
		`RootPath is "/live/"`:                                         func() { server.New(app, &server.Options{RootPath: "/live/"}) },
		"PingTimeout is -1s: it cannot be off":                         func() { server.New(app, &server.Options{PingTimeout: -time.Second}) },
		"WriteTimeout is -1s: it cannot be off":                        func() { server.New(app, &server.Options{WriteTimeout: -time.Second}) },
		"QueueSize is -1: it cannot be off":                            func() { server.New(app, &server.Options{QueueSize: -1}) },
		"HandshakeTimeout is 5ns: did you mean 5*time.Second?":         func() { server.New(app, &server.Options{HandshakeTimeout: 5}) },
		"HeaderTimeout is 5ns: did you mean":                           func() { server.New(app, &server.Options{HeaderTimeout: 5}) },
		"PingInterval is 20ns: did you mean":                           func() { server.New(app, &server.Options{PingInterval: 20}) },
		"PingTimeout is 30ns: did you mean":                            func() { server.New(app, &server.Options{PingTimeout: 30}) },
		"WriteTimeout is 10ns: did you mean":                           func() { server.New(app, &server.Options{WriteTimeout: 10}) },
		"AppCloseTimeout is 10ns: did you mean":                        func() { server.New(app, &server.Options{AppCloseTimeout: 10}) },
		"ShutdownWindow is 1.5µs: did you mean 1500*time.Millisecond?": func() { server.New(app, &server.Options{ShutdownWindow: 1500}) },
		`Origins: "null": it is`:                                       func() { server.New(app, &server.Options{Origins: []string{"null"}}) },
		`Origins: "*.example": the host has a "*"`:                     func() { server.New(app, &server.Options{Origins: []string{"*.example"}}) },
		`Origins: "": the host is empty`:                               func() { server.New(app, &server.Options{Origins: []string{""}}) },
		`Origins: "://a": the scheme is empty`:                         func() { server.New(app, &server.Options{Origins: []string{"://a"}}) },
		`Origins: "http://a/b": an origin has only`:                    func() { server.New(app, &server.Options{Origins: []string{"http://a/b"}}) },
		`Origins: "a:b": invalid port`:                                 func() { server.New(app, &server.Options{Origins: []string{"a:b"}}) },
	} {
		func() {
			defer func() {
				if got := fmt.Sprint(recover()); !strings.HasPrefix(got, "asgi/server: New: ") || !strings.Contains(got, want) {
					t.Errorf("panic %q, want %q", got, want)
				}
			}()
			make()
		}()
	}
}

// Every limit that may be off can be off, and the zero value and nil are ready.
func TestNewAccepts(t *testing.T) {
	var app asgi.App = echoing(nil)
	for _, opts := range []*server.Options{nil, {}, {
		Addr: ":0", Logger: zap.NewNop(), Origins: []string{"*", "a.example", "https://b.example:1"}, RootPath: "/live", HeaderTimeout: -1,
		HandshakeTimeout: -1, MaxMessage: -1, PingInterval: -1, PingTimeout: time.Millisecond, WriteTimeout: time.Millisecond, AppCloseTimeout: -1, ShutdownWindow: -1,
		QueueSize: 1, Compression: true, MaxBody: -1, MaxWebSockets: -1, MaxHandshakes: -1, MaxRequests: -1,
	}} {
		if s := server.New(app, opts); s.Shutdown(t.Context()) != nil {
			t.Errorf("%+v: an idle server does not shut down", opts)
		}
	}
}
