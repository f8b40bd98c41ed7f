package server_test

import (
	"crypto/tls"
	"net"
	"slices"
	"testing"

	"github.com/tideway-go/tideway/asgi/server"
)

// Certificates may come from elsewhere, in each way that a tls.Config knows: listed, by a function as ACME's (also for its challenge
// TLS-ALPN-01, which takes a protocol of its own), or with a whole configuration.
func TestCertificatesFromElsewhere(t *testing.T) {
	pair := func(name string) *tls.Certificate {
		p := issue(t, name)
		c, err := tls.X509KeyPair(p.cert, p.key)
		if err != nil {
			t.Fatal(err)
		}
		return &c
	}
	site, challenge := pair("the site's"), pair("the challenge's")
	get := func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if slices.Contains(hello.SupportedProtos, "acme-tls/1") {
			return challenge, nil
		}
		return site, nil
	}
	acme := &tls.Config{GetCertificate: get, NextProtos: []string{"h2", "http/1.1", "acme-tls/1"}}
	for name, tc := range map[string]struct {
		config         *tls.Config
		protocol, want string
	}{
		"listed":         {&tls.Config{Certificates: []tls.Certificate{*site}}, "http/1.1", "the site's"},
		"ACME, the site": {acme, "http/1.1", "the site's"},
		"ACME, HTTP/2":   {acme, "h2", "the site's"},
		"ACME, the test": {acme, "acme-tls/1", "the challenge's"},
		"by client": {&tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return &tls.Config{Certificates: []tls.Certificate{*site}, NextProtos: []string{"http/1.1"}}, nil
		}}, "http/1.1", "the site's"},
	} {
		t.Run(name, func(t *testing.T) {
			s := variant{}.serveTCP(t, pages, server.Options{TLS: tc.config})
			c, err := s.dial()
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			tlsConn, got, err := shake(c, &tls.Config{NextProtos: []string{tc.protocol}})
			if err != nil || got != tc.want || tlsConn.ConnectionState().NegotiatedProtocol != tc.protocol {
				t.Fatalf("the certificate is %q, %v, want %q", got, err, tc.want)
			}
			if tc.protocol == "http/1.1" {
				if err := ask(func() (net.Conn, error) { return tlsConn, nil }); err != nil {
					t.Error(err)
				}
			}
		})
	}
}
