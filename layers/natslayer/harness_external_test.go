package natslayer_test

import (
	"context"
	"encoding/json"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// startExternal starts a nats-server in a process of its own, for all checks of t.
func startExternal(t *testing.T) source {
	t.Helper()
	dir := t.TempDir()
	// The shell between ends the server when its input ends, however this process dies.
	cmd := exec.Command("sh", "-c", `"$@" & read _; kill -9 $!; wait $!`, "sh",
		natsServer(t), "-a", "127.0.0.1", "-p", "-1", "-js", "-sd", dir, "--ports_file_dir", dir)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait() // it was killed
	})
	addr := externalAddr(t, dir)
	dial := func() (net.Conn, error) { return net.DialTimeout("tcp", addr, patience) }
	return func(testing.TB) *broker { return &broker{dials: []func() (net.Conn, error){dial}, replicas: 1} }
}

// natsServer builds the tool that go.mod names, once, and returns its path.
func natsServer(t *testing.T) string {
	t.Helper()
	goTool, err := exec.LookPath("go")
	if err != nil {
		if os.Getenv("TIDEWAY_REQUIRE") == "all" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	path := filepath.Join(t.TempDir(), "nats-server")
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, goTool, "build", "-o", path, "github.com/nats-io/nats-server/v2").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return path
}

// externalAddr reads where the server listens from the file that it writes.
func externalAddr(t *testing.T, dir string) string {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(patience); ; {
		files, err := filepath.Glob(filepath.Join(dir, "*.ports"))
		if err != nil {
			t.Fatal(err)
		}
		var ports struct {
			NATS []string `json:"nats"`
		}
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err == nil && json.Unmarshal(b, &ports) == nil && len(ports.NATS) > 0 { // else it is being written
				u, err := url.Parse(strings.Replace(ports.NATS[0], "://:", "://127.0.0.1:", 1))
				if err != nil {
					t.Fatal(err)
				}
				return u.Host
			}
		}
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("nats-server says nothing of its ports in %s", dir)
		}
	}
}
