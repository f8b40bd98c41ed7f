//go:build unix

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience passes only when something hangs.
const patience = 60 * time.Second

// A process is a program that can be started again after its end. It dies with the test.
type process struct {
	name    string
	command func() *exec.Cmd
	ready   *regexp.Regexp // what it prints when it serves; the last group is its address

	struck sync.Mutex // held while something is done to it

	mu  sync.Mutex
	run *running // the last one
	log []byte   // of the earlier ones
}

// running is one life of a process.
type running struct {
	cmd   *exec.Cmd
	out   output
	found []string      // what ready found
	ended chan struct{} // closed after its end; err is how it ended
	err   error
}

// output is what a process prints.
type output struct {
	mu    sync.Mutex
	text  bytes.Buffer
	ready *regexp.Regexp
	found chan []string // gets what matches first
	once  sync.Once
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text.Write(p)
	if m := o.ready.FindStringSubmatch(o.text.String()); m != nil {
		o.once.Do(func() { o.found <- m })
	}
	return len(p), nil
}

func (o *output) bytes() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	return bytes.Clone(o.text.Bytes())
}

// newProcess starts a program and waits until it serves.
func newProcess(t *testing.T, name string, ready *regexp.Regexp, command func() *exec.Cmd) (*process, error) {
	t.Helper()
	p := &process{name: name, command: command, ready: ready}
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("%s said\n%s", name, p.said())
		}
	})
	return p, p.start()
}

// start starts it, the first time or again, and waits until it serves.
func (p *process) start() error {
	r := &running{cmd: p.command(), ended: make(chan struct{})}
	r.out.ready, r.out.found = p.ready, make(chan []string, 1)
	r.cmd.Stdout, r.cmd.Stderr = &r.out, &r.out
	r.cmd.SysProcAttr = diesWithUs()
	started := make(chan error)
	go func() { // ends with the process; whoever kills it waits for ended
		runtime.LockOSThread() // the process dies with the thread that started it
		defer runtime.UnlockOSThread()
		err := r.cmd.Start()
		started <- err
		if err == nil {
			r.err = r.cmd.Wait()
		}
		close(r.ended)
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	p.mu.Lock()
	if p.run != nil {
		p.log = fmt.Appendf(append(p.log, p.run.out.bytes()...), "-- started again\n")
	}
	p.run = r
	p.mu.Unlock()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case found := <-r.out.found:
		p.mu.Lock()
		r.found = found
		p.mu.Unlock()
		return nil
	case <-r.ended:
		return fmt.Errorf("%s ended at its start: %w\n%s", p.name, errors.Join(errEnded, r.err), r.out.bytes())
	case <-limit.C:
		return fmt.Errorf("%s does not serve\n%s", p.name, r.out.bytes())
	}
}

var errEnded = errors.New("the process has ended")

// life is the process as it runs now.
func (p *process) life() *running {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.run
}

// address is what the n-th group of ready found; "" while the process does not serve.
func (p *process) address(n int) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run == nil || p.run.found == nil {
		return ""
	}
	select {
	case <-p.run.ended:
		return "" // somebody else may have its port by now
	default:
		return p.run.found[n]
	}
}

func (p *process) signal(s syscall.Signal) error {
	if err := p.life().cmd.Process.Signal(s); err != nil {
		return fmt.Errorf("send %v to %s: %w", s, p.name, err)
	}
	return nil
}

// kill ends it as a crash does, and waits.
func (p *process) kill() {
	if r := p.life(); r != nil {
		_ = r.cmd.Process.Kill() // it may have ended before
		<-r.ended
	}
}

// end ends it gracefully, and says what went wrong.
func (p *process) end() error {
	if err := p.signal(syscall.SIGTERM); err != nil {
		return err
	}
	limit := time.NewTimer(patience)
	defer limit.Stop()
	r := p.life()
	select {
	case <-r.ended:
	case <-limit.C:
		return fmt.Errorf("%s does not end", p.name)
	}
	if r.err != nil {
		return fmt.Errorf("the graceful end of %s: %w\n%s", p.name, r.err, r.out.bytes())
	}
	return nil
}

// said is all that it printed.
func (p *process) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	text := bytes.Clone(p.log)
	if p.run != nil {
		text = append(text, p.run.out.bytes()...)
	}
	return string(text)
}

// complaints are the lines that no fault excuses.
func (p *process) complaints() (lines []string) {
	for line := range strings.Lines(p.said()) {
		if strings.Contains(line, "panic") || strings.Contains(line, "DATA RACE") || strings.Contains(line, "fatal error") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}
