package sessions_test

import (
	"testing"

	"go.uber.org/goleak"
)

// scs.New starts a cleaner for a store of its own, which nobody can stop once another store has taken its place.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/alexedwards/scs/v2/memstore.(*MemStore).startCleanup"))
}
