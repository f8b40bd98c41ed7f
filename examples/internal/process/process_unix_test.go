//go:build unix

package process_test

import (
	"os/exec"
	"regexp"
	"strconv"
	"syscall"
	"testing"

	"github.com/tideway-go/tideway/examples/internal/process"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStartAndKill(t *testing.T) {
	cmd := exec.Command("sh", "-c", `echo starting; echo "process $$ in $(pwd) with $WORD"; exec sleep 600`)
	cmd.Dir, cmd.Env = "/", []string{"WORD=word", "PATH=/usr/bin:/bin"}
	p := process.Start(t, regexp.MustCompile(`process (\d+) in / with word$`), cmd)
	pid, err := strconv.Atoi(p.Found)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, 0); err != nil {
		t.Fatalf("process %d: %v, want it to run", pid, err)
	}
	p.Kill()
	p.Kill()
	if err := syscall.Kill(pid, 0); err != syscall.ESRCH {
		t.Errorf("process %d: %v, want %v after Kill", pid, err, syscall.ESRCH)
	}
}
