//go:build unix

package server_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/tideway-go/tideway/asgi/server"
)

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
