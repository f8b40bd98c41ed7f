package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"testing"

	"github.com/tideway-go/tideway/examples/internal/process"
	"github.com/tideway-go/tideway/layers/redislayer"
)

// python finds the interpreter that has Django Channels.
func python(t testing.TB) string {
	t.Helper()
	var errs []error
	for _, path := range []string{"python3", "/usr/bin/python3"} {
		out, err := exec.Command(path, "-c", "import channels, channels_redis.core, daphne, django").CombinedOutput()
		if err == nil {
			return path
		}
		errs = append(errs, fmt.Errorf("%s: %w: %s", path, err, out))
	}
	process.Missing(t, "no Python with Django Channels and Daphne: apt-get install daphne python3-channels-redis\n%v", errors.Join(errs...))
	return ""
}

// startRedis starts a redis-server of this test's own and returns its URL.
func startRedis(t testing.TB) string {
	t.Helper()
	path := process.Program(t, "redis-server", "redis-server")
	dir, err := os.MkdirTemp("", "tideway") // not t.TempDir, whose paths may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "redis.sock")
	process.Start(t, regexp.MustCompile(`(ready to accept connections)`),
		exec.Command(path, "--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no", "--dir", dir))
	return "unix://" + socket
}

// startDjango starts the site under Daphne, on a port, or on one that the system chooses for 0. Its address is found.
func startDjango(t testing.TB, redis, socket, port string) *process.Process {
	t.Helper()
	return process.Start(t, daphneListens, django(t, port, "REDIS_URL="+redis, "SOCKET_URL="+socket))
}

var daphneListens = regexp.MustCompile(`Listening on TCP address (\S+)`)

// django is the command that serves the site.
func django(t testing.TB, port string, env ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(python(t), "-m", "daphne", "-b", "127.0.0.1", "-p", port, "asgi:application")
	cmd.Dir = "site"
	cmd.Env = append(append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1"), env...)
	return cmd
}

// listen listens on an address that nobody else has.
func listen(t *testing.T, address string) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// startGo serves the socket in this process. stop ends it, as the end of the test does.
func startGo(t *testing.T, ln net.Listener, redis, origin string) (stop func()) {
	t.Helper()
	ctx, end := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- serve(ctx, ln, deployment{redislayer.Core, redis}, origin) }() // ends with ctx; stop waits for it
	stop = sync.OnceFunc(func() {
		end()
		if err := <-done; err != nil {
			t.Errorf("the Go server ended with: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}
