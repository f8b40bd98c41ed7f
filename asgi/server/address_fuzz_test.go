package server_test

import (
	"fmt"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/tideway-go/tideway/asgi/server"
)

// FuzzAddresses gives New addresses to listen at, and of proxies: each is taken, or refused with what to write.
func FuzzAddresses(f *testing.F) {
	for _, s := range []string{":8000", "[::1]:8000", "unix:/run/app.sock", "unix:@a", "fd:3", "systemd:web", "systemd:", "10.0.0.0/8", "::ffff:1.2.3.4", "fe80::1%eth0", "unix", "\x00", "::::/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for field, o := range map[string]*server.Options{
			"Addr":           {Addr: s},
			"Listeners":      {Listeners: []server.Listener{{Addr: s}}},
			"TrustedProxies": {TrustedProxies: []string{s}},
		} {
			func() {
				defer func() {
					if v := recover(); v != nil && !strings.HasPrefix(fmt.Sprint(v), "asgi/server: New: Options."+field+": ") {
						t.Errorf("%s %q: panic %v", field, s, v)
					}
				}()
				o.Logger = zap.NewNop()
				server.New(pages, o)
			}()
		}
	})
}
