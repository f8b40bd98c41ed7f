package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// visits are the ways in which a client comes and goes.
var visits = []struct {
	name  string
	visit func(addr string) error
}{
	{"says something and closes", func(addr string) error {
		return visitRoom(addr, func(c *client) error {
			if err := c.say("hello"); err != nil {
				return err
			}
			if err := c.send(opClose, "\x03\xe8"); err != nil {
				return err
			}
			for {
				opcode, _, err := c.receive()
				if err != nil || opcode == opClose {
					return err
				}
			}
		})
	}},
	{"goes without a word", func(addr string) error {
		return visitRoom(addr, func(*client) error { return nil })
	}},
	{"is reset", func(addr string) error {
		return visitRoom(addr, func(c *client) error { c.reset(); return nil })
	}},
	{"is reset while it is spoken to", func(addr string) error {
		return visitRoom(addr, func(c *client) error {
			for range 3 {
				if err := c.say("hello"); err != nil {
					return err
				}
			}
			c.reset()
			return nil
		})
	}},
	{"goes after half a frame", func(addr string) error {
		return visitRoom(addr, func(c *client) error { return c.part(frame(opText, `{"message":"never said"}`)) })
	}},
	{"is reset after half a frame", func(addr string) error {
		return visitRoom(addr, func(c *client) error {
			err := c.part(frame(opText, `{"message":"never said"}`))
			c.reset()
			return err
		})
	}},
	{"shuts one direction down", func(addr string) error {
		return visitRoom(addr, func(c *client) error {
			c.tcp.CloseWrite()
			_, err := io.Copy(io.Discard, c.br)
			return err
		})
	}},
	{"breaks the protocol", func(addr string) error {
		return visitRoom(addr, func(c *client) error { return c.send(0x7, "") })
	}},
	{"goes after half a handshake", func(addr string) error {
		return visitPort(addr, func(c *client) error { return c.part([]byte(request("/ws/chat/lobby/"))) })
	}},
	{"is reset after a handshake", func(addr string) error {
		return visitPort(addr, func(c *client) error {
			_, err := io.WriteString(c, request("/ws/chat/lobby/"))
			c.reset()
			return err
		})
	}},
	{"breaks the handshake", func(addr string) error {
		return visitPort(addr, func(c *client) error {
			if _, err := io.WriteString(c, strings.Replace(request("/ws/chat/lobby/"), "13", "12", 1)); err != nil {
				return err
			}
			answer, err := http.ReadResponse(c.br, nil)
			if err == nil && answer.StatusCode != http.StatusBadRequest {
				err = fmt.Errorf("status %s, want 400", answer.Status)
			}
			return err
		})
	}},
}

func visitRoom(addr string, f func(*client) error) error {
	return visitPort(addr, func(c *client) error {
		if err := c.handshake("/ws/chat/lobby/"); err != nil {
			return err
		}
		return f(c)
	})
}

func visitPort(addr string, f func(*client) error) error {
	c, err := dial(addr)
	if err != nil {
		return err
	}
	defer c.Close()
	return f(c)
}

// part writes the first half of something.
func (c *client) part(b []byte) error {
	_, err := c.Write(b[:len(b)/2])
	return err
}

// flushers is how many goroutines a server may have started that write for all connections: as many as it has processors.
const flushers = 2

// nothingLeft demands that a server goes back to the goroutines, descriptors and members that it had before, and nearly to
// the memory.
func nothingLeft(t *testing.T, p *process, room string, before state) {
	t.Helper()
	var s state
	await(t, func() bool {
		s = p.state(room)
		return s.Goroutines <= before.Goroutines+flushers && s.Files <= before.Files && s.Members == before.Members && s.Heap < before.Heap+4<<20
	}, func() string { return fmt.Sprintf("left behind: before %+v, after %+v", before, s) })
}

// TestVisitorsLeaveNothingBehind has 20,000 clients come and go in every way.
func TestVisitorsLeaveNothingBehind(t *testing.T) {
	needFiles(t, 1000)
	p := start(t, limits{})
	stays := join(t, p.addr, "lobby", 1)[0] // so that there is somebody to speak to
	go stays.listen()                       // ends with the connection
	before := p.state("lobby")
	n := scaled(20_000, 1000)
	var workers sync.WaitGroup
	const parallel = 8
	for w := range parallel {
		workers.Go(func() {
			for i := w; i < n && !t.Failed(); i += parallel {
				v := visits[i%len(visits)]
				if err := v.visit(p.addr); err != nil {
					t.Errorf("a client that %s: %v", v.name, err)
				}
			}
		})
	}
	workers.Wait()
	nothingLeft(t, p, "lobby", before)
}

// floods are what a client may do without end.
var floods = []struct {
	name  string
	flood func(addr string, n int) error
}{
	{"messages", func(addr string, n int) error {
		return flood(addr, "/ws/chat/cellar/", n, frame(opText, `{"message":"again"}`))
	}},
	{"echoes", func(addr string, n int) error { return flood(addr, "/ws/echo/", n, frame(opBinary, text(0, 1000))) }},
	{"pings", func(addr string, n int) error { return flood(addr, "/ws/echo/", n, frame(opPing, "still there?")) }},
	{"empty fragments", func(addr string, n int) error {
		return flood(addr, "/ws/echo/", n, append([]byte{opText, 0x80, 0, 0, 0, 0}, frame(0, "")...))
	}},
	{"handshakes that do not go on", func(addr string, n int) error {
		for range min(n/100, 100) {
			c, err := dial(addr)
			if err != nil {
				return err
			}
			defer c.Close()
			if err := c.part([]byte(request("/ws/echo/"))); err != nil {
				return err
			}
		}
		return nil
	}},
	{"handshakes that are none", func(addr string, n int) error {
		for i := range n / 100 {
			err := visitPort(addr, func(c *client) error {
				if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: "+strings.Repeat("x", i)+"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"); err != nil {
					return err
				}
				_, err := http.ReadResponse(c.br, nil)
				return err
			})
			if err != nil {
				return err
			}
		}
		return nil
	}},
}

// flood sends the same bytes again and again and reads nothing, up to n times or until nothing goes through any more, and
// is reset.
func flood(addr, path string, n int, b []byte) error {
	c, err := open(addr, path)
	if err != nil {
		return err
	}
	defer c.reset()
	c.SetWriteDeadline(time.Now().Add(2 * time.Second)) // a server may stop reading: then the flood is over
	many := []byte(strings.Repeat(string(b), 100))
	for range n / 100 {
		if _, err := c.Write(many); err != nil {
			return nil
		}
	}
	return nil
}

// TestFloodsLeaveNothingBehind: floods harm nobody else, and are gone with those who sent them.
func TestFloodsLeaveNothingBehind(t *testing.T) {
	p := start(t, limits{HeaderTimeout: 200 * time.Millisecond})
	before := p.state("cellar")
	stays := join(t, p.addr, "lobby", 1)[0]
	n := scaled(20_000, 2000)
	var all sync.WaitGroup
	for _, f := range floods {
		all.Go(func() {
			if err := f.flood(p.addr, n); err != nil {
				t.Errorf("%s: %v", f.name, err)
			}
		})
	}
	for i := range 20 {
		if err := stays.say(text(i, 10)); err != nil {
			t.Fatal(err)
		}
		if err := stays.hear(text(i, 10)); err != nil {
			t.Fatalf("beside the floods: %v", err)
		}
	}
	all.Wait()
	stays.Close() // a connection with a handler that once was late keeps two goroutines
	nothingLeft(t, p, "cellar", before)
}
