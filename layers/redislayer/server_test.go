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

// servers are the redis-servers of this test binary: host i of every test.
var servers [3]server

type server struct {
	once   sync.Once
	dir    string
	socket string
	err    error
	stop   func()
}

// Socket is where a redis-server of this test binary listens. It is started by the first test that asks.
func Socket(tb testing.TB, host int) string {
	tb.Helper()
	path := Require(tb, "redis-server", "apt-get install redis-server")
	s := &servers[host]
	s.once.Do(func() { s.err = s.start(path) })
	if s.err != nil {
		tb.Fatal(s.err)
	}
	return s.socket
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

// Long skips what takes ten seconds or more, most of it waiting for clocks, unless it is asked for: a suite for a setting that is
// not the first, or a limit that no option changes.
func Long(tb testing.TB) {
	tb.Helper()
	if os.Getenv("TIDEWAY_LONG") == "" {
		tb.Skip("takes ten seconds or more: run it with TIDEWAY_LONG=1")
	}
}

func (s *server) start(path string) (err error) {
	if s.dir, err = os.MkdirTemp("", "tideway"); err != nil {
		return err
	}
	s.socket = filepath.Join(s.dir, "redis.sock")
	// The shell between ends the server when its input ends, however this process dies.
	cmd := exec.Command("sh", "-c", `"$@" & read _; kill -9 $!; wait $!`, "sh", path,
		"--port", "0", "--unixsocket", s.socket, "--save", "", "--appendonly", "no", "--dir", s.dir)
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	s.stop = func() {
		_ = in.Close()
		_ = cmd.Wait() // it was killed
		_ = os.RemoveAll(s.dir)
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(Patience); ; {
		if conn, err := net.Dial("unix", s.socket); err == nil {
			return conn.Close()
		}
		select {
		case <-tick.C:
		case <-limit:
			return fmt.Errorf("redis-server does not listen on %s", s.socket)
		}
	}
}

// StopServers ends what was started.
func StopServers() {
	for i := range servers {
		if stop := servers[i].stop; stop != nil {
			stop()
		}
	}
}

var prefixes atomic.Int64

// NewPrefix is a prefix that no other test uses.
func NewPrefix() string { return fmt.Sprintf("t%dx", prefixes.Add(1)) }

// A Cable is the way from one layer to the servers, which can be cut.
type Cable struct {
	listen []net.Listener
	done   sync.WaitGroup

	flow    sync.RWMutex // held for writing while nothing passes
	answers sync.RWMutex // held for writing while nothing passes from the servers

	mu    sync.Mutex
	isCut bool
	ends  map[net.Conn]bool
}

// NewCable makes a cable to so many hosts that lasts as long as the test.
func NewCable(tb testing.TB, hosts int) *Cable {
	tb.Helper()
	return newCable(tb, hosts, func(dir string, host int) (net.Listener, error) {
		return net.Listen("unix", filepath.Join(dir, fmt.Sprint(host)))
	})
}

// newTCPCable makes a cable whose end for a layer is a TCP port.
func newTCPCable(tb testing.TB, hosts int) *Cable {
	tb.Helper()
	return newCable(tb, hosts, func(string, int) (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") })
}

func newCable(tb testing.TB, hosts int, listen func(dir string, host int) (net.Listener, error)) *Cable {
	tb.Helper()
	dir, err := os.MkdirTemp("", "tw") // not tb.TempDir, whose paths are too long for a socket
	if err != nil {
		tb.Fatal(err)
	}
	c := &Cable{ends: map[net.Conn]bool{}}
	tb.Cleanup(func() {
		for _, l := range c.listen {
			_ = l.Close()
		}
		c.Cut()
		c.done.Wait()
		_ = os.RemoveAll(dir)
	})
	for i := range hosts {
		l, err := listen(dir, i)
		if err != nil {
			tb.Fatal(err)
		}
		to := Socket(tb, i)
		c.listen = append(c.listen, l)
		c.done.Go(func() { c.serve(l, to) })
	}
	return c
}

// URLs are the cable's ends for a layer.
func (c *Cable) URLs() []string {
	var all []string
	for _, l := range c.listen {
		scheme := "unix://"
		if l.Addr().Network() == "tcp" {
			scheme = "redis://"
		}
		all = append(all, scheme+l.Addr().String())
	}
	return all
}

func (c *Cable) serve(l net.Listener, to string) {
	for {
		near, err := l.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("unix", to)
		if err != nil {
			_ = near.Close()
			continue
		}
		if !c.hold(near, far) {
			continue
		}
		c.done.Go(func() { c.pass(near, far, &c.flow, &c.answers) })
		c.done.Go(func() { c.pass(far, near, &c.flow) })
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

func (c *Cable) pass(to, from net.Conn, locks ...*sync.RWMutex) {
	_, _ = io.Copy(gate{locks, to}, from) // ends with either
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, end := range []net.Conn{to, from} {
		_ = end.Close()
		delete(c.ends, end)
	}
}

// gate is one direction of a cable.
type gate struct {
	locks []*sync.RWMutex
	net.Conn
}

// Write waits while the cable is stalled.
func (g gate) Write(b []byte) (int, error) {
	for _, l := range g.locks {
		l.RLock()
		defer l.RUnlock()
	}
	return g.Conn.Write(b)
}

// Stall lets nothing pass, and says nothing of it, until Flow is called.
func (c *Cable) Stall() { c.flow.Lock() }

// Flow ends a stall.
func (c *Cable) Flow() { c.flow.Unlock() }

// StallAnswers lets nothing pass from the servers, which hear what they are told, until the result is called. The end of the test
// calls it too.
func (c *Cable) StallAnswers(tb testing.TB) (flow func()) {
	c.answers.Lock()
	flow = sync.OnceFunc(c.answers.Unlock)
	tb.Cleanup(flow)
	return flow
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
