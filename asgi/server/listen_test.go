package server_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
)

// pages answers each request with 204, and has no WebSockets.
var pages = asgi.AppFunc(func(_ context.Context, scope *asgi.Scope, _ asgi.Receive, _ asgi.Send) error {
	if scope.Type() == asgi.Lifespan {
		return errors.ErrUnsupported
	}
	return asgi.Deny{Status: http.StatusNoContent}
})

// run runs a server of its own, and returns it when it listens everywhere, with the addresses in order.
func run(t *testing.T, app asgi.App, opts server.Options) (*site, []string) {
	t.Helper()
	s := variant{}.newSite(t, nil, app, opts)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.srv.Run(ctx) }()
	s.served = once(func() error { return <-ended })
	s.stop = func() error { cancel(); return s.served() }
	t.Cleanup(func() { s.stop() })
	for s.logs.FilterMessage("serving").Len() == 0 || !s.srv.Ready() { // before Run it is ready to be mounted
		select {
		case err := <-ended:
			ended <- err
			t.Fatal(err)
		default:
			<-time.After(time.Millisecond)
		}
	}
	var addrs []string
	for _, e := range s.logs.FilterMessage("serving").All() {
		addrs = append(addrs, e.ContextMap()["address"].(string))
	}
	return s, addrs
}

// ask gets a page over a connection that dial makes.
func ask(dial func() (net.Conn, error)) error {
	c, err := dial()
	if err != nil {
		return err
	}
	defer c.Close()
	resp, err := newPeer(c).request("GET / HTTP/1.1\r\nHost: example.org\r\n\r\n")
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusNoContent {
		return errors.New(resp.Status)
	}
	return nil
}

func dialer(network, addr string) func() (net.Conn, error) {
	return func() (net.Conn, error) { return net.Dial(network, addr) }
}

// Where one of several addresses cannot be had, Run says which, and listens on none.
func TestListenersAllOrNone(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	path := filepath.Join(t.TempDir(), "app.sock")
	srv := server.New(pages, &server.Options{Logger: zap.NewNop(), Listeners: []server.Listener{{Addr: "unix:" + path}, {Addr: taken.Addr().String()}}})
	if err := srv.Run(t.Context()); !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), taken.Addr().String()) {
		t.Errorf("Run returned %v", err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket's file is there: %v", err)
	}
}

// A socket's file is replaced only if nobody listens there, and removed only by the process that made it.
func TestUnixSocketFiles(t *testing.T) {
	dir := t.TempDir()
	fails := func(path, want string) {
		t.Helper()
		err := server.New(pages, &server.Options{Logger: zap.NewNop(), Addr: "unix:" + path}).Run(t.Context())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Run returned %v, want %q", err, want)
		}
	}
	file := filepath.Join(dir, "notes.txt")
	if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	fails(file, "is a file and no socket")
	if b, err := os.ReadFile(file); string(b) != "mine" {
		t.Errorf("the file is %q, %v", b, err)
	}

	stale := filepath.Join(dir, "app.sock")
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	ln.SetUnlinkOnClose(false)
	ln.Close()
	s, _ := run(t, pages, server.Options{Addr: "unix:" + stale})
	if err := ask(dialer("unix", stale)); err != nil {
		t.Errorf("over a dead process's file: %v", err)
	}
	if info, err := os.Stat(stale); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("the socket is %v, %v, want mode 0660", info, err)
	}
	fails(stale, "somebody listens on "+stale+" already: another process, or this one")
	if err := ask(dialer("unix", stale)); err != nil {
		t.Errorf("after another process tried to have it: %v", err)
	}

	if err := os.Remove(stale); err != nil { // as an administrator may
		t.Fatal(err)
	}
	run(t, pages, server.Options{Addr: "unix:" + stale})
	s.stop()
	if err := ask(dialer("unix", stale)); err != nil {
		t.Errorf("after the end of the one that was there before: %v", err)
	}
	fails(filepath.Join(dir, "none", "app.sock"), "no such file")
}

// passedTo is set where this test is its own child, to which it passes sockets as systemd does.
const passedTo = "TIDEWAY_TEST_SYSTEMD"

// Sockets of systemd are found by number and by name.
func TestSystemd(t *testing.T) {
	if addr := os.Getenv(passedTo); addr != "" {
		systemdChild(t, addr)
		return
	}
	a, errA := net.Listen("tcp", "127.0.0.1:0")
	b, errB := net.Listen("tcp", "127.0.0.1:0")
	if err := errors.Join(errA, errB); err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	defer b.Close()
	for addr, want := range map[string]string{"systemd": "true true", "systemd:admin": "false true"} {
		fa, errA := a.(*net.TCPListener).File()
		fb, errB := b.(*net.TCPListener).File()
		if err := errors.Join(errA, errB); err != nil {
			t.Fatal(err)
		}
		// A shell becomes the child, so that it can say the child's process id.
		cmd := exec.Command("sh", "-c", `LISTEN_PID=$$ exec "$0" -test.run '^TestSystemd$'`, os.Args[0])
		cmd.Env = append(os.Environ(), passedTo+"="+addr, "LISTEN_FDS=2", "LISTEN_FDNAMES=web:admin", "A="+a.Addr().String(), "B="+b.Addr().String())
		cmd.ExtraFiles = []*os.File{fa, fb}
		if out, err := cmd.CombinedOutput(); !strings.Contains(string(out), want) {
			t.Errorf("%s: want %s: %v: %s", addr, want, err, out)
		}
		fa.Close()
		fb.Close()
	}
}

// What systemd did not pass to this process is not taken.
func TestSystemdPassedNothing(t *testing.T) {
	own := strconv.Itoa(os.Getpid())
	for _, tc := range []struct{ addr, pid, fds, want string }{
		{"systemd", "1", "1", `LISTEN_PID is "1" and not this process`},
		{"systemd", "", "", `LISTEN_PID is "" and not this process`},
		{"systemd", own, "none", `LISTEN_FDS is "none"`},
		{"systemd:mail", own, "2", `no socket of that name, but ["web" "admin"]`},
		{"systemd:admin", own, "1", "no socket of that name"},
		{"fd:12345", own, "1", "descriptor 12345 is no socket that listens"},
	} {
		t.Setenv("LISTEN_PID", tc.pid)
		t.Setenv("LISTEN_FDS", tc.fds)
		t.Setenv("LISTEN_FDNAMES", "web:admin")
		err := server.New(pages, &server.Options{Addr: tc.addr, Logger: zap.NewNop()}).Run(t.Context())
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: Run returned %v", tc, err)
		}
	}
}

// systemdChild serves what it was given, and prints at which of the two addresses it answers.
func systemdChild(t *testing.T, addr string) {
	run(t, pages, server.Options{Addr: addr})
	answers := func(name string) bool {
		return ask(func() (net.Conn, error) {
			c, err := net.Dial("tcp", os.Getenv(name))
			if err == nil {
				c.SetDeadline(time.Now().Add(500 * time.Millisecond)) // the other one's listener is open too, and nobody accepts
				c = fixedDeadline{c}
			}
			return c, err
		}) == nil
	}
	fmt.Println(answers("A"), answers("B"))
}

// fixedDeadline keeps the deadline that it has.
type fixedDeadline struct{ net.Conn }

func (fixedDeadline) SetDeadline(time.Time) error { return nil }

// Addresses that cannot be meant panic at New and say what to write.
func TestNewPanicsAtAddresses(t *testing.T) {
	for addr, want := range map[string]string{
		"8000":           `Options.Addr: "8000": it is no address`,
		"127.0.0.1":      `write "127.0.0.1:8000", "[::1]:8000", ":8000", "unix:/run/app.sock", "fd:3" or "systemd"`,
		"::1:8000":       "it is no address",
		"localhost:web2": `"web2" is no port: write "localhost:8000"`,
		":":              `"" is no port: write ":8000"`,
		"unix:":          `the path is missing: write "unix:/run/app.sock"`,
		"fd:web":         `write "fd:3"`,
		"fd:-1":          `write "fd:3"`,
		"systemd:":       "the name is missing",
	} {
		mustPanic(t, want, func() { server.New(pages, &server.Options{Addr: addr}) })
		mustPanic(t, strings.Replace(want, ".Addr", ".Listeners", 1), func() { server.New(pages, &server.Options{Listeners: []server.Listener{{Addr: addr}}}) })
	}
	for _, addr := range []string{":2", "fd:3", "systemd", "unix:@name"} {
		mustPanic(t, `"`+addr+`": a Mode, 0600, but no file`, func() { server.New(pages, &server.Options{Listeners: []server.Listener{{Addr: addr, Mode: 0o600}}}) })
	}
	mustPanic(t, "make another Listener of these", func() { server.New(pages, &server.Options{Addr: ":1", Listeners: []server.Listener{{Addr: ":2"}}}) })
	mustPanic(t, "ProxyProtocol without TrustedProxies", func() { server.New(pages, &server.Options{ProxyProtocol: true}) })
	mustPanic(t, `Options.TrustedProxies: "lb"`, func() { server.New(pages, &server.Options{TrustedProxies: []string{"lb"}}) })
	mustPanic(t, "ShutdownCode is 1000: write 1001", func() { server.New(pages, &server.Options{ShutdownCode: 1000}) })
	mustPanic(t, "CertFile and KeyFile belong together", func() { server.New(pages, &server.Options{CertFile: "a.pem"}) })
}

func mustPanic(t *testing.T, want string, f func()) {
	t.Helper()
	defer func() {
		if got := fmt.Sprint(recover()); !strings.HasPrefix(got, "asgi/server: New: ") || !strings.Contains(got, want) {
			t.Errorf("panic %q, want %q", got, want)
		}
	}()
	f()
}
