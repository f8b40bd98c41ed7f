// Package process starts the programs that a test needs beside it: the example itself, a broker, a browser. They end with
// the test, also with one that is killed.
package process

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// Missing skips a test for want of something that the machine lacks. Where everything must run, it fails instead.
func Missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("TIDEWAY_REQUIRE") == "all" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// Program finds a program, which a package of Debian brings.
func Program(t testing.TB, name, debian string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		Missing(t, "%s is not installed: apt-get install %s", name, debian)
	}
	return path
}

// Go runs the go command and returns what it prints.
func Go(t testing.TB, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("go")
	if err != nil {
		Missing(t, "the go command is not in the PATH, to build programs")
	}
	cmd := exec.Command(path, args...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	text, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, &errs)
	}
	return strings.TrimSpace(string(text))
}

// Build builds the command in the current directory and returns its path.
func Build(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	Go(t, "build", "-buildvcs=false", "-o", path, ".")
	return path
}

// NATS starts the NATS server that go.mod names as a tool, on a port that the system chooses, and returns its URL.
func NATS(t testing.TB, args ...string) (*Process, string) {
	t.Helper()
	server := exec.Command(Go(t, "tool", "-n", "nats-server"), append([]string{"-a", "127.0.0.1", "-p", "-1"}, args...)...)
	p := Start(t, regexp.MustCompile(`Listening for client connections on (\S+)`), server)
	return p, "nats://" + p.Found
}

// Redis starts a Redis server on a Unix socket of its own, and returns its URL.
func Redis(t testing.TB) string {
	t.Helper()
	path := Program(t, "redis-server", "redis-server")
	dir, err := os.MkdirTemp("", "tideway") // not t.TempDir, whose paths may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "redis.sock")
	Start(t, regexp.MustCompile(`(ready to accept connections)`),
		exec.Command(path, "--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no", "--dir", dir))
	return "unix://" + socket
}

// Channels finds the interpreter of Python that has Django Channels.
func Channels(t testing.TB) string {
	t.Helper()
	var errs []error
	for _, path := range []string{"python3", "/usr/bin/python3"} {
		out, err := exec.Command(path, "-c", "import channels, channels_redis.core, daphne, django").CombinedOutput()
		if err == nil {
			return path
		}
		errs = append(errs, fmt.Errorf("%s: %w: %s", path, err, out))
	}
	Missing(t, "no Python with Django Channels and Daphne: apt-get install daphne python3-channels-redis\n%v", errors.Join(errs...))
	return ""
}

// A Process is a program that runs until the end of the test.
type Process struct {
	// Found is what the program said when it was ready.
	Found string

	kill func()
}

// Kill ends the program as a crash does, and waits.
func (p *Process) Kill() { p.kill() }

// killer runs a program, and kills it when its own input ends, which it also does when the test dies.
const killer = `"$@" & exec >&- 2>&-; read _; kill -9 $!; wait $!`

// Start starts a program with cmd's arguments, directory and environment, and waits until a line of its output matches
// ready, whose first group is what is found. What the program said is logged where the test fails.
func Start(t testing.TB, ready *regexp.Regexp, cmd *exec.Cmd) *Process {
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
	said := listen(out, ready)
	p := &Process{kill: sync.OnceFunc(func() {
		leash.Close()
		sh.Wait() // it was killed
		said.reader.Wait()
		out.Close()
	})}
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("%s said\n%s", name, &said.log)
		}
	})
	select {
	case found, ok := <-said.found:
		if !ok {
			t.Fatalf("%s ended before it was ready", name)
		}
		p.Found = found
	case <-time.After(time.Minute):
		t.Fatalf("%s is not ready after a minute", name)
	}
	return p
}

// speech is what a program prints.
type speech struct {
	reader sync.WaitGroup
	log    bytes.Buffer // read after the reader has ended
	found  chan string  // gets what matches first; closed at the end
}

// listen reads until the program's output ends, which Kill waits for.
func listen(out *os.File, ready *regexp.Regexp) *speech {
	s := &speech{found: make(chan string, 1)}
	s.reader.Go(func() {
		matched := false
		for lines := bufio.NewScanner(out); lines.Scan(); {
			s.log.WriteString(lines.Text() + "\n")
			if m := ready.FindStringSubmatch(lines.Text()); m != nil && !matched {
				matched = true
				s.found <- m[1]
			}
		}
		close(s.found)
	})
	return s
}
