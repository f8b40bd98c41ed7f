package redislayer

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"go.uber.org/zap"

	"github.com/tideway-go/tideway/layers"
)

// counters are what a server counts in one section of INFO.
func counters(t *testing.T, c rueidis.Client, section string) map[string]int64 {
	t.Helper()
	info, err := do(t, c, "INFO", section).ToString()
	must(t, err)
	all := map[string]int64{}
	for line := range strings.Lines(info) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if command, ok := strings.CutPrefix(key, "cmdstat_"); ok {
			key = command
			value, _, _ = strings.Cut(strings.TrimPrefix(value, "calls="), ",")
		}
		if n, err := strconv.ParseInt(value, 10, 64); err == nil {
			all[key] = n
		}
	}
	return all
}

// A process has one connection that hears and up to four that speak, whatever its channels, and however many send at once.
func TestFewConnections(t *testing.T) {
	for name, open := range opens {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := "redis://127.0.0.1:" + startRedis(t, plain)
			admin := client(t, url)
			before := counters(t, admin, "stats")["total_connections_received"]
			o := &Options{Hosts: []string{url}, Logger: zap.NewNop()}
			o.Capacity = 1000
			l, err := open(t.Context(), o)
			must(t, err)
			p := &process{TB: t, Layer: l}
			for i := range 1000 {
				channel, err := l.Listen(t.Context(), nothing{})
				must(t, err)
				p.join(fmt.Sprint("room", i%10), channel)
			}
			var senders sync.WaitGroup
			for range 200 {
				senders.Go(func() { // ends with its last answer; waited for below
					for i := range 5 {
						err := l.Send(t.Context(), "specific.aaaaaaaaaaaaaaaa!1", note.With(text{"a"})) // of nobody
						if err != nil && !errors.Is(err, layers.ErrNoChannel) {
							t.Error(err)
						}
						if err := l.GroupSend(t.Context(), fmt.Sprint("room", i), note.With(text{"a"})); err != nil {
							t.Error(err)
						}
					}
				})
			}
			senders.Wait()
			if n := counters(t, admin, "stats")["total_connections_received"] - before; n > 5 {
				t.Errorf("a process with 1,000 channels and 200 senders has made %d connections, want at most 5", n)
			}
			must(t, l.Close(t.Context()))
		})
	}
}

// A process with nothing to do asks Redis nothing, though channels and queues are waited for: Core tells of itself every 2 s,
// and waits for 10 s at a time; the client library sees every 5 s whether an idle connection lives.
func TestNoPolling(t *testing.T) {
	Long(t)
	idle := map[string]map[string]bool{
		"Core": {"evalsha": true, "time": true, "zscore": true, "zadd": true, "zremrangebyscore": true, "expire": true,
			"ping": true, "info": true},
		"PubSub": {"ping": true, "info": true},
	}
	for name, open := range opens {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := "redis://127.0.0.1:" + startRedis(t, plain)
			l, err := open(t.Context(), &Options{Hosts: []string{url}, Logger: zap.NewNop()})
			must(t, err)
			p := &process{TB: t, Layer: l}
			for range 100 {
				p.join("room", p.channel())
			}
			var waiting sync.WaitGroup
			if name == "Core" {
				for i := range 10 {
					waiting.Go(func() { // ends with the layer; waited for below
						if _, err := l.Receive(t.Context(), fmt.Sprint("jobs", i)); !errors.Is(err, layers.ErrClosed) {
							t.Errorf("Receive until the layer is closed: %v", err)
						}
					})
				}
			}
			admin := client(t, url)
			calls := func() map[string]int64 { return counters(t, admin, "commandstats") }
			marker := map[string]string{"Core": "evalsha", "PubSub": "ping"}[name]
			start := calls()
			eventually(t, func() bool { return calls()[marker] >= start[marker]+2 }, "what was begun is done")
			before := calls()
			eventually(t, func() bool { return calls()[marker] >= before[marker]+3 }, "the process lives")
			for command, n := range calls() {
				n -= before[command]
				if command == "bzpopmin" && n <= 1 && name == "Core" {
					continue
				}
				if n > 0 && !idle[name][command] {
					t.Errorf("an idle process of %s calls %s %d times in three of its signs of life", name, command, n)
				}
				if command == "evalsha" && n > 4 || command == "ping" && n > 12 {
					t.Errorf("an idle process of %s calls %s %d times", name, command, n)
				}
			}
			must(t, l.Close(t.Context()))
			waiting.Wait()
		})
	}
}

// A message for a group of 10,000 members in 10 processes is one for each process with Core, which takes 2 round trips, and a
// single one with PubSub; all members get it.
func TestTenThousandMembers(t *testing.T) {
	for name, open := range opens {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			port := startRedis(t, plain)
			o := Options{Hosts: []string{"redis://127.0.0.1:" + port}, Prefix: "large", Logger: zap.NewNop()}
			heard := &tally{all: make(chan struct{}, 1)}
			all := func() {
				t.Helper()
				select {
				case <-heard.all:
				case <-time.After(Patience):
					t.Fatalf("%d of 10,000 members have the message", heard.got.Load())
				}
			}
			heard.want.Store(10_000)
			var processes sync.WaitGroup
			for range 10 {
				own := o
				l, err := open(t.Context(), &own)
				must(t, err)
				t.Cleanup(func() { _ = l.Close(context.Background()) })
				processes.Go(func() { // ends with its last member; waited for below
					for range 1000 {
						channel, err := l.Listen(t.Context(), heard)
						if err == nil {
							err = l.GroupAdd(t.Context(), "room", channel)
						}
						if err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			processes.Wait()
			l, err := open(t.Context(), &o)
			must(t, err)
			p := &process{TB: t, Layer: l}
			t.Cleanup(func() { _ = l.Close(context.Background()) })
			p.groupSend("room", "the script is known to Redis from here on")
			all()
			seen := monitor(t, port)
			p.groupSend("room", "a")
			all()
			used := seen()
			count := func(command, part string) (n int) {
				for _, line := range used[command] {
					if strings.Contains(line, part) {
						n++
					}
				}
				return n
			}
			want := map[string]int{"publish large__group__room": 1}
			if name == "Core" {
				want = map[string]int{"zrange large:group:room": 1, "evalsha largespecific.": 1, "zadd largespecific.": 10}
			}
			for what, n := range want {
				command, part, _ := strings.Cut(what, " ")
				if got := count(command, part); got != n {
					t.Errorf("a message for 10,000 members in 10 processes is %d of %s, want %d", got, what, n)
				}
			}
		})
	}
}

// tally counts deliveries, and says when all members have theirs.
type tally struct {
	want, got atomic.Int64
	all       chan struct{}
}

// Deliver implements layers.Inbox.
func (t *tally) Deliver(layers.Message) error {
	if t.got.Add(1) == t.want.Load() {
		t.got.Store(0)
		t.all <- struct{}{}
	}
	return nil
}
