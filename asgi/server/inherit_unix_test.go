//go:build unix

package server_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/tideway-go/tideway/asgi/server"
)

// Case 186: one Run listens on IPv4, IPv6, a Unix socket and an inherited descriptor side by side.
func TestListeners(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.sock")
	given, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer given.Close()
	fd, err := given.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	own, err := syscall.Dup(int(fd.Fd())) // Run closes it
	fd.Close()
	if err != nil {
		t.Fatal(err)
	}
	s, addrs := run(t, pages, server.Options{Listeners: []server.Listener{
		{Addr: "127.0.0.1:0"}, {Addr: "[::1]:0"}, {Addr: "unix:" + path, Mode: 0o600}, {Addr: fmt.Sprintf("fd:%d", own)},
	}})
	for i, network := range []string{"tcp4", "tcp6", "unix", "tcp"} {
		if err := ask(dialer(network, addrs[i])); err != nil {
			t.Errorf("%s %s: %v", network, addrs[i], err)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket is %v, %v, want mode 0600", info, err)
	}
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the end left the socket's file: %v", err)
	}
}

// The file of an inherited Unix socket is its maker's: it stays when the server ends, for the next one.
func TestInheritedUnixSocketStays(t *testing.T) {
	path := filepath.Join(t.TempDir(), "given.sock")
	given, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer given.Close()
	f, err := given.File()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		own, err := syscall.Dup(int(f.Fd())) // Run closes it
		if err != nil {
			t.Fatal(err)
		}
		s, _ := run(t, pages, server.Options{Addr: fmt.Sprintf("fd:%d", own)})
		if err := ask(dialer("unix", path)); err != nil {
			t.Error(err)
		}
		s.stop()
		if _, err := os.Lstat(path); err != nil {
			t.Errorf("after the end: %v", err)
		}
	}
	f.Close()
}
