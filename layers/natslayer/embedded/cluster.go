package embedded

import "crypto/tls"

// A Cluster says how a server finds the other nodes and is found by them.
type Cluster struct {
	Listen         string
	Name           string
	Routes         []string
	User, Password string
	TLS            *tls.Config
	Advertise      string
	JetStreamPeers int
}
