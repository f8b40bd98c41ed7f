package server_test

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// The first byte of a frame.
const (
	fin     = 0x80
	rsv1    = 0x40
	rsv2    = 0x20
	rsv3    = 0x10
	cont    = 0x0
	text    = 0x1
	bin     = 0x2
	closing = 0x8
	ping    = 0x9
	pong    = 0xA
)

// handshake is a good one, for the host "example.org".
const handshake = "GET /ws/room/?q=1 HTTP/1.1\r\nHost: example.org\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

// A peer is a client that does what it is told, right or wrong.
type peer struct {
	net.Conn
	br   *bufio.Reader
	resp *http.Response
}

// newPeer makes a peer of a connection and guards it against hanging for ever.
func newPeer(c net.Conn) *peer {
	patience := 10 * time.Minute // inside a bubble
	if _, ok := c.(*net.TCPConn); ok {
		patience = 20 * time.Second // which passes only when a test is stuck
	}
	c.SetDeadline(time.Now().Add(patience))
	return &peer{Conn: c, br: bufio.NewReader(c)}
}

// request sends a request and reads the header of the response.
func (p *peer) request(s string) (*http.Response, error) {
	if _, err := io.WriteString(p, s); err != nil {
		return nil, err
	}
	resp, err := http.ReadResponse(p.br, nil)
	p.resp = resp
	return resp, err
}

// open completes a handshake, with more header lines if any are given.
func (p *peer) open(lines ...string) error {
	resp, err := p.request(handshake + strings.Join(append(lines, "\r\n"), "\r\n"))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("status %s", resp.Status)
	}
	return nil
}

// frame encodes a masked frame.
func frame(first byte, payload string) []byte {
	return frameOf(first, uint64(len(payload)), payload)
}

// frameOf encodes a masked frame that says it has another length than it has.
func frameOf(first byte, length uint64, payload string) []byte {
	b := []byte{first}
	switch {
	case length <= 125:
		b = append(b, 0x80|byte(length))
	case length <= 0xFFFF:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(length))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), length)
	}
	mask := [4]byte{0x5A, 0xC3, 0x17, 0x8E}
	b = append(b, mask[:]...)
	for i := range len(payload) {
		b = append(b, payload[i]^mask[i&3])
	}
	return b
}

// send writes one frame.
func (p *peer) send(first byte, payload string) error {
	_, err := p.Write(frame(first, payload))
	return err
}

// receive reads one frame.
func (p *peer) receive() (first byte, payload string, err error) {
	var h [10]byte
	if _, err := io.ReadFull(p.br, h[:2]); err != nil {
		return 0, "", err
	}
	if h[1]&0x80 != 0 {
		return 0, "", errors.New("the server masked a frame")
	}
	size := uint64(h[1])
	switch size {
	case 126:
		_, err = io.ReadFull(p.br, h[2:4])
		size = uint64(binary.BigEndian.Uint16(h[2:4]))
	case 127:
		_, err = io.ReadFull(p.br, h[2:10])
		size = binary.BigEndian.Uint64(h[2:10])
	}
	if err != nil {
		return 0, "", err
	}
	b := make([]byte, size)
	_, err = io.ReadFull(p.br, b)
	return h[0], string(b), err
}

// expect reads one frame and compares it.
func (p *peer) expect(first byte, payload string) error {
	f, got, err := p.receive()
	if err != nil {
		return err
	}
	if f != first || got != payload {
		return fmt.Errorf("got frame %#x %.60q, want %#x %.60q", f, got, first, payload)
	}
	return nil
}

// end reads up to the close frame and returns its code and reason: 1005 if it has none, 1006 if the connection ends without one.
func (p *peer) end() (code int, reason string) {
	for {
		f, payload, err := p.receive()
		switch {
		case err != nil:
			return 1006, err.Error()
		case f == fin|closing && len(payload) < 2:
			return 1005, ""
		case f == fin|closing:
			return int(binary.BigEndian.Uint16([]byte(payload))), payload[2:]
		}
	}
}

// expectEnd reads up to the close frame and compares its code.
func (p *peer) expectEnd(want int) error {
	if code, reason := p.end(); code != want {
		return fmt.Errorf("the connection ended with %d %q, want %d", code, reason, want)
	}
	return nil
}

// closePayload is that of a close frame.
func closePayload(code int, reason string) string {
	return string(binary.BigEndian.AppendUint16(nil, uint16(code))) + reason
}
