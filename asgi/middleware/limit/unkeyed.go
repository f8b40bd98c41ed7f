package limit

import (
	"go.uber.org/zap"

	"github.com/tideway-go/tideway/asgi"
)

// unkeyed warns, once, that the limits for each client do not hold for one that has no address: behind a Unix socket that is
// everybody, and nothing else would tell.
func (g *gate) unkeyed(scope *asgi.Scope) {
	if !g.opts.byAddress || g.opts.ConnectionsPerKey == 0 && !g.opts.ConnectsPerKey.limits() {
		return
	}
	v, _ := asgi.LoggerKey.Get(scope)
	log, ok := v.(*zap.Logger)
	if !ok || g.warned.Swap(true) {
		return
	}
	log.Warn("limit: a client without an address: ConnectionsPerKey and ConnectsPerKey do not hold for it",
		zap.String("path", scope.Path()),
		zap.String("hint", `behind a proxy on a Unix socket put middleware.RealIP, which has to trust that proxy, outside of limit.New; or set TrustedProxies and ProxyHeaders of the server`))
}
