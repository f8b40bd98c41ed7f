package server_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// fullFlood asks for floods of full size, whose figures are worth reading:
//
//	go test -run '^TestFlood$' -v ./asgi/server -flood
var fullFlood = flag.Bool("flood", false, "run TestFlood at full size, for about four minutes")

// manyAttackers says that as many attack as at full size, in little time: how long others wait means nothing then.
var manyAttackers = os.Getenv("TIDEWAY_LONG") != ""

// floods are attacks on a server in a process of its own, by a process of its own, while the members of a room talk.
var floods = []struct {
	attack         string
	atOnce, visits int                                          // at full size
	few, fewVisits int                                          // else
	pad, smallPad  int                                          // bytes that others say at a time
	least          func(got map[string]int64, s floodState) int // how many attackers were dealt with as it should be
	dealt          string
	tells          bool // the attackers say when so many were
}{
	{"slow header", 1000, 0, 50, 0, 1 << 10, 1 << 10, func(got map[string]int64, _ floodState) int { return int(got["Cut"]) }, "cut after HeaderTimeout", true},
	{"slow body", 1000, 0, 50, 0, 1 << 10, 1 << 10, func(got map[string]int64, _ floodState) int { return int(got["Cut"]) }, "cut after BodyTimeout", true},
	{"never reads", 200, 0, 20, 0, 16 << 10, 64 << 10, func(_ map[string]int64, s floodState) int { return int(s.Stats.SlowReaders) }, "cut after WriteTimeout", false},
	{"headers", 50, 0, 8, 0, 1 << 10, 1 << 10, func(got map[string]int64, _ floodState) int { return int(got["Cut"]) }, "cut at the largest header", true},
	{"pings", 50, 0, 8, 0, 1 << 10, 1 << 10, nil, "", false},
	{"connect/close", 20, 20_000, 8, 600, 1 << 10, 1 << 10, func(got map[string]int64, _ floodState) int { return int(got["Connections"] - got["Refused"]) }, "served", true},
}

// maxResident is what a server under attack may take of the machine's memory.
const maxResident = 256 << 20

// TestFlood attacks a server. It must stay within its memory, deal with the attackers, lose nothing of what others say to each other, and
// have afterwards what it had before. How long others wait is printed, for it depends on the machine.
func TestFlood(t *testing.T) {
	if floodRole != "" || testing.Short() {
		t.Skip("not in -short")
	}
	for _, tc := range floods {
		t.Run(tc.attack, func(t *testing.T) {
			f := startFlood(t)
			members, rest, talk, pad, atOnce, visits := 4, 300*time.Millisecond, time.Second, tc.smallPad, tc.few, tc.fewVisits
			if *fullFlood || manyAttackers {
				atOnce, visits = tc.atOnce, tc.visits
			}
			if *fullFlood {
				members, rest, talk, pad = 10, 10*time.Second, 20*time.Second, tc.pad
			}
			r := f.newRoom(members, pad)
			calm := r.talk(rest, nil)
			before := f.state()
			attack, begun := f.attack(tc.attack, atOnce, visits, tc.tells), time.Now()
			hit := r.talk(talk, func() bool {
				dealt := attack.over() && (tc.attack != "never reads" || int(f.state().Stats.SlowReaders) >= atOnce)
				return dealt || time.Since(begun) > 2*time.Minute
			})
			got := attack.stop()
			after := r.talk(rest, nil)
			state := f.state()
			if tc.least != nil {
				if n := tc.least(got, state); n < max(atOnce, visits) {
					t.Errorf("%d attackers were %s, want %d at least: %v, %+v", n, tc.dealt, max(atOnce, visits), got, state)
				}
			}
			var now floodState
			if !eventually(func() bool {
				<-time.After(50 * time.Millisecond) // asking is work too
				now = f.state()
				return now.Goroutines <= before.Goroutines+members && // one may have a second goroutine since
					now.Descriptors <= before.Descriptors && now.Stats.Open == members
			}) {
				t.Errorf("after the attack %+v, before it %+v", now, before)
			}
			peak := f.resident()
			if limit := maxResident * raceFactor; peak > limit {
				t.Errorf("the server took %d MiB, want %d at most", peak>>20, limit>>20)
			}
			t.Logf("%d at once, %v; %d MiB at most, %d MiB of Go's at the end; others waited, p50/p99/max: calm %v, attacked %v, afterwards %v; p99 is %.1f times that of the calm",
				atOnce, got, peak>>20, state.Heap>>20, calm, hit, after, float64(hit.at(0.99))/float64(calm.at(0.99)))
		})
	}
}

// A flood is a server in a process of its own.
type flood struct {
	t    *testing.T
	pid  int
	addr string
}

// A process is another one of this test binary. It ends when its input does.
type process struct {
	cmd   *exec.Cmd
	leash io.Closer
	out   *bufio.Reader
}

func startProcess(t *testing.T, role string, env ...string) *process {
	args := []string{os.Args[0], "-test.run=^TestFlood" + role + "$", "-test.timeout=10m", fmt.Sprintf("-flood=%v", *fullFlood)}
	if chrt, err := exec.LookPath("chrt"); err == nil && *fullFlood && role == "Attack" {
		args = append([]string{chrt, "--idle", "0"}, args...) // the attackers' machine would be another one
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(append(os.Environ(), "TIDEWAY_FLOOD="+strings.ToLower(role)), env...)
	cmd.Stderr = os.Stderr
	leash, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{cmd, leash, bufio.NewReader(out)}
	t.Cleanup(func() { p.end() })
	return p
}

// line reads up to a line that matches, and returns its first group.
func (p *process) line(t *testing.T, pattern string) string {
	want := regexp.MustCompile(pattern)
	for {
		s, err := p.out.ReadString('\n')
		if m := want.FindStringSubmatch(s); m != nil {
			return m[1]
		}
		if err != nil {
			t.Fatalf("a process ended without saying %q: %v", pattern, err)
		}
	}
}

func (p *process) end() {
	p.leash.Close()
	io.Copy(io.Discard, p.out)
	p.cmd.Wait()
}

func startFlood(t *testing.T) *flood {
	p := startProcess(t, "Server")
	return &flood{t: t, pid: p.cmd.Process.Pid, addr: p.line(t, `listening on (\S+)`)}
}

// resident is the most memory that the server's process has ever had; 0 where the system does not tell.
func (f *flood) resident() int {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", f.pid))
	m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(b)
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(string(m[1]))
	return n << 10
}

// An attack goes on until it is stopped or has made its visits.
type attack struct {
	t       *testing.T
	process *process
	told    chan struct{}
}

// attack begins an attack, and returns when all attackers have connected.
func (f *flood) attack(kind string, atOnce, visits int, tells bool) *attack {
	a := &attack{f.t, startProcess(f.t, "Attack", "TIDEWAY_FLOOD_ADDR="+f.addr, "TIDEWAY_FLOOD_ATTACK="+kind,
		fmt.Sprint("TIDEWAY_FLOOD_AT_ONCE=", atOnce), fmt.Sprint("TIDEWAY_FLOOD_VISITS=", visits)), make(chan struct{})}
	a.process.line(f.t, "(begun)")
	if !tells {
		close(a.told)
		return a
	}
	go func() { // ends with the attackers' process
		a.process.out.Peek(1)
		close(a.told)
	}()
	return a
}

// over reports whether the attackers have said that they were dealt with, if they say that at all.
func (a *attack) over() bool {
	select {
	case <-a.told:
		return true
	default:
		return false
	}
}

// stop ends the attack and returns what the attackers met with.
func (a *attack) stop() (got map[string]int64) {
	a.process.leash.Close()
	<-a.told
	if err := json.Unmarshal([]byte(a.process.line(a.t, `^result (.*)`)), &got); err != nil {
		a.t.Fatal(err)
	}
	a.process.end()
	return got
}

// A crowd is the members of a room who are no attackers.
type crowd struct {
	t       *testing.T
	members []*talker
	pad     string
	readers sync.WaitGroup
}

// A talker is one of them. It reads all the time.
type talker struct {
	*peer
	id    int
	heard chan said // what it said itself
}

func (f *flood) newRoom(members, pad int) *crowd {
	r := &crowd{t: f.t, pad: strings.Repeat("x", pad)}
	f.t.Cleanup(r.readers.Wait)
	for id := range members {
		c, err := net.Dial("tcp", f.addr)
		if err != nil {
			f.t.Fatal(err)
		}
		m := &talker{newPeer(c), id, make(chan said, 1)}
		m.SetDeadline(time.Now().Add(10 * time.Minute))
		f.t.Cleanup(func() { m.Close() })
		if err := m.open(); err != nil {
			f.t.Fatal(err)
		}
		r.members = append(r.members, m)
		r.readers.Go(m.listen)
	}
	return r
}

// listen reads until the end.
func (m *talker) listen() {
	defer close(m.heard)
	for {
		_, payload, err := m.receive()
		if err != nil {
			return
		}
		var s said
		if _, err := fmt.Sscanf(payload[:min(len(payload), 50)], `{"at":%d,"id":%d,`, &s.At, &s.ID); err == nil && s.ID == m.id {
			m.heard <- s
		}
	}
}

// waits are the times between saying something and hearing it.
type waits []time.Duration

func (w waits) at(q float64) time.Duration {
	if len(w) == 0 {
		return 0
	}
	return w[int(q*float64(len(w)-1))]
}

func (w waits) String() string {
	return fmt.Sprintf("%v/%v/%v of %d", w.at(0.5).Round(time.Microsecond), w.at(0.99).Round(time.Microsecond), w.at(1).Round(time.Microsecond), len(w))
}

// talk lets each member say something five times a second, for at least so long, and on until that is true if it is given. Each must
// hear itself each time.
func (r *crowd) talk(atLeast time.Duration, until func() bool) waits {
	start := time.Now()
	var mu sync.Mutex
	var all waits
	var talking sync.WaitGroup
	for _, m := range r.members {
		talking.Go(func() {
			<-time.After(time.Duration(m.id) * 200 * time.Millisecond / time.Duration(len(r.members))) // one after the other
			tick := time.NewTicker(200 * time.Millisecond)
			defer tick.Stop()
			for time.Since(start) < atLeast || until != nil && !until() {
				wait, err := m.say(r.pad)
				if err != nil {
					r.t.Errorf("member %d: %v", m.id, err)
					return
				}
				mu.Lock()
				all = append(all, wait)
				mu.Unlock()
				<-tick.C
			}
		})
	}
	talking.Wait()
	slices.Sort(all)
	return all
}

// say says something and waits until it is heard.
func (m *talker) say(pad string) (time.Duration, error) {
	at := time.Now()
	b, _ := json.Marshal(said{at.UnixNano(), m.id, pad})
	if err := m.send(fin|text, string(b)); err != nil {
		return 0, err
	}
	select {
	case s, ok := <-m.heard:
		if !ok || s.At != at.UnixNano() {
			return 0, fmt.Errorf("heard %d, %v, want %d", s.At, ok, at.UnixNano())
		}
		return time.Since(at), nil
	case <-time.After(20 * time.Second):
		return 0, errors.New("did not hear itself")
	}
}
