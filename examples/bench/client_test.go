package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// Opcodes of RFC 6455.
const (
	opText   = 0x1
	opBinary = 0x2
	opClose  = 0x8
	opPing   = 0x9
	opPong   = 0xA
)

// patience passes only when something hangs.
const patience = 60 * time.Second

// A client is a WebSocket client of a few lines. It has no goroutine.
type client struct {
	net.Conn
	tcp *net.TCPConn // the same, or what is below TLS
	br  *bufio.Reader
}

// dial connects without a handshake.
func dial(addr string) (*client, error) {
	c, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return nil, err
	}
	c.SetDeadline(time.Now().Add(patience))
	return &client{c, c.(*net.TCPConn), bufio.NewReaderSize(c, 512)}, nil
}

// open connects to a path.
func open(addr, path string) (*client, error) {
	c, err := dial(addr)
	if err != nil {
		return nil, err
	}
	if err := c.handshake(path); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (c *client) handshake(path string) error {
	if _, err := io.WriteString(c, request(path)); err != nil {
		return err
	}
	status, err := c.br.ReadString('\n')
	if err != nil {
		return err
	}
	if !strings.HasPrefix(status, "HTTP/1.1 101 ") {
		return fmt.Errorf("handshake: %s", status)
	}
	for {
		line, err := c.br.ReadSlice('\n')
		if err != nil || len(line) == len("\r\n") {
			return err
		}
	}
}

func request(path string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
}

// frame encodes a final frame, masked with zeros, which change nothing.
func frame(opcode byte, payload string) []byte {
	b := []byte{0x80 | opcode}
	switch n := len(payload); {
	case n <= 125:
		b = append(b, 0x80|byte(n))
	case n <= 0xFFFF:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	return append(append(b, 0, 0, 0, 0), payload...)
}

func (c *client) send(opcode byte, payload string) error {
	_, err := c.Write(frame(opcode, payload))
	return err
}

// say sends a text to the room.
func (c *client) say(text string) error { return c.send(opText, `{"message":"`+text+`"}`) }

// receive reads the next message, and answers pings.
func (c *client) receive() (opcode byte, payload []byte, err error) {
	for {
		if opcode, payload, err = c.receiveFrame(); err != nil || opcode != opPing {
			return opcode, payload, err
		}
		if err := c.send(opPong, string(payload)); err != nil {
			return 0, nil, err
		}
	}
}

func (c *client) receiveFrame() (opcode byte, payload []byte, err error) {
	var head [10]byte
	if _, err := io.ReadFull(c.br, head[:2]); err != nil {
		return 0, nil, err
	}
	size := uint64(head[1])
	switch size {
	case 126:
		_, err = io.ReadFull(c.br, head[2:4])
		size = uint64(binary.BigEndian.Uint16(head[2:4]))
	case 127:
		_, err = io.ReadFull(c.br, head[2:])
		size = binary.BigEndian.Uint64(head[2:])
	}
	if err != nil {
		return 0, nil, err
	}
	payload = make([]byte, size)
	_, err = io.ReadFull(c.br, payload)
	return head[0] & 0x0F, payload, err
}

// hear demands a text of the room.
func (c *client) hear(text string) error {
	_, got, err := c.receive()
	if err != nil {
		return fmt.Errorf("while waiting for %.20q: %w", text, err)
	}
	if want := `{"message":"` + text + `"}`; string(got) != want {
		return fmt.Errorf("heard %.60q, want %.60q", got, want)
	}
	return nil
}

// listen reads until the end.
func (c *client) listen() {
	for {
		if _, _, err := c.receive(); err != nil {
			return
		}
	}
}

// reset ends the connection as a crashed client does: by a TCP reset.
func (c *client) reset() {
	c.tcp.SetLinger(0)
	c.tcp.Close()
}

// join opens n members of a room, which leave with the test.
func join(t testing.TB, addr, room string, n int) []*client {
	t.Helper()
	list := make([]*client, n)
	for i := range list {
		c, err := open(addr, "/ws/chat/"+room+"/")
		if err != nil {
			t.Fatalf("member %d: %v", i, err)
		}
		t.Cleanup(func() { c.Close() })
		list[i] = c
	}
	return list
}

// hearAll demands a text of each member.
func hearAll(t testing.TB, list []*client, text string) {
	t.Helper()
	for i, c := range list {
		if err := c.hear(text); err != nil {
			t.Fatalf("member %d: %v", i, err)
		}
	}
}

// await waits until a condition is true.
func await(t testing.TB, done func() bool, otherwise func() string) {
	t.Helper()
	for begun := time.Now(); !done(); runtime.Gosched() {
		if time.Since(begun) > patience {
			t.Fatal(otherwise())
		}
	}
}

// missing skips a test for want of something that the machine lacks. Where everything must run, it fails instead.
func missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("TIDEWAY_REQUIRE") == "all" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// scaled is a number for a full run, or a smaller one for -short and for the race detector.
func scaled(full, less int) int {
	if testing.Short() || raceEnabled {
		return less
	}
	return full
}

// text is a text of a size that begins with a number.
func text(n, size int) string {
	head := fmt.Sprintf("%d ", n)
	return head + strings.Repeat("x", max(size-len(head), 0))
}
