package main

import (
	"os/exec"
	"regexp"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/tideway-go/tideway/examples/internal/process"
)

// TestAKilledWorkersJobIsTakenOver runs a NATS server, a site and two workers, each in a process of its own, and kills the
// worker that has the job when it has sent the first thumbnail. The other one must send them all.
func TestAKilledWorkersJobIsTakenOver(t *testing.T) {
	program := process.Build(t)
	_, layer := process.NATS(t, "-js", "-sd", t.TempDir())
	start := func(ready string, args ...string) *process.Process {
		return process.Start(t, regexp.MustCompile(ready), exec.Command(program, args...))
	}
	site := start(`open http(://\S+)/`, "-role", "site", "-addr", "127.0.0.1:0", "-layer", layer)
	workers := map[string]*process.Process{}
	for range 2 {
		// The pause gives this test the time to kill one in the middle.
		w := start(`process (\d+) works`, "-role", "worker", "-layer", layer, "-pause", "1s")
		workers["worker "+w.Found] = w
	}

	ws, _, err := websocket.DefaultDialer.Dial("ws"+site.Found+"/ws/album/", nil)
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
			workers[first].Kill()
			killed = time.Now()
		case first != "" && r.Worker != first && r.Thumbnail == nil:
			t.Logf("another worker had the job %v after the kill", time.Since(killed).Round(time.Millisecond))
		case r.Worker != first && r.Thumbnail != nil:
			bySurvivor[r.Thumbnail.Size] = true
		}
	}
}
