//go:build unix

package natslayer_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/natslayer"
)

// A broker that stands still stops nobody: while its sockets are full, and while the client tries to connect anew, each send
// to a group returns within its ctx (L14). When it goes on, all flows again (L15).
func TestFrozenBroker(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for a server that is taken for gone")
	}
	t.Parallel()
	dir := t.TempDir()
	server := exec.Command(natsServer(t), "-a", "127.0.0.1", "-p", "-1", "--ports_file_dir", dir)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Process.Kill(); _ = server.Wait() })
	l, err := natslayer.Open(t.Context(), "nats://"+externalAddr(t, dir), &natslayer.Options{Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	channel, err := l.NewChannel(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	signal(t, server.Process, syscall.SIGSTOP)
	m := layers.Type[noted]("note").With(noted{strings.Repeat("x", 100_000)})
	// 20 MB are more than the sockets and the bound of what waits for them; later sends meet an outage.
	var slowest time.Duration
	for outages := 0; outages < 100; {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		begun := time.Now()
		_ = l.GroupSend(ctx, "room", m) // an error when what may wait is used up
		slowest = max(slowest, time.Since(begun))
		if _, out := l.Outage(); out {
			outages++
			<-ctx.Done() // so that they last over several tries to connect
		}
		cancel()
	}
	if slowest > answerBound {
		t.Errorf("L14: a send to a group took %v with a ctx of 100ms", slowest)
	}
	signal(t, server.Process, syscall.SIGCONT)
	for end := time.Now().Add(30 * time.Second); ; {
		err := l.Send(t.Context(), channel, m)
		if err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("L15: the server goes on, and a send still fails: %v", err)
		}
	}
	if err := l.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// answerBound is far less than the client waits for a server, and far more than a machine stands still.
const answerBound = 1500 * time.Millisecond

type noted struct{ Text string }

func signal(t *testing.T, p *os.Process, s os.Signal) {
	t.Helper()
	if err := p.Signal(s); err != nil {
		t.Fatal(err)
	}
}
