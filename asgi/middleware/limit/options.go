package limit

import (
	"fmt"
	"math"
	"net/netip"

	"github.com/tideway-go/tideway/asgi"
)

// Options are the limits. Nil and the zero value limit nothing: what is much depends on the application.
type Options struct {
	// Connections is how many may be open at once in all. Default 0: no limit, and memory is one.
	Connections int
	// ConnectionsPerKey is how many may be open at once for one key. People behind one address share it: offices, mobile
	// networks. Default 0: no limit.
	ConnectionsPerKey int
	// ConnectsPerKey is how often a connection may be opened for one key; those that are refused count too. Default: no limit.
	ConnectsPerKey Rate
	// Connects is how often a connection may be opened in all, for a site whose handshakes cost more than it can bear when all
	// clients come back at once. The catch: it is first come, first served, so one client that connects without end takes it from
	// all others. Set ConnectsPerKey too, far below it; what is refused for a reason of its key or for want of a place does not
	// count here. Default: no limit.
	Connects Rate
	// Key says whom a connection counts for. The empty key counts for nobody: no limit per key applies. It may be the user
	// where an authentication stands outside; what a client sends unproved makes a key of its choice.
	// Default: [ClientIP], with one warning when a client has no address.
	Key func(*asgi.Scope) string
	// Keys bounds the memory for keys that have no connection open, and were seen lately: about 200 bytes each. Beyond that the
	// longest unseen is forgotten and starts with a full burst. Default 65,536.
	Keys int

	// Messages is how many messages a client may send on one WebSocket. Default: no limit.
	Messages Rate
	// Bytes is how many bytes of messages a client may send on one WebSocket. A message longer than the burst passes when the
	// whole burst is there; how long it may be is the server's Options.MaxMessage. Default: no limit.
	Bytes Rate
	// Close ends a WebSocket that sends too much with 1008 instead of slowing it down. It needs a burst that no honest client
	// exceeds, and Messages or Bytes. Default: slow down, which ends nothing, but a client that waits for answers waits longer.
	Close bool

	byAddress bool // Key is the default
}

const defaultKeys = 65536

// resolve fills in the defaults and panics on nonsense.
func (o *Options) resolve() Options {
	var r Options
	if o != nil {
		r = *o
	}
	for _, n := range []struct {
		name  string
		value int
	}{{"Connections", r.Connections}, {"ConnectionsPerKey", r.ConnectionsPerKey}, {"Keys", r.Keys}} {
		if n.value < 0 {
			panic(fmt.Sprintf("asgi/middleware/limit: New: Options.%s is %d: leave it out, or give a number above 0", n.name, n.value))
		}
	}
	if r.Connections > 0 && r.ConnectionsPerKey > r.Connections {
		panic(fmt.Sprintf("asgi/middleware/limit: New: Options.ConnectionsPerKey is %d, which one key never reaches: Connections is %d for all", r.ConnectionsPerKey, r.Connections))
	}
	r.ConnectsPerKey.resolve("ConnectsPerKey")
	r.Connects.resolve("Connects")
	r.Messages.resolve("Messages")
	r.Bytes.resolve("Bytes")
	if r.Close && !r.Messages.limits() && !r.Bytes.limits() {
		panic("asgi/middleware/limit: New: Options.Close is set and there is nothing to exceed: set Messages or Bytes too, such as limit.Rate{PerSecond: 10, Burst: 50}")
	}
	if r.Key == nil {
		r.Key, r.byAddress = ClientIP, true
	}
	if r.Keys == 0 {
		r.Keys = defaultKeys
	}
	return r
}

func (r *Rate) resolve(name string) {
	if !(r.PerSecond >= 0) || math.IsInf(r.PerSecond, 0) || r.Burst < 0 || r.PerSecond == 0 && r.Burst > 0 {
		panic(fmt.Sprintf("asgi/middleware/limit: New: Options.%s is %+v: write limit.Rate{PerSecond: 10, Burst: 50}, or leave it out", name, *r))
	}
	if r.Burst == 0 {
		r.Burst = int(max(1, min(math.Ceil(r.PerSecond), math.MaxInt32)))
	}
}

// ClientIP is the key that [Options.Key] stands at: the client's address without the port, and of IPv6 the first 64 bits, since one
// customer commonly has all addresses of such a network. It is empty where the scope has no address, as behind a Unix socket.
func ClientIP(scope *asgi.Scope) string {
	client, err := netip.ParseAddrPort(scope.Client())
	if err != nil {
		return ""
	}
	addr := client.Addr().Unmap().WithZone("")
	if addr.Is4() {
		return addr.String()
	}
	network, _ := addr.Prefix(64) // fails for lengths that there are not
	return network.String()
}
