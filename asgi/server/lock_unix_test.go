//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package server_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/zap"

	"github.com/tideway-go/tideway/asgi/server"
)

// Somebody who locks the directory of a Unix socket and keeps it so holds up neither the start nor the end of a server for long.
func TestLockedDirectory(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "app.sock")
	s, _ := run(t, pages, server.Options{Addr: "unix:" + path})
	lock, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	other := server.New(pages, &server.Options{Logger: zap.NewNop(), Addr: "unix:" + filepath.Join(dir, "other.sock")})
	if err := other.Run(context.Background()); err == nil || !strings.Contains(err.Error(), "kept the directory locked") {
		t.Errorf("Run returned %v", err)
	}
	_ = s.stop() // it may tell of the file that it could not remove
	lock.Close()
	run(t, pages, server.Options{Addr: "unix:" + path})
	if err := ask(dialer("unix", path)); err != nil {
		t.Errorf("over the file that stayed: %v", err)
	}
}
