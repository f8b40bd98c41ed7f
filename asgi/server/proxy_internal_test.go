package server

import (
	"net"
	"net/netip"
	"testing"
)

// TestPeersTrust is who may say who others are: only those that are listed, also on a socket of both families, where IPv4 is mapped.
func TestPeersTrust(t *testing.T) {
	tcp := func(s string) net.Addr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(s)) }
	socket := &net.UnixAddr{Net: "unix"}
	for _, tc := range []struct {
		listed string
		peer   net.Addr
		want   bool
	}{
		{"10.0.0.0/8", tcp("10.1.2.3:9"), true},
		{"10.0.0.0/8", tcp("[::ffff:10.1.2.3]:9"), true},
		{"10.0.0.0/8", tcp("11.1.2.3:9"), false},
		{"10.0.0.7", tcp("10.0.0.7:9"), true},
		{"10.0.0.7", tcp("10.0.0.8:9"), false},
		{"fe80::1", tcp("[fe80::1%lo]:9"), true},
		{"10.0.0.0/8", socket, false},
		{"0.0.0.0/0", socket, false},
		{"unix", socket, true},
		{"unix", tcp("127.0.0.1:9"), false},
	} {
		p := parsePeers([]string{tc.listed})
		if got := p.trust(tc.peer); got != tc.want {
			t.Errorf("%s trusts %v: %v, want %v", tc.listed, tc.peer, got, tc.want)
		}
	}
}
