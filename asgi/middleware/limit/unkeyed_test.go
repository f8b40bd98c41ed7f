package limit_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/middleware/limit"
	"github.com/tideway-go/tideway/testing/asgitest"
)

// That nobody has an address, so that limits for each do not hold, is told once; where that is meant or nothing is limited, it is not.
func TestClientsWithoutAddress(t *testing.T) {
	for name, tc := range map[string]struct {
		opts   limit.Options
		client string
		lines  int
	}{
		"connections":      {limit.Options{ConnectionsPerKey: 1}, "", 1},
		"connects":         {limit.Options{ConnectsPerKey: limit.Rate{PerSecond: 1}}, "", 1},
		"with an address":  {limit.Options{ConnectionsPerKey: 1}, "192.0.2.1:5", 0},
		"a key of its own": {limit.Options{ConnectionsPerKey: 1, Key: func(*asgi.Scope) string { return "" }}, "", 0},
		"nothing by key":   {limit.Options{Connections: 9}, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				core, logged := observer.New(zap.WarnLevel)
				page := asgitest.New(t, limit.New(&tc.opts)(asgi.AppFunc(func(context.Context, *asgi.Scope, asgi.Receive, asgi.Send) error { return asgi.Deny{Status: 204} }))).With(&asgitest.Options{Logger: zap.New(core),
					Scope: func(s *asgi.Scope) *asgi.Scope { return s.Derive(func(f *asgi.Fields) { f.Client = tc.client }) }})
				for range 3 {
					page.Request("GET", "/")
				}
				lines := logged.FilterMessageSnippet("a client without an address").All()
				if len(lines) != tc.lines {
					t.Fatalf("%d lines, want %d", len(lines), tc.lines)
				}
				for _, line := range lines {
					if hint, _ := line.ContextMap()["hint"].(string); !strings.Contains(hint, "middleware.RealIP") {
						t.Errorf("the hint is %q", hint)
					}
				}
			})
		})
	}
}
