package auth_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/middleware/auth"
	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/memlayer"
	"github.com/tideway-go/tideway/testing/asgitest"
)

// What the first connection of a process finds is looked at again, since a revocation may have come before the process heard of
// any. The app runs only for the user who was found at first, as that is now, and whom nobody has revoked.
func TestFoundAgain(t *testing.T) {
	ann := auth.Identity[account]{User: account{"ann", "1"}, Session: "1"}
	for name, c := range map[string]struct {
		again  auth.Identity[account]
		revoke bool
		served string // the hash of the user whom the app sees; "" where it does not run
	}{
		"the same":                     {ann, false, "1"},
		"changed meanwhile":            {auth.Identity[account]{User: account{"ann", "2"}, Session: "1"}, false, "2"},
		"A5: another user":             {auth.Identity[account]{User: account{"bob", "1"}, Session: "1"}, false, ""},
		"A5: revoked while looked for": {ann, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				layer, asked, served := memlayer.New(nil), 0, ""
				users := tokens(func(o *auth.Options[account]) {
					o.Layer = func(*asgi.Scope) *layers.Layer { return layer }
					o.Find = func(ctx context.Context, _ *asgi.Scope) (auth.Identity[account], bool, error) {
						if asked++; asked == 1 {
							return ann, true, nil
						}
						if c.revoke {
							if err := auth.Revoke(context.Background(), layer, auth.Revocation{User: "ann"}); err != nil {
								t.Error(err)
							}
						}
						return c.again, true, nil
					}
				})
				site := asgitest.New(t, users.Middleware(asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, _ asgi.Receive, send asgi.Send) error {
					u, _ := users.User(scope)
					served = u.Hash
					return asgi.Deny{Status: 204}
				})))
				r := site.Request("GET", "/")
				if want := map[bool]int{true: 204, false: 401}[c.served != ""]; served != c.served || r.Status != want || asked != 2 {
					t.Errorf("the app saw the user with hash %q and the client got %d after %d looks; want %q, %d, 2", served, r.Status, asked, c.served, want)
				}
			})
		})
	}
}
