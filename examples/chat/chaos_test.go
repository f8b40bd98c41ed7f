//go:build unix

package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	testprocess "github.com/tideway-go/tideway/examples/internal/process"
)

var (
	chaosTime = flag.Duration("chaos", 0, "how long each TestChaos lasts; 0 is the short form, 5m the long one")
	chaosSeed = flag.Uint64("chaosseed", 0, "repeat the faults of a TestChaos; 0 is new ones")
)

// nodes is how many processes serve the chat.
const nodes = 3

// TestChaos runs a chat of three processes, with members in rooms that all of them share, each of whom publishes numbered
// messages. Meanwhile processes are killed (SIGKILL), frozen (SIGSTOP and, later, SIGCONT) and ended gracefully (SIGTERM), and
// started again; so is the broker, where there is one.
//
// A fault has a window: from a second before it, for what is on its way when it strikes, to 10 s after its repair. A
// message is inside when it was published in a window that concerns its sender's process, its receiver's, or the broker.
// Demanded is:
//
//   - Outside, every member of the room hears each message, in the order of its sender.
//   - Nobody hears a message twice, inside or outside.
//   - A socket is lost only when its process was killed or ended.
//   - Within 10 s after a process was killed, its members are gone: a direct send says so, and the broker serves nobody
//     who would listen to their groups.
//   - Whatever happened, a process still ends gracefully, and leaves nothing behind.
//
// The long form is go test ./examples/chat -run TestChaos -v -chaos 5m -timeout 10m. It demands 10 faults, 100,000
// messages published, and half of them at a time when there was no window at all.
func TestChaos(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes half a minute")
	}
	seed := *chaosSeed
	for seed == 0 {
		seed = rand.Uint64()
	}
	for name, start := range map[string]func(*chaos){"cluster": (*chaos).startCluster, "broker": (*chaos).startBroker} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := &chaos{t: t, seed: seed, book: &book{began: time.Now()}, quiet: make(chan struct{})}
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("again with -chaosseed %d; the faults were:\n%s", seed, c.book)
				}
			})
			start(c)
			c.run()
		})
	}
}

// chaos is one test.
type chaos struct {
	t       *testing.T
	seed    uint64
	book    *book
	nodes   []*process
	broker  *process // nil in a cluster
	members []*member
	quiet   chan struct{} // closed when nobody publishes any more

	speaking sync.RWMutex // held to publish
}

// startCluster starts nodes that are each other's broker.
func (c *chaos) startCluster() {
	addrs := c.addresses(nodes)
	for i, own := range addrs {
		others := slices.Delete(slices.Clone(addrs), i, i+1)
		c.addNode(i, "-cluster", own, "-routes", strings.Join(others, ","))
	}
}

// startBroker starts a NATS server, and nodes that share it.
func (c *chaos) startBroker() {
	program, addr := testprocess.Go(c.t, "tool", "-n", "nats-server"), c.addresses(1)[0]
	host, port, _ := net.SplitHostPort(addr) // as it was joined
	var err error
	c.broker, err = newProcess(c.t, "broker", regexp.MustCompile(`Listening for client connections on (\S+)`), func() *exec.Cmd {
		return exec.Command(program, "-a", host, "-p", port)
	})
	if err != nil {
		c.t.Fatal(err)
	}
	for i := range nodes {
		c.addNode(i, "-layer", "nats://"+addr)
	}
}

// addNode starts a chat on a port of its own, another one each time.
func (c *chaos) addNode(i int, flags ...string) {
	ready := regexp.MustCompile(`shared over nats://(\S+)\n(?s:.*)open http://(\S+)/`)
	p, err := newProcess(c.t, fmt.Sprint("node ", i), ready, func() *exec.Cmd {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), nodeEnv+"=-addr 127.0.0.1:0 "+strings.Join(flags, " "))
		return cmd
	})
	if err != nil {
		c.t.Fatal(err)
	}
	c.nodes = append(c.nodes, p)
}

// The groups of ready.
const (
	natsAddress = 1
	siteAddress = 2
)

// addresses finds addresses to listen on that stay free while nobody listens there: their ports are below those that systems
// give to outgoing connections.
func (c *chaos) addresses(n int) (list []string) {
	for len(list) < n {
		ln, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", 20_000+rand.N(12_000)))
		if err != nil {
			continue // taken
		}
		defer ln.Close()
		list = append(list, ln.Addr().String())
	}
	return list
}

// run runs it.
func (c *chaos) run() {
	rooms, every := 6, 200*time.Millisecond
	if *chaosTime > 0 {
		rooms, every = 16, 100*time.Millisecond
	}
	c.enrol(rooms, every)
	ctx, leave := context.WithCancel(c.t.Context())
	var members sync.WaitGroup
	defer members.Wait()
	defer leave()
	start := c.book.open(fault{kind: "start", victim: everybody})
	for _, m := range c.members {
		members.Go(func() { m.live(ctx) })
	}
	if !c.await(func() bool { return c.unheard(0) == 0 }) {
		c.t.Fatalf("%d pairs of members do not hear each other", c.unheard(0))
	}
	c.book.close(start, 0)
	c.perform(c.plan())
	c.speaking.Lock()
	close(c.quiet)
	c.speaking.Unlock()
	c.await(func() bool { return c.unheard(-1) == 0 }) // else the tally tells what was lost
	leave()
	members.Wait()
	c.end()
	c.judge()
}

// end ends all processes gracefully.
func (c *chaos) end() {
	var ended sync.WaitGroup
	for _, p := range c.nodes {
		ended.Go(func() {
			if err := p.end(); err != nil {
				c.t.Error(err)
			}
			for _, line := range p.complaints() {
				c.t.Errorf("%s says: %s", p.name, line)
			}
		})
	}
	ended.Wait()
}

// pause waits. It is false when the test is over.
func (c *chaos) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.t.Context().Done():
		return false
	}
}

// await waits until a condition is true, or says that it does not become so.
func (c *chaos) await(done func() bool) bool {
	for begun := time.Now(); !done(); c.pause(20 * time.Millisecond) {
		if time.Since(begun) > patience {
			return false
		}
	}
	return true
}
