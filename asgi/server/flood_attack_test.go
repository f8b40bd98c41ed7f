package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// An attacker is one connection, or one after the other, until the attack is over.
type attacker struct {
	addr string
	ctx  context.Context // until the attack is over
	got  *attackResult
	n    int

	atOnce int64
}

// attackResult is what the server did to the attackers.
type attackResult struct {
	Connections, Refused, Cut atomic.Int64
}

// MarshalJSON makes plain numbers of the counters.
func (r *attackResult) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]int64{"Connections": r.Connections.Load(), "Refused": r.Refused.Load(), "Cut": r.Cut.Load()})
}

var attacks = map[string]func(*attacker){
	"slow header":   func(a *attacker) { a.trickle("GET / HTTP/1.1\r\nHost: example.org\r\nX: ") },
	"slow body":     func(a *attacker) { a.trickle(post + "Content-Length: 1000000\r\n\r\n") },
	"never reads":   (*attacker).neverRead,
	"headers":       (*attacker).headers,
	"pings":         (*attacker).pings,
	"connect/close": (*attacker).visit,
}

// dial connects with a small window, so that little is on the way.
func (a *attacker) dial() *net.TCPConn {
	c, err := net.Dial("tcp", a.addr)
	if err != nil {
		a.got.Refused.Add(1)
		return nil
	}
	if a.got.Connections.Add(1) == a.atOnce {
		fmt.Println("begun")
	}
	tcp := c.(*net.TCPConn)
	tcp.SetReadBuffer(4096)
	context.AfterFunc(a.ctx, func() { tcp.SetDeadline(time.Unix(1, 0)) }) // wakes up who waits
	return tcp
}

// open completes a handshake, or returns nil.
func (a *attacker) open() *net.TCPConn {
	c := a.dial()
	if c == nil {
		return nil
	}
	io.WriteString(c, handshake+"\r\n")
	head := make([]byte, 1)
	for end := 0; end < 4; { // no byte beyond the header
		if _, err := c.Read(head); err != nil {
			c.Close()
			return nil
		}
		if end++; head[0] != '\r' && head[0] != '\n' {
			end = 0
		}
	}
	return c
}

// wait waits, or reports that the attack is over.
func (a *attacker) wait(d time.Duration) bool {
	select {
	case <-a.ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// wasCut counts a connection that the server has ended.
func (a *attacker) wasCut(_ int, err error) bool {
	if err != nil && a.ctx.Err() == nil && a.got.Cut.Add(1) == a.atOnce {
		fmt.Println("enough")
	}
	return err != nil
}

// trickle begins a request and sends a byte now and then.
func (a *attacker) trickle(begin string) {
	c := a.dial()
	if c == nil {
		return
	}
	defer c.Close()
	io.WriteString(c, begin)
	for a.wait(50 * time.Millisecond) {
		if a.wasCut(c.Write([]byte{'x'})) {
			return
		}
	}
}

// neverRead is a member of the room that does not listen.
func (a *attacker) neverRead() {
	c := a.open()
	if c == nil {
		return
	}
	defer c.Close()
	for alive := frame(fin|pong, ""); a.wait(50 * time.Millisecond); {
		if a.wasCut(c.Write(alive)) {
			return
		}
	}
}

// headers sends header lines without end.
func (a *attacker) headers() {
	c := a.dial()
	if c == nil {
		return
	}
	defer c.Close()
	io.WriteString(c, get)
	lines := []byte(strings.Repeat("X-Header: "+strings.Repeat("y", 54)+"\r\n", 60))
	for a.wait(0) {
		if a.wasCut(c.Write(lines)) {
			return
		}
	}
}

// pings sends pings as fast as it can, and reads nothing.
func (a *attacker) pings() {
	c := a.open()
	if c == nil {
		return
	}
	defer c.Close()
	many := bytes.Repeat(frame(fin|ping, "0123456789"), 64)
	for a.wait(0) {
		if a.wasCut(c.Write(many)) {
			return
		}
	}
}

// visit comes and goes in one of four ways.
func (a *attacker) visit() {
	c := a.dial()
	if c == nil {
		return
	}
	defer c.Close()
	if a.n++; a.n%4 == 0 {
		return
	}
	p := newPeer(c)
	if err := p.open(); err != nil {
		a.got.Refused.Add(1)
		return
	}
	switch a.n % 4 {
	case 1:
		p.send(fin|closing, closePayload(1000, ""))
		p.end()
	case 2:
		c.SetLinger(0)
	}
}

// TestFloodAttack is the process of the attackers. It ends when its input does, or after so many visits as it is told.
func TestFloodAttack(t *testing.T) {
	if floodRole != "attack" {
		t.Skip("this is the other process of TestFlood")
	}
	attack := attacks[os.Getenv("TIDEWAY_FLOOD_ATTACK")]
	at, _ := strconv.Atoi(os.Getenv("TIDEWAY_FLOOD_AT_ONCE"))
	visits, _ := strconv.Atoi(os.Getenv("TIDEWAY_FLOOD_VISITS"))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { // ends with the process, or before it
		io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	var got attackResult
	var all sync.WaitGroup
	for i := range at {
		all.Go(func() {
			a := &attacker{addr: os.Getenv("TIDEWAY_FLOOD_ADDR"), ctx: ctx, got: &got, n: i, atOnce: int64(at)}
			for ctx.Err() == nil && (visits == 0 || got.Connections.Load() < int64(visits)) {
				attack(a)
			}
		})
	}
	all.Wait()
	b, _ := json.Marshal(&got)
	fmt.Printf("result %s\n", b)
	<-ctx.Done()
}

// state asks the server under attack about itself.
func (f *flood) state() (s floodState) {
	resp, err := http.Get("http://" + f.addr + "/state")
	if err == nil {
		err = json.NewDecoder(resp.Body).Decode(&s)
		resp.Body.Close()
		http.DefaultClient.CloseIdleConnections()
	}
	if err != nil {
		f.t.Error(err)
	}
	return s
}
