package archtest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// importTable says who may import whom. The standard library is free for all. A name of ours has no dot in its
// first element; "/..." adds everything below it, and * is every module but ours. A package is held to the first row that
// names it, one below an internal directory to the row of the directory's owner if it has none, and one without a row fails.
var importTable = []struct {
	pkg   string
	may   string // what its code imports
	tests string // what its tests import besides: see everyTest for what all may
}{
	// The contract: the standard library only, and nothing of layers.
	{"asgi/internal/wrap", "asgi", ""}, // what is below asgi shares it, and asgi itself does not import it
	{"asgi", "", "asgi/server"},
	{"asgi/middleware", "asgi", "asgi/middleware/... asgi/server consumers routing"},
	{"asgi/middleware/auth/...", "asgi asgi/middleware/... layers *", "asgi/server consumers layers/... routing"}, // revocations are layer messages
	{"asgi/middleware/...", "asgi asgi/middleware *", "asgi/server consumers routing"},                            // a middleware that needs a library
	{"asgi/server", "asgi asgi/middleware " + gorilla + proxyproto + sys + zap, "consumers layers layers/memlayer routing " + autocert},
	{"asgi/server/...", "asgi/... consumers layers *", "layers/... routing"}, // operations look at everything
	{"routing", "asgi", "asgi/server"},

	// Layers: nothing of asgi. Whoever moves bytes over a network is the only one to know its vendor.
	{"layers", "layers/driver", "layers/memlayer " + msgpack},
	{"layers/driver", "", "layers layers/memlayer"},
	{"layers/memlayer", "layers layers/driver", ""},
	{"layers/natslayer", "layers layers/driver " + nats + zap, "layers/memlayer layers/natslayer/embedded"},
	{"layers/natslayer/embedded", nats + natsServer + zap, "layers layers/natslayer"},
	{"layers/redislayer", "layers layers/driver layers/internal/payload " + rueidis + zap, ""},

	// Consumers join the two, and nothing but applications and what plays their server imports them.
	{"consumers", "asgi layers " + zap, "asgi/server layers/memlayer routing"},

	// What tests are made of.
	{"testing/asgitest", "asgi asgi/server consumers layers layers/memlayer " + zap, "routing " + gorilla},
	{"testing/layertest", "layers layers/driver", "layers/memlayer"},
	{"testing/natstest", "layers layers/natslayer layers/natslayer/embedded", ""},
	{"testing/archtest", "", ""},

	// Applications.
	{"examples/internal/browser", "examples/internal/process " + chromedp, ""}, // what tests of examples are made of
	{"examples/internal/process", "", ""},
	{"examples/...", "asgi/... consumers layers/... routing " + crypto + prometheus + scs + zap, chromedp + gorilla},
}

const (
	autocert   = "golang.org/x/crypto/acme/autocert "
	chromedp   = "github.com/chromedp/... "
	crypto     = "golang.org/x/crypto/... "
	gorilla    = "github.com/gorilla/websocket "
	msgpack    = "github.com/ugorji/go/codec "
	nats       = "github.com/nats-io/nats.go/... "
	natsServer = "github.com/nats-io/nats-server/v2/... "
	prometheus = "github.com/prometheus/client_golang/... "
	proxyproto = "github.com/pires/go-proxyproto "
	sys        = "golang.org/x/sys/unix "
	rueidis    = "github.com/redis/rueidis/... "
	scs        = "github.com/alexedwards/scs/v2/... "
	zap        = "go.uber.org/zap/... "

	// everyTest is what the tests of every package may import: the package itself comes on top.
	everyTest = "testing/... go.uber.org/goleak"
)

func checkImports(tr *tree) []string {
	return each(tr, func(f *file) []string {
		var broken []string
		rule, ok := ruleFor(f)
		if !ok {
			return []string{fmt.Sprintf("%s: package %s has no row in the table of imports", f.path, f.pkg)}
		}
		for _, spec := range f.ast.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil || allowed(f, rule, name) {
				continue
			}
			may := strings.Join(rule, ", ")
			if may == "" {
				may = "nothing else"
			}
			broken = append(broken, tr.at(spec.Pos(), "%s must not import %s: besides the standard library it may import %s", f.pkg, name, may))
		}
		return broken
	})
}

// ruleFor returns the patterns of what a file may import.
func ruleFor(f *file) (patterns []string, ok bool) {
	owner := ownerOf(f.pkg)
	for _, row := range importTable {
		if row.pkg == f.pkg || matches(row.pkg, owner) {
			patterns = strings.Fields(row.may)
			if f.test {
				patterns = append(patterns, strings.Fields(row.tests+" "+everyTest+" "+owner)...)
			}
			return patterns, true
		}
	}
	return nil, false
}

// ownerOf is the package that an internal package belongs to, or the package itself.
func ownerOf(pkg string) string {
	owner, _, _ := strings.Cut(pkg, "/internal")
	return owner
}

func allowed(f *file, patterns []string, name string) bool {
	ours, isOurs := strings.CutPrefix(name, module+"/")
	if !isOurs {
		ours = name
		if first, _, _ := strings.Cut(name, "/"); !strings.Contains(first, ".") {
			return true // the standard library
		}
	}
	if isOurs && strings.Contains(ours, "/internal") {
		owner := ownerOf(ours) // as for Go itself
		return f.pkg == owner || strings.HasPrefix(f.pkg, owner+"/")
	}
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, ours) || p == "*" && !isOurs })
}

// matches reports whether a pattern of the table names a package.
func matches(pattern, pkg string) bool {
	below, tree := strings.CutSuffix(pattern, "...")
	if !tree {
		return pattern == pkg
	}
	return strings.HasPrefix(pkg+"/", below)
}
