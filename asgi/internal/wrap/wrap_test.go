package wrap_test

import (
	"fmt"
	"testing"

	"go.uber.org/goleak"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/internal/wrap"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// panicsWith calls f and demands what it panics with; "" is nothing.
func panicsWith(t *testing.T, want string, f func()) {
	t.Helper()
	defer func() {
		got := ""
		if v := recover(); v != nil {
			got = fmt.Sprint(v)
		}
		if got != want {
			t.Errorf("the panic is %q, want %q", got, want)
		}
	}()
	f()
}

func TestNeedApp(t *testing.T) {
	panicsWith(t, "limit: New: the app is nil: pass the one that it stands around", func() { wrap.NeedApp("limit: New", nil) })
	panicsWith(t, "", func() { wrap.NeedApp("limit: New", asgi.AppFunc(nil)) })
}

func TestNeedHeader(t *testing.T) {
	for _, name := range []string{"", "X Y", "X:", "X\r\n", "\u00fc", "X\x00", "X\x7f", " ", "(x)", "a,b", "\"x\"", "x=", "{x}", "a\\b"} {
		panicsWith(t, fmt.Sprintf(`realip: Options.Root is %q, which is no name of a header: write "X-Root"`, name), func() {
			wrap.NeedHeader("realip: Options.Root", name, "X-Root")
		})
	}
	for _, name := range []string{"x", "User-Agent", "x-id!#$%&'*+-.^_`|~9"} { // every character of a token that is no letter
		panicsWith(t, "", func() { wrap.NeedHeader("realip: Options.Root", name, "X-Root") })
	}
}

func TestConcerns(t *testing.T) {
	for kind, want := range map[string]bool{
		asgi.HTTP: true, asgi.WebSocket: true, asgi.Lifespan: false, asgi.Channel: false, "mqtt": false, "": false,
	} {
		if got := wrap.Concerns(asgi.NewScope(asgi.Fields{Type: kind})); got != want {
			t.Errorf("a scope of type %q: %v, want %v", kind, got, want)
		}
	}
}
