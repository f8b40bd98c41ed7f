package main

import (
	"context"
	"net"
	"os"
	"os/exec"
	"regexp"
	"sync"
	"testing"

	"github.com/tideway-go/tideway/examples/internal/process"
	"github.com/tideway-go/tideway/layers/redislayer"
)

// startDjango starts the site under Daphne, on a port, or on one that the system chooses for 0. Its address is found.
func startDjango(t testing.TB, redis, socket, port string) *process.Process {
	t.Helper()
	return process.Start(t, daphneListens, django(t, port, "REDIS_URL="+redis, "SOCKET_URL="+socket))
}

var daphneListens = regexp.MustCompile(`Listening on TCP address (\S+)`)

// django is the command that serves the site.
func django(t testing.TB, port string, env ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(process.Channels(t), "-m", "daphne", "-b", "127.0.0.1", "-p", port, "asgi:application")
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
