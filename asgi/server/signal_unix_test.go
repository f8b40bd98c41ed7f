//go:build unix

package server_test

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
)

// The first signal shuts down, the second cuts that short: also an application, and a lifespan that would take longer.
func TestRunUntilSignal(t *testing.T) {
	released, causes := make(chan struct{}), make(chan error, 1)
	s := variant{}.newSite(t, nil, living(complete, func(*asgi.Scope) asgi.Event {
		<-released
		return asgi.LifespanShutdownComplete{}
	}, deaf(causes)), server.Options{Addr: "127.0.0.1:0", DrainDelay: time.Hour, AppCloseTimeout: time.Hour})
	ended := make(chan error, 1)
	go func() { ended <- s.srv.RunUntilSignal(t.Context(), syscall.SIGUSR1) }()
	await(t, func() bool { return s.logs.FilterMessage("serving").Len() > 0 && s.srv.Ready() })
	s.dial = dialer("tcp", s.logs.FilterMessage("serving").All()[0].ContextMap()["address"].(string))
	s.open()
	kill(t)
	await(t, s.srv.Draining)
	s.open() // it is still served
	if len(causes)+len(ended) != 0 {
		t.Error("the first signal cut the delay")
	}
	kill(t)
	var cause asgi.DisconnectError
	if err := <-causes; !errors.As(err, &cause) || cause.By != asgi.ByServer {
		t.Errorf("ctx ended with %v", err)
	}
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "lifespan: shutdown: the application took too long") {
		t.Errorf("RunUntilSignal returned %v", err)
	}
	if n := s.logs.FilterMessageSnippet("signal: shutting down").Len(); n != 2 {
		t.Errorf("%d lines about signals, want 2", n)
	}
	close(released)
}

// kill sends this process a signal that only the test listens for.
func kill(t *testing.T) {
	t.Helper()
	if err := syscall.Kill(os.Getpid(), syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
}

// The third signal ends the process, whatever the application does.
func TestThirdSignal(t *testing.T) {
	if os.Getenv("TIDEWAY_TEST_SIGNALS") != "" {
		endless := living(complete, func(*asgi.Scope) asgi.Event { select {} }, echoing(nil))
		opts := server.Options{Addr: "127.0.0.1:0", DrainDelay: time.Hour, Logger: zap.NewExample()}
		_ = server.New(endless, &opts).RunUntilSignal(t.Context())
		return
	}
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestThirdSignal$")
	child.Env = append(os.Environ(), "TIDEWAY_TEST_SIGNALS=1")
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for _, want := range []string{`"serving"`, `"signal: shutting down"`, `"signal: shutting down at once"`} {
		for !strings.Contains(lines.Text(), want) {
			if !lines.Scan() {
				t.Fatalf("the process ended before it logged %s: %v", want, child.Wait())
			}
		}
		_ = child.Process.Signal(syscall.SIGTERM)
	}
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }() // waited for below
	await(t, func() bool {
		_ = child.Process.Signal(syscall.SIGTERM) // again: it may have come a moment before it counts as the third
		return len(ended) > 0
	})
	err = <-ended
	if status := child.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != syscall.SIGTERM {
		t.Errorf("the process ended with %v, want by the signal", err)
	}
}
