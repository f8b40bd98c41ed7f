package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tideway-go/tideway/asgi/server"
	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/memlayer"
	"go.uber.org/goleak"
)

// processEnv, when set, makes the test binary a server: its value is the server's options in JSON.
const processEnv = "TIDEWAY_BENCH_SERVER"

// A process is the server in a process of its own, so that what it costs can be told from what its clients cost.
type process struct {
	t    testing.TB
	cmd  *exec.Cmd
	addr string
	in   io.WriteCloser
	out  *bufio.Reader
	log  bytes.Buffer
	done bool // stopped
}

// A state is what a process says of itself, after a garbage collection.
type state struct {
	Goroutines int
	Files      int // open descriptors; -1 where the system does not tell
	Heap       int // live bytes
	Members    int // of the room that was asked for
}

// limits are the options of a server in a process of its own.
type limits struct{ HeaderTimeout, WriteTimeout time.Duration }

// start starts a server, which ends with the test. It fails the test when it leaves a goroutine behind.
func start(t testing.TB, opts limits) *process {
	t.Helper()
	settings, err := json.Marshal(opts)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, cmd: exec.Command(os.Args[0])}
	// Two processors: there are as many flushers, and a process counts its goroutines.
	p.cmd.Env = append(os.Environ(), processEnv+"="+string(settings), "GOMAXPROCS=2")
	p.cmd.Stderr = &p.log
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.out = bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.stop)
	p.answer(&p.addr)
	return p
}

// stop has the server shut down, once.
func (p *process) stop() {
	if p.done {
		return
	}
	p.done = true
	p.in.Close()
	if err := p.cmd.Wait(); err != nil {
		p.t.Errorf("the server's process: %v\n%s", err, p.log.Bytes())
	}
}

// state asks for the state, with the members of a room. They get an empty message.
func (p *process) state(room string) (s state) {
	p.t.Helper()
	if _, err := fmt.Fprintln(p.in, room); err != nil {
		p.t.Fatal(err)
	}
	p.answer(&s)
	return s
}

func (p *process) answer(v any) {
	p.t.Helper()
	line, err := p.out.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, v)
	}
	if err != nil {
		p.t.Fatalf("the server's process: %v\n%s", err, p.log.Bytes())
	}
}

// rss is the memory that the process occupies, in bytes.
func (p *process) rss() int {
	p.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		missing(p.t, "the system has no /proc to read a process's memory from: run this on Linux")
	}
	for line := range strings.Lines(string(status)) {
		if name, value, _ := strings.Cut(line, ":"); name == "VmRSS" {
			kib, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")))
			if err != nil {
				p.t.Fatal(err)
			}
			return kib << 10
		}
	}
	p.t.Fatalf("no VmRSS in %s", status)
	return 0
}

// serveProcess is the other side: it serves until its input ends, and answers each line.
func serveProcess(settings string) error {
	var opts limits
	if err := json.Unmarshal([]byte(settings), &opts); err != nil {
		return err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	layer := memlayer.New(nil)
	layers.Register(layers.Default, layer)
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	srv := server.New(app(), &server.Options{
		HeaderTimeout: opts.HeaderTimeout, WriteTimeout: opts.WriteTimeout,
		ShutdownWindow: -1, // the tests' own time
	})
	go func() { served <- srv.Serve(ctx, ln) }() // awaited below
	out := json.NewEncoder(os.Stdout)
	err = out.Encode(ln.Addr().String())
	for in := bufio.NewScanner(os.Stdin); err == nil && in.Scan(); {
		s := state{Members: members(layer, in.Text()), Files: openFiles(), Heap: heap()}
		s.Goroutines = runtime.NumGoroutine()
		err = out.Encode(s)
	}
	stop()
	for _, e := range []error{<-served, layer.Close(context.Background()), goleak.Find()} {
		if err == nil {
			err = e
		}
	}
	return err
}

// members counts the members of a room by sending them a message. Nobody else must be sending.
func members(layer *layers.Layer, room string) int {
	count := func() uint64 {
		s := layer.Stats()
		return s.Delivered + s.Dropped[layers.DropFull]
	}
	before := count()
	if err := layer.GroupSend(context.Background(), "chat."+room, chatMessage.With(said{})); err != nil {
		return -1
	}
	return int(count() - before)
}

// heap is the live heap in bytes.
func heap() int {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what the first one found in pools, and in cleanups
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

func openFiles() int {
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return -1
	}
	return len(list)
}
