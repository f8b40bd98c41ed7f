package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// TestEachOfAHundredArrives sends 100 times to a channel and 100 times to a group, each time by a process of its own,
// through a NATS server and to a site that are processes too. Every notice must arrive, once, in order.
func TestEachOfAHundredArrives(t *testing.T) {
	program := build(t)
	nats := startNATS(t)
	web := startSite(t, program, nats)
	ann, bob := dial(t, web.url), dial(t, web.url)

	for _, c := range []struct {
		to   []string
		tabs []*client
	}{
		{[]string{"-channel", ann.channel}, []*client{ann}},
		{[]string{"-group", everyone}, []*client{ann, bob}},
	} {
		var took []time.Duration
		for i := range 100 {
			text := fmt.Sprintf("%s %d", c.to[0], i)
			start := time.Now()
			if code, said := web.send(c.to, text); code != 0 {
				t.Fatalf("send ends with %d and says %s", code, said)
			}
			took = append(took, time.Since(start))
			for _, tab := range c.tabs {
				if got := tab.hear(); got != text {
					t.Fatalf("%q arrived, want %q", got, text)
				}
			}
		}
		slices.Sort(took)
		t.Logf("%s: 100 of 100; a process takes %v, the slowest %v", c.to[0], took[50].Round(time.Millisecond), took[99].Round(time.Millisecond))
	}

	t.Run("a tab that was closed", func(t *testing.T) {
		bob.close()
		// The site hears of the end a moment later; until then it takes notices for Bob.
		deadline := time.Now().Add(time.Minute)
		for code := 0; code == 0 && time.Now().Before(deadline); {
			code, _ = web.send([]string{"-channel", bob.channel}, "anybody?")
		}
		web.fails(t, []string{"-channel", bob.channel}, "nobody is there")
	})
	t.Run("a site that was killed", func(t *testing.T) {
		web.kill()
		web.fails(t, []string{"-channel", ann.channel}, "nobody is there")
		if code, said := web.send([]string{"-group", everyone}, "anybody?"); code != 0 {
			t.Errorf("send to an empty group ends with %d and says %s", code, said)
		}
	})
	t.Run("no server", func(t *testing.T) {
		nats.kill()
		web.fails(t, []string{"-timeout", "300ms", "-group", everyone}, nats.url)
	})
}

// build builds the example.
func build(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "notify")
	tool(t, "build", "-buildvcs=false", "-o", program, ".")
	return program
}

// tool runs the go command and returns what it prints.
func tool(t *testing.T, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("go")
	if err != nil {
		missing(t, "the go command is not in the PATH, to build programs")
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

// missing skips a test for want of something that the machine lacks. Where everything must run, it fails instead.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("TIDEWAY_REQUIRE") == "all" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// process is a program that runs until the end of the test.
type process struct {
	url  string // that it printed
	kill func() // ends it as a crash does, and waits
}

// killer runs a program, and kills it when its own input ends, which it also does when the test dies.
const killer = `"$@" & exec >&- 2>&-; read _; kill -9 $!; wait $!`

// start starts a program and waits for a line of its output that matches: the first group is the URL.
func start(t *testing.T, line *regexp.Regexp, name string, args ...string) *process {
	t.Helper()
	cmd := exec.Command("sh", append([]string{"-c", killer, "sh", name}, args...)...)
	leash, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = in, in
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in.Close()
	found := make(chan string, 1)
	var log bytes.Buffer // read after the reader has ended
	var reader sync.WaitGroup
	reader.Go(func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			log.WriteString(lines.Text() + "\n")
			if m := line.FindStringSubmatch(lines.Text()); m != nil && len(found) == 0 {
				found <- m[1]
			}
		}
		close(found)
	})
	p := &process{kill: sync.OnceFunc(func() {
		leash.Close()
		cmd.Wait()
		reader.Wait()
		out.Close()
	})}
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("%s %s said\n%s", filepath.Base(name), args, &log)
		}
	})
	if p.url = <-found; p.url == "" {
		p.kill()
		t.Fatalf("%s %s ended:\n%s", filepath.Base(name), args, &log)
	}
	return p
}

// startNATS starts a NATS server on a port that the system chooses.
func startNATS(t *testing.T) *process {
	t.Helper()
	p := start(t, regexp.MustCompile(`Listening for client connections on (\S+)`), tool(t, "tool", "-n", "nats-server"), "-a", "127.0.0.1", "-p", "-1")
	p.url = "nats://" + p.url
	return p
}

// running is a site, and how to send to it.
type running struct {
	*process
	program, nats string
}

func startSite(t *testing.T, program string, nats *process) *running {
	t.Helper()
	p := start(t, regexp.MustCompile(`open http(://\S+)/`), program, "serve", "-addr", "127.0.0.1:0", "-layer", nats.url)
	return &running{p, program, nats.url}
}

// send runs the command in a process of its own and returns its exit status and what it said.
func (r *running) send(to []string, text string) (int, string) {
	args := append([]string{"send", "-layer", r.nats}, to...)
	said, err := exec.Command(r.program, append(args, "--", text)...).CombinedOutput()
	var status *exec.ExitError
	if errors.As(err, &status) {
		return status.ExitCode(), string(said)
	}
	if err != nil {
		return -1, err.Error()
	}
	return 0, string(said)
}

// fails demands that sending fails with one line that says why.
func (r *running) fails(t *testing.T, to []string, why string) {
	t.Helper()
	code, said := r.send(to, "anybody?")
	if code != 1 || !strings.HasPrefix(said, "notify: ") || !strings.Contains(said, why) || strings.Count(said, "\n") != 1 {
		t.Errorf("send ends with %d and says %q, want 1 and one line with %q", code, said, why)
	}
}

// client is a tab.
type client struct {
	t       *testing.T
	ws      *websocket.Conn
	channel string
}

func dial(t *testing.T, url string) *client {
	t.Helper()
	ws, _, err := websocket.DefaultDialer.Dial("ws"+url+"/ws/", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ws.Close() })
	var hello greeting
	if err := ws.ReadJSON(&hello); err != nil {
		t.Fatal(err)
	}
	return &client{t, ws, hello.Channel}
}

func (c *client) close() {
	c.t.Helper()
	bye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	if err := c.ws.WriteControl(websocket.CloseMessage, bye, time.Now().Add(time.Minute)); err != nil {
		c.t.Error(err)
	}
}

// hear returns the text of the next notice.
func (c *client) hear() string {
	c.t.Helper()
	if err := c.ws.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		c.t.Fatal(err)
	}
	var n notice
	if err := c.ws.ReadJSON(&n); err != nil {
		c.t.Fatal(err)
	}
	return n.Text
}
