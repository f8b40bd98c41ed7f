//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/tideway-go/tideway/examples/internal/process"
	"github.com/tideway-go/tideway/layers"
)

// BenchmarkGroup has the same sockets in the same group on the same Redis at this server and at Daphne, and sends one message
// at a time from a third process, this one. The figures are CPU time of the server's process for each delivery, and the time
// from the send until a client has its message.
//
//	go test -run '^$' -bench Group -benchtime 5s -timeout 30m ./examples/django
func BenchmarkGroup(b *testing.B) {
	for _, layer := range []string{"core", "pubsub"} {
		for _, members := range []int{100, 1000} {
			for name, start := range map[string]func(*testing.B, string, string) *loaded{"Go": loadedGo, "Daphne": loadedDaphne} {
				b.Run(fmt.Sprintf("%s/members=%d/%s", layer, members, name), func(b *testing.B) {
					redis := process.Redis(b)
					load(b, start(b, layer, redis), deployment{layersOf[layer], redis}, members)
				})
			}
		}
	}
}

// loaded is a server under load.
type loaded struct {
	url string
	pid string
}

// withPID starts a program and finds what the pattern says, and the number of its process.
func withPID(b *testing.B, ready *regexp.Regexp, cmd *exec.Cmd) (found, pid string) {
	b.Helper()
	file := filepath.Join(b.TempDir(), "pid")
	noted := exec.Command("sh", append([]string{"-c", `echo $$ >"$0"; exec "$@"`, file, cmd.Path}, cmd.Args[1:]...)...)
	noted.Dir, noted.Env = cmd.Dir, cmd.Env
	found = process.Start(b, ready, noted).Found
	text, err := os.ReadFile(file)
	if err != nil {
		b.Fatal(err)
	}
	return found, strings.TrimSpace(string(text))
}

func loadedGo(b *testing.B, layer, redis string) *loaded {
	b.Helper()
	cmd := exec.Command(process.Build(b), "-addr", "127.0.0.1:0", "-redis", redis, "-layer", layer)
	url, pid := withPID(b, regexp.MustCompile(`sockets at (\S+)`), cmd)
	return &loaded{url, pid}
}

func loadedDaphne(b *testing.B, layer, redis string) *loaded {
	b.Helper()
	address, pid := withPID(b, daphneListens, django(b, "0", "REDIS_URL="+redis, "LAYER="+layer))
	return &loaded{"ws://" + address + "/ws/django/", pid}
}

// cpu is what the server has used, in steps of 10 ms.
func (s *loaded) cpu(b *testing.B) time.Duration {
	b.Helper()
	stat, err := os.ReadFile("/proc/" + s.pid + "/stat")
	if err != nil {
		b.Fatal(err)
	}
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:]) // from the third on
	var ticks int64
	for _, field := range fields[11:13] { // utime, stime
		n, err := strconv.ParseInt(string(field), 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// crowd is the clients, and who has heard the message under way.
type crowd struct {
	sent    atomic.Int64 // when, in ns
	heard   atomic.Int64
	members int64
	all     chan struct{}
	took    [][]time.Duration // by client
}

// join connects one client, which reads until the socket is closed.
func (c *crowd) join(b *testing.B, url string, i int, readers *sync.WaitGroup) *websocket.Conn {
	b.Helper()
	dialer := websocket.Dialer{HandshakeTimeout: time.Minute, ReadBufferSize: 1024, WriteBufferSize: 1024}
	ws, _, err := dialer.Dial(url, http.Header{"Origin": {"http://127.0.0.1:8000"}}) // which both let in
	if err != nil {
		b.Fatal(err)
	}
	readers.Go(func() { // ends when the socket is closed; load waits
		for {
			if _, _, err := ws.ReadMessage(); err != nil {
				return
			}
			c.took[i] = append(c.took[i], time.Duration(time.Now().UnixNano()-c.sent.Load()))
			if c.heard.Add(1) == c.members {
				c.heard.Store(0)
				c.all <- struct{}{}
			}
		}
	})
	return ws
}

// load connects so many clients and sends messages until the benchmark has enough.
func load(b *testing.B, s *loaded, site deployment, members int) {
	layer, err := site.layer(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = layer.Close(context.Background()) })
	c := &crowd{members: int64(members), all: make(chan struct{}, 1), took: make([][]time.Duration, members)}
	var readers sync.WaitGroup
	b.Cleanup(readers.Wait) // after all sockets are closed
	for i := range members {
		ws := c.join(b, s.url, i, &readers)
		b.Cleanup(func() { _ = ws.Close() })
	}
	m := newsItem.With(item{strings.Repeat("x", 100), "load"})
	for range 5 { // until all is warm
		c.round(b, layer, m)
	}
	for i := range c.took {
		c.took[i] = c.took[i][:0]
	}
	rounds, began := 0, s.cpu(b)
	for b.Loop() {
		c.round(b, layer, m)
		rounds++
	}
	used := s.cpu(b) - began
	took := slices.Concat(c.took...)
	slices.Sort(took)
	b.ReportMetric(float64(used.Nanoseconds())/1e3/float64(rounds*members), "cpu-µs/delivery")
	b.ReportMetric(float64(took[len(took)/2].Nanoseconds())/1e6, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds())/1e6, "p99-ms")
}

// round sends one message and waits until everybody has it.
func (c *crowd) round(b *testing.B, layer *layers.Layer, m layers.Message) {
	c.sent.Store(time.Now().UnixNano())
	if err := layer.GroupSend(b.Context(), group, m); err != nil {
		b.Fatal(err)
	}
	select {
	case <-c.all:
	case <-time.After(time.Minute):
		b.Fatalf("a minute after a message %d of %d clients have it", c.heard.Load(), c.members)
	}
}
