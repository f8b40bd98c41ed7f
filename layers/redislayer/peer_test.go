package redislayer

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/tideway-go/tideway/layers/internal/payload"
)

const (
	pythonCore   = "channels_redis.core.RedisChannelLayer"
	pythonPubSub = "channels_redis.pubsub.RedisPubSubChannelLayer"
)

// A peer is a process of Django Channels with a layer of channels_redis.
type peer struct {
	testing.TB
	in     io.WriteCloser
	out    *bufio.Reader
	stderr *bytes.Buffer
}

// python is the interpreter that has channels_redis.
var python = sync.OnceValues(func() (string, error) {
	var errs []error
	for _, path := range []string{"python3", "/usr/bin/python3"} {
		out, err := exec.Command(path, "-c", "import channels_redis.core, channels_redis.pubsub, cryptography").CombinedOutput()
		if err == nil {
			return path, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w: %s", path, err, out))
	}
	return "", errors.Join(errs...)
})

// peer starts a Python process on the same server, with the same prefix.
func (b *bed) peer(layer string, config map[string]any) *peer {
	b.Helper()
	path, err := python()
	if err != nil {
		Lacking(b, "no Python with channels_redis; install it with: apt-get install python3-channels-redis\n%v", err)
	}
	setup := map[string]any{"prefix": b.prefix}
	var hosts []string
	for i := range b.hosts {
		hosts = append(hosts, "unix://"+Socket(b, i))
	}
	setup["hosts"] = hosts
	for k, v := range config {
		setup[k] = v
	}
	arg, err := json.Marshal(map[string]any{"layer": layer, "config": setup})
	must(b, err)
	cmd := exec.Command(path, "testdata/peer.py", string(arg))
	p := &peer{TB: b.TB, stderr: &bytes.Buffer{}}
	cmd.Stderr = p.stderr
	p.in, err = cmd.StdinPipe()
	must(b, err)
	out, err := cmd.StdoutPipe()
	must(b, err)
	p.out = bufio.NewReader(out)
	must(b, cmd.Start())
	kill := time.AfterFunc(4*Patience, func() { _ = cmd.Process.Kill() })
	b.Cleanup(func() {
		_ = p.in.Close()
		_ = cmd.Wait() // what it thinks of its end is of no interest
		kill.Stop()
	})
	return p
}

type order struct {
	Op      string `json:"op"`
	Args    []any  `json:"args,omitempty"`
	Message []byte `json:"message,omitempty"`
	Timeout int    `json:"timeout,omitempty"`
}

type result struct {
	Value   any
	Message string
	Error   string
	Text    string
}

// try runs a method and returns what it returned or raised.
func (p *peer) try(o order) result {
	p.Helper()
	line, err := json.Marshal(o)
	must(p, err)
	_, err = p.in.Write(append(line, '\n'))
	must(p, err)
	answer, err := p.out.ReadBytes('\n')
	if err != nil {
		p.Fatalf("the Python process: %v: %s", err, p.stderr)
	}
	var r result
	must(p, json.Unmarshal(answer, &r))
	return r
}

func (p *peer) do(o order) result {
	p.Helper()
	r := p.try(o)
	if r.Error != "" {
		p.Fatalf("Python's %s(%v) raised %s: %s", o.Op, o.Args, r.Error, r.Text)
	}
	return r
}

func (p *peer) channel() string {
	p.Helper()
	return p.do(order{Op: "new_channel"}).Value.(string)
}

func (p *peer) sendData(channel string, data []byte) {
	p.Helper()
	p.do(order{Op: "send", Args: []any{channel}, Message: data})
}

func (p *peer) send(channel string, texts ...string) {
	p.Helper()
	for _, s := range texts {
		p.sendData(channel, encoded(p, "note", map[string]any{"text": s}))
	}
}

func (p *peer) groupSend(group string, texts ...string) {
	p.Helper()
	for _, s := range texts {
		p.do(order{Op: "group_send", Args: []any{group}, Message: encoded(p, "note", map[string]any{"text": s})})
	}
}

func (p *peer) join(group, channel string) {
	p.Helper()
	p.do(order{Op: "group_add", Args: []any{group, channel}})
}

func (p *peer) leave(group, channel string) {
	p.Helper()
	p.do(order{Op: "group_discard", Args: []any{group, channel}})
}

// receive returns the fields of the next message.
func (p *peer) receive(channel string) map[string]any {
	p.Helper()
	r := p.do(order{Op: "receive", Args: []any{channel}, Timeout: 20})
	data, err := base64.StdEncoding.DecodeString(r.Message)
	must(p, err)
	fields, err := payload.Fields(data)
	must(p, err)
	return fields
}

func (p *peer) want(channel string, texts ...string) {
	p.Helper()
	for _, want := range texts {
		if got := p.receive(channel); got["text"] != want || got["type"] != "note" || len(got) != 2 {
			p.Fatalf("Python got %v, want %q", got, want)
		}
	}
}
