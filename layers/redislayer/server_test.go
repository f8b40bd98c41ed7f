package redislayer

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Patience is how long something that must happen may take.
const Patience = 30 * time.Second

// server is the redis-server of this test binary.
var server struct {
	once   sync.Once
	dir    string
	socket string
	err    error
	stop   func()
}

// Socket is where the redis-server of this test binary listens. It is started by the first test that asks.
func Socket(tb testing.TB) string {
	tb.Helper()
	path := Require(tb, "redis-server", "apt-get install redis-server")
	server.once.Do(func() { server.err = startServer(path) })
	if server.err != nil {
		tb.Fatal(server.err)
	}
	return server.socket
}

// Require finds a program, or skips the test, or fails it where nothing may be skipped.
func Require(tb testing.TB, program, remedy string) string {
	tb.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		Lacking(tb, "%v; install it with: %s", err, remedy)
	}
	return path
}

// Lacking skips a test for want of something, or fails it where nothing may be skipped.
func Lacking(tb testing.TB, format string, args ...any) {
	tb.Helper()
	if os.Getenv("TIDEWAY_REQUIRE") == "all" {
		tb.Fatalf(format, args...)
	}
	tb.Skipf(format, args...)
}

func startServer(path string) (err error) {
	if server.dir, err = os.MkdirTemp("", "tideway"); err != nil {
		return err
	}
	server.socket = filepath.Join(server.dir, "redis.sock")
	// The shell between ends the server when its input ends, however this process dies.
	cmd := exec.Command("sh", "-c", `"$@" & read _; kill -9 $!; wait $!`, "sh", path,
		"--port", "0", "--unixsocket", server.socket, "--save", "", "--appendonly", "no", "--dir", server.dir, "--databases", "64")
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	server.stop = func() {
		_ = in.Close()
		_ = cmd.Wait() // it was killed
		_ = os.RemoveAll(server.dir)
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(Patience); ; {
		if conn, err := net.Dial("unix", server.socket); err == nil {
			return conn.Close()
		}
		select {
		case <-tick.C:
		case <-limit:
			return fmt.Errorf("redis-server does not listen on %s", server.socket)
		}
	}
}

// StopServer ends the server, if there is one.
func StopServer() {
	if server.stop != nil {
		server.stop()
	}
}

var prefixes atomic.Int64

// NewPrefix is a prefix that no other test uses.
func NewPrefix() string { return fmt.Sprintf("t%dx", prefixes.Add(1)) }

// A Cable is the way from one layer to the server, which can be cut.
type Cable struct {
	path   string
	listen net.Listener
	to     string
	done   sync.WaitGroup

	mu    sync.Mutex
	isCut bool
	ends  map[net.Conn]bool
}

// NewCable makes a cable that lasts as long as the test.
func NewCable(tb testing.TB) *Cable {
	tb.Helper()
	dir, err := os.MkdirTemp("", "tw") // not tb.TempDir, whose paths are too long for a socket
	if err != nil {
		tb.Fatal(err)
	}
	c := &Cable{path: filepath.Join(dir, "s"), to: Socket(tb), ends: map[net.Conn]bool{}}
	if c.listen, err = net.Listen("unix", c.path); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = c.listen.Close()
		c.Cut()
		c.done.Wait()
		_ = os.RemoveAll(dir)
	})
	c.done.Go(c.serve)
	return c
}

// URL is the cable's end for a layer, and one of the server's databases.
func (c *Cable) URL(db int) string { return fmt.Sprintf("unix://%s?db=%d", c.path, db) }

func (c *Cable) serve() {
	for {
		near, err := c.listen.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("unix", c.to)
		if err != nil {
			_ = near.Close()
			continue
		}
		if !c.hold(near, far) {
			continue
		}
		c.done.Go(func() { c.pass(near, far) })
		c.done.Go(func() { c.pass(far, near) })
	}
}

func (c *Cable) hold(near, far net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isCut {
		_, _ = near.Close(), far.Close()
		return false
	}
	c.ends[near], c.ends[far] = true, true
	return true
}

func (c *Cable) pass(to, from net.Conn) {
	_, _ = io.Copy(to, from) // ends with either
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, end := range []net.Conn{to, from} {
		_ = end.Close()
		delete(c.ends, end)
	}
}

// Cut ends all connections without a word and lets no new one live.
func (c *Cable) Cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.isCut = true
	for end := range c.ends {
		_ = end.Close()
	}
}

// Mend ends a cut.
func (c *Cable) Mend() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.isCut = false
}
