package main

import (
	"bufio"
	"crypto/tls"
	"net"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/tideway-go/tideway/asgi/server"
)

// certificate borrows the one that net/http tests with.
func certificate() tls.Certificate {
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS()
	defer s.Close()
	return s.TLS.Certificates[0]
}

// joinTLS opens members over TLS.
func joinTLS(t testing.TB, s *site, n int) []*client {
	t.Helper()
	list := make([]*client, n)
	for i := range list {
		c, err := dial(s.addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.reset() })
		c.Conn = tls.Client(c.tcp, &tls.Config{InsecureSkipVerify: true}) // a certificate of tests
		c.br = bufio.NewReader(c.Conn)
		if err := c.handshake("/ws/chat/lobby/"); err != nil {
			t.Fatal(err)
		}
		list[i] = c
	}
	return list
}

// TestDeafOverTLS: where the server cannot write without blocking, members that never read hold up nobody either, and are
// cut after the write timeout.
func TestDeafOverTLS(t *testing.T) {
	config := &tls.Config{Certificates: []tls.Certificate{certificate()}}
	s := serveOn(t, app(), server.Options{WriteTimeout: 300 * time.Millisecond}, func(ln net.Listener) net.Listener {
		return tls.NewListener(ln, config)
	})
	s.sockets.small.Store(true)
	joinTLS(t, s, 20)
	s.sockets.small.Store(false)
	room := joinTLS(t, s, 5)
	for k, left := 0, 0; ; k++ {
		s.told(t, "lobby", text(k, deafSize))
		hearAll(t, room, text(k, deafSize))
		left = members(s.layer, "lobby")
		hearAll(t, room, "")
		if left == len(room) {
			break
		}
	}
}
