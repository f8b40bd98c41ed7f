package routing

import (
	"strconv"

	"github.com/tideway-go/tideway/asgi"
)

// A param is one value that routes found in the path.
type param struct{ name, value string }

// match is what the routers in front of an app have found.
type match struct {
	rest   string  // what is left of the path, as it was sent
	params []param // innermost first
	args   []string
	few    [1]param // what params needs in most cases
}

var matchKey = asgi.NewKey[*match]("routing.match")

// Param returns the value of a parameter of the routes that led to the app, decoded, or "" if no route has that name. The
// innermost route that has it counts.
func Param(scope *asgi.Scope, name string) string {
	if m, ok := matchKey.Get(scope); ok {
		for _, p := range m.params {
			if p.name == name {
				return p.value
			}
		}
	}
	return ""
}

// Int returns the value of a parameter as a number. For one that its pattern declares as {name:int} it cannot fail; for
// any other it is 0 where [Param] is no number.
func Int(scope *asgi.Scope, name string) int {
	n, err := strconv.Atoi(Param(scope, name))
	if err != nil {
		return 0
	}
	return n
}

// Args returns what the unnamed groups of [Regexp] routes found, the outermost first. Treat it as read-only.
func Args(scope *asgi.Scope) []string {
	if m, ok := matchKey.Get(scope); ok {
		return m.args
	}
	return nil
}
