package main

import (
	"net/http"
	"os/exec"
	"regexp"
	"testing"

	"github.com/tideway-go/tideway/examples/internal/process"
)

// Two processes over a NATS server: a logout in one closes the socket in the other.
func TestProcesses(t *testing.T) {
	program := process.Build(t)
	_, broker := process.NATS(t)
	dir := t.TempDir()
	start := func() string {
		ready := regexp.MustCompile(`open (http://\S+)/ in two tabs`)
		return process.Start(t, ready, exec.Command(program, "-addr", "127.0.0.1:0", "-sessions", dir, "-password", password, "-layer", broker)).Found
	}
	one, two := start(), start()
	ann := newDevice(t)
	ann.login(one, "ann")
	here, there := ann.open(one, "ann"), ann.open(two, "ann")
	ann.says(here, "milk")
	ann.hears(there, `{"text":"milk"}`)
	ann.hears(here, `{"text":"milk"}`)
	ann.post(two+"/logout", nil, "/login")
	ann.closed(here, "logged out")
	ann.closed(there, "logged out")
	ann.get(one+"/", http.StatusSeeOther)
}
