package main

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// TestAKilledWorkersJobIsTakenOver runs a NATS server, a site and two workers, each in a process of its own, and kills the
// worker that has the job when it has sent the first thumbnail. The other one must send them all.
func TestAKilledWorkersJobIsTakenOver(t *testing.T) {
	program := build(t)
	nats := start(t, regexp.MustCompile(`Listening for client connections on (\S+)`),
		tool(t, "tool", "-n", "nats-server"), "-js", "-sd", t.TempDir(), "-a", "127.0.0.1", "-p", "-1")
	layer := "nats://" + nats.word
	site := start(t, regexp.MustCompile(`open http(://\S+)/`), program, "-role", "site", "-addr", "127.0.0.1:0", "-layer", layer)
	workers := map[string]*process{}
	for range 2 {
		// The pause gives this test the time to kill one in the middle.
		w := start(t, regexp.MustCompile(`process (\d+) works`), program, "-role", "worker", "-layer", layer, "-pause", "1s")
		workers["worker "+w.word] = w
	}

	ws, _, err := websocket.DefaultDialer.Dial("ws"+site.word+"/ws/album/", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	if err := ws.SetReadDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	if err := ws.WriteJSON(announcement{ID: "sea", Name: "sea.jpg"}); err != nil {
		t.Fatal(err)
	}
	if err := ws.WriteMessage(websocket.BinaryMessage, jpegOf(t, paint(800, 600))); err != nil {
		t.Fatal(err)
	}

	var first string // the worker that was killed
	var killed time.Time
	for bySurvivor := map[int]bool{}; len(bySurvivor) < len(sizes); {
		var r report
		if err := ws.ReadJSON(&r); err != nil {
			t.Fatalf("%v; the other worker has sent %v", err, bySurvivor)
		}
		switch {
		case r.ID != "sea" || r.Error != "" || workers[r.Worker] == nil:
			t.Fatalf("the page hears %+v", r)
		case first == "" && r.Thumbnail != nil:
			first = r.Worker
			workers[first].kill()
			killed = time.Now()
		case first != "" && r.Worker != first && r.Thumbnail == nil:
			t.Logf("another worker had the job %v after the kill", time.Since(killed).Round(time.Millisecond))
		case r.Worker != first && r.Thumbnail != nil:
			bySurvivor[r.Thumbnail.Size] = true
		}
	}
}

// build builds the example.
func build(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "worker")
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

// process is a program that runs until the end of the test.
type process struct {
	word string // of what it printed
	kill func() // ends it as a crash does, and waits
}

// killer runs a program, and kills it when its own input ends, which it also does when the test dies.
const killer = `"$@" & exec >&- 2>&-; read _; kill -9 $!; wait $!`

// start starts a program and waits for a line of its output that matches: the first group is its word.
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
	if p.word = <-found; p.word == "" {
		p.kill()
		t.Fatalf("%s %s ended:\n%s", filepath.Base(name), args, &log)
	}
	return p
}
