package main

import (
	"bufio"
	"bytes"
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
	"time"
)

// missing skips a test for want of something that the machine lacks. Where everything must run, it fails instead.
func missing(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("TIDEWAY_REQUIRE") == "all" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// program finds a program, which a package of Debian brings.
func program(t *testing.T, name, debian string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		missing(t, "%s is not installed: apt-get install %s", name, debian)
	}
	return path
}

// python finds the interpreter that has Django Channels.
func python(t *testing.T) string {
	t.Helper()
	var errs []error
	for _, path := range []string{"python3", "/usr/bin/python3"} {
		out, err := exec.Command(path, "-c", "import channels, channels_redis.core, daphne, django").CombinedOutput()
		if err == nil {
			return path
		}
		errs = append(errs, fmt.Errorf("%s: %w: %s", path, err, out))
	}
	missing(t, "no Python with Django Channels and Daphne: apt-get install daphne python3-channels-redis\n%v", errors.Join(errs...))
	return ""
}

// killer runs a program, and kills it when its own input ends, which it also does when the test dies.
const killer = `"$@" & exec >&- 2>&-; read _; kill -9 $!; wait $!`

// start runs cmd until the end of the test and returns the first group of the first line of its output that matches.
func start(t *testing.T, line *regexp.Regexp, cmd *exec.Cmd) string {
	t.Helper()
	name := filepath.Base(cmd.Path)
	sh := exec.Command("sh", append([]string{"-c", killer, "sh", cmd.Path}, cmd.Args[1:]...)...)
	sh.Dir, sh.Env = cmd.Dir, cmd.Env
	leash, err := sh.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	sh.Stdout, sh.Stderr = in, in
	if err := sh.Start(); err != nil {
		t.Fatal(err)
	}
	in.Close()
	found := make(chan string, 1)
	var log bytes.Buffer // read after the reader has ended
	var reader sync.WaitGroup
	reader.Go(func() {
		matched := false
		for lines := bufio.NewScanner(out); lines.Scan(); {
			log.WriteString(lines.Text() + "\n")
			if m := line.FindStringSubmatch(lines.Text()); m != nil && !matched {
				matched = true
				found <- m[1]
			}
		}
		close(found)
	})
	t.Cleanup(func() {
		leash.Close()
		sh.Wait() // it was killed
		reader.Wait()
		out.Close()
		if t.Failed() {
			t.Logf("%s said\n%s", name, &log)
		}
	})
	select {
	case got, ok := <-found:
		if !ok {
			t.Fatalf("%s ended before it was ready", name)
		}
		return got
	case <-time.After(time.Minute):
		t.Fatalf("%s is not ready after a minute", name)
	}
	return ""
}

// startRedis starts a redis-server of this test's own and returns its URL.
func startRedis(t *testing.T) string {
	t.Helper()
	path := program(t, "redis-server", "redis-server")
	dir, err := os.MkdirTemp("", "tideway") // not t.TempDir, whose paths may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "redis.sock")
	start(t, regexp.MustCompile(`(ready to accept connections)`),
		exec.Command(path, "--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no", "--dir", dir))
	return "unix://" + socket
}

// startDjango starts the site under Daphne, on a port that the system chooses, and returns its URL.
func startDjango(t *testing.T, redis, socket string) string {
	t.Helper()
	cmd := exec.Command(python(t), "-m", "daphne", "-b", "127.0.0.1", "-p", "0", "asgi:application")
	cmd.Dir = "site"
	cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1", "REDIS_URL="+redis, "SOCKET_URL="+socket)
	return "http://" + start(t, regexp.MustCompile(`Listening on TCP address (\S+)`), cmd)
}

// startGo serves the socket in this process.
func startGo(t *testing.T, ln net.Listener, redis, origin string) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- serve(ctx, ln, redis, origin) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("the Go server ended with: %v", err)
		}
	})
}
