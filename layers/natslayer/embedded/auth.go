package embedded

import (
	"crypto/subtle"

	"github.com/nats-io/nats-server/v2/server"
)

// A gate decides which clients come in: all connections inside this process, and of the others, if Options.Listen is
// set, those that know the password. A node of a cluster must have a port for clients, because the server does not
// listen for routes without; the gate keeps it shut.
type gate struct {
	open           bool
	user, password string
}

// Check is called by the server for each new client.
func (g *gate) Check(c server.ClientAuthentication) bool {
	if addr := c.RemoteAddress(); addr != nil && addr.Network() == "pipe" {
		return true
	}
	if !g.open || g.password == "" {
		return g.open
	}
	o := c.GetOpts()
	user := subtle.ConstantTimeCompare([]byte(o.Username), []byte(g.user))
	password := subtle.ConstantTimeCompare([]byte(o.Password), []byte(g.password))
	return user&password == 1
}
