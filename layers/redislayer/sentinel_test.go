package redislayer

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"go.uber.org/zap"

	"github.com/tideway-go/tideway/layers"
)

// The passwords of the test's servers, and of its sentinels.
const (
	redisPassword    = "of redis #1"
	sentinelPassword = "of the sentinels"
)

// watched is a master with a replica, and three sentinels that watch them.
type watched struct {
	testing.TB
	master    *ownRedis
	replica   string   // its port
	sentinels []string // ports
}

func startWatched(t *testing.T) *watched {
	t.Helper()
	secured := func(port string) []string {
		return append(plain(port), "--requirepass", redisPassword, "--masterauth", redisPassword, "--repl-diskless-sync-delay", "0")
	}
	w := &watched{TB: t, master: startOwnRedis(t, secured)}
	w.replica = startRedis(t, func(port string) []string { return append(secured(port), "--replicaof", "127.0.0.1 "+w.master.port) })
	replica := client(t, (&url.URL{Scheme: "redis", User: url.UserPassword("", redisPassword), Host: "127.0.0.1:" + w.replica}).String())
	eventually(t, func() bool {
		info, err := do(t, replica, "INFO", "replication").ToString()
		return err == nil && strings.Contains(info, "master_link_status:up")
	}, "the replica has the master's data")
	for range 3 {
		w.sentinels = append(w.sentinels, startRedis(t, func(port string) []string {
			file := filepath.Join(t.TempDir(), "sentinel.conf")
			must(t, os.WriteFile(file, []byte(w.config(port)), 0o600))
			return []string{file, "--sentinel"}
		}))
	}
	for _, port := range w.sentinels {
		sentinel := client(t, (&url.URL{Scheme: "redis", User: url.UserPassword("", sentinelPassword), Host: "127.0.0.1:" + port}).String())
		eventually(t, func() bool {
			state, err := do(t, sentinel, "SENTINEL", "MASTER", "mymaster").AsStrMap()
			return err == nil && state["num-slaves"] == "1" && state["num-other-sentinels"] == "2" && state["flags"] == "master"
		}, "a sentinel knows the replica and the others")
	}
	return w
}

// config is that of the sentinel on a port. It notices within half a second what takes others half a minute.
func (w *watched) config(port string) string {
	return fmt.Sprintf(`port %s
bind 127.0.0.1
requirepass "%s"
sentinel sentinel-pass "%s"
sentinel monitor mymaster 127.0.0.1 %s 2
sentinel auth-pass mymaster "%s"
sentinel down-after-milliseconds mymaster 500
sentinel failover-timeout mymaster 5000
`, port, sentinelPassword, sentinelPassword, w.master.port, redisPassword)
}

// url is that of the master, whichever it is.
func (w *watched) url() string {
	query := url.Values{"master_set": {"mymaster"}, "sentinel_password": {sentinelPassword}}
	for _, port := range w.sentinels[1:] {
		query.Add("addr", "127.0.0.1:"+port)
	}
	return (&url.URL{
		Scheme: "redis", User: url.UserPassword("", redisPassword), Host: "127.0.0.1:" + w.sentinels[0], RawQuery: query.Encode(),
	}).String()
}

// client is a client of a server that is not a bed's.
func client(t *testing.T, text string) rueidis.Client {
	t.Helper()
	option, err := rueidis.ParseURL(text)
	must(t, err)
	option.DisableCache, option.ForceSingleClient = true, true
	c, err := rueidis.NewClient(option)
	must(t, err)
	t.Cleanup(c.Close)
	return c
}

// A rediss URL speaks TLS with the sentinels too.
func TestSentinelTLS(t *testing.T) {
	h, err := parseHost("rediss://h?master_set=m", nil)
	must(t, err)
	if h.option.Sentinel.TLSConfig == nil {
		t.Error("the sentinels of a rediss URL have no TLS")
	}
}

// When the master dies the sentinels make its replica the master, and the layers go there: channels are told, members are
// still members, and messages flow.
func TestFailover(t *testing.T) {
	t.Parallel()
	w := startWatched(t)
	var all [][2]*process
	var ears []ear
	for name, open := range opens {
		var two [2]*process
		for i := range two {
			l, err := open(t.Context(), &Options{Hosts: []string{w.url()}, Prefix: "f" + name, Logger: zap.NewNop()})
			must(t, err)
			two[i] = &process{TB: t, Layer: l}
			t.Cleanup(func() { _ = l.Close(context.Background()) }) // where the test has failed
		}
		all = append(all, two)
	}
	var channels []string
	for _, two := range all {
		channel := two[0].channel()
		two[0].join("room", channel)
		two[1].groupSend("room", "before")
		two[0].want(channel, "before")
		channels, ears = append(channels, channel), append(ears, two[0].ear())
	}
	w.master.kill()
	for i, two := range all {
		for _, p := range two {
			eventually(t, func() bool { _, out := p.Outage(); return out }, "L15: the outage is noticed")
		}
		if err := two[1].GroupSend(t.Context(), "room", note.With(text{"lost"})); err == nil {
			t.Error("L15: a send without a master is no error")
		}
		ears[i].want(t, layers.Down)
	}
	for i, two := range all {
		for _, p := range two {
			eventually(t, func() bool { _, out := p.Outage(); return !out }, "L15: the layer finds the new master")
		}
		ears[i].want(t, layers.Up)
		two[1].groupSend("room", "after")
		two[1].send(channels[i], "directly")
		two[0].want(channels[i], "after", "directly")
		for _, p := range two {
			must(t, p.Close(t.Context()))
		}
	}
}

// ear is an inbox that notes what the layer says of its connection.
type ear chan string

// Deliver implements layers.Inbox.
func (e ear) Deliver(m layers.Message) error {
	if m.Local() {
		e <- m.Type()
	}
	return nil
}

func (p *process) ear() ear {
	p.Helper()
	e := make(ear, 100)
	_, err := p.Listen(p.Context(), e)
	must(p, err)
	return e
}

func (e ear) want(t *testing.T, typ layers.Type[layers.Outage]) {
	t.Helper()
	select {
	case got := <-e:
		if got != typ.String() {
			t.Errorf("L15: a channel is told %s, want %s", got, typ)
		}
	case <-time.After(Patience):
		t.Errorf("L15: a channel is not told %s", typ)
	}
}
