package server_test

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
)

// How a peer leaves.
const (
	closes  = "close"      // both directions, as a program that ends does
	resets  = "reset"      // without a farewell, as a machine that forgot the connection does
	halfway = "half-close" // it sends no more, and reads on
	nothing = -1           // the application hears nothing: it was never started
	started = handshake + "\r\n"
)

// stages are the moments at which a peer leaves: what it sends before, and the code that the application hears. In each of them the
// peer leaves in all three ways.
var stages = []struct {
	name   string
	before string // the handshake
	then   []byte // after the 101
	code   int
}{
	{"before a byte", "", nil, nothing},
	{"in the request line", "GET /ws/ro", nil, nothing},
	{"in the header", handshake, nil, nothing},
	{"in the body of a request", post + "Content-Length: 1000\r\n\r\nabc", nil, nothing},
	{"in a chunk", post + "Transfer-Encoding: chunked\r\n\r\n3e8\r\nabc", nil, nothing},
	{"between two chunks", post + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", nil, nothing},
	{"while the application thinks", strings.Replace(started, "q=1", "slow", 1), nil, nothing},
	{"after the handshake", started, nil, 1006},
	{"in the header of a frame", started, []byte{fin | text}, 1006},
	{"in a long length", started, []byte{fin | bin, 0x80 | 127, 0, 0}, 1006},
	{"in a masking key", started, []byte{fin | bin, 0x80 | 5, 1, 2}, 1006},
	{"in a payload: the length was a lie", started, frameOf(fin|bin, 1<<19, "only this"), 1006},
	{"in a small payload: the length was a lie", started, frameOf(fin|text, 100, "only this"), 1006},
	{"between two fragments", started, frame(text, "half"), 1006},
	{"in a compressed message", handshake + "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n", frameOf(fin|rsv1|bin, 100, deflate(strings.Repeat("tideway", 99))[:9]), 1006},
	{"in a ping", started, frameOf(fin|ping, 100, "x"), 1006},
	{"in a close frame", started, frameOf(fin|closing, 100, "\x03\xe8"), 1006},
	{"after its close frame", started, frame(fin|closing, closePayload(4000, "")), 4000},
	{"with unread answers", started, bytes.Repeat(frame(fin|bin, strings.Repeat("x", 60_000)), 100), 1006},
}

// TestPeersThatLeave lets peers leave at each stage and in each way. The application hears of it, nothing is logged above Info, and the
// server is afterwards what it was.
func TestPeersThatLeave(t *testing.T) {
	ends, gate := make(chan asgi.WebSocketDisconnect, 1), make(chan struct{})
	plain := asgi.AppFunc(witness)
	sockets := byQuery("q=1", echoing(ends), byQuery("slow", gated(gate), plain))
	s := variant{}.serveTCP(t, sockets, server.Options{Compression: true})
	fresh := *s // for which nobody waits
	fresh.dial = s.dial
	unharmed := aftermath(t, &fresh)
	<-ends
	for _, tc := range stages {
		for _, how := range []string{closes, resets, halfway} {
			t.Run(tc.name+"/"+how, func(t *testing.T) {
				p := s.peer()
				defer p.Close()
				io.WriteString(p, tc.before)
				if tc.then != nil || tc.code == 1006 {
					if resp, err := p.response(); err != nil || resp.StatusCode != 101 {
						t.Fatal(resp, err)
					}
					if len(tc.then) < 1<<16 {
						p.Write(tc.then)
					} else {
						go p.Write(tc.then) // it stops when the answers are not read
						p.br.Peek(1)
					}
				}
				p.leave(how)
				if tc.code == nothing {
					return
				}
				if e := <-ends; e.Code != tc.code && !(how == resets && e.Code == 1006) { // a reset may overtake what was sent
					t.Errorf("the application heard %+v, want %d", e, tc.code)
				}
			})
		}
	}
	close(gate)
	unharmed()
	<-ends
	if lines := s.logs.FilterMessageSnippet("failed").All(); len(lines) > 0 {
		t.Errorf("lines about failures in the log: %v", lines)
	}
}

// leave ends the connection.
func (p *peer) leave(how string) {
	tcp := p.Conn.(*net.TCPConn)
	switch how {
	case resets:
		tcp.SetLinger(0)
		tcp.Close()
	case halfway:
		tcp.CloseWrite()
		io.Copy(io.Discard, p.br) // the server closes its half in all cases
	default:
		tcp.Close()
	}
}

// A peer that closes politely and then stays is not waited for: the server ends the connection.
func TestPeerThatStaysAfterItsClose(t *testing.T) {
	s := variant{}.serveTCP(t, asgi.AppFunc(witness), server.Options{})
	unharmed := aftermath(t, s)
	var peers []*peer
	for range 10 {
		p := s.open()
		p.send(fin|closing, closePayload(1000, ""))
		if err := p.expectEnd(1000); err != nil {
			t.Error(err)
		}
		peers = append(peers, p)
	}
	for _, p := range peers {
		if n, err := p.br.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("after the close: %d bytes, %v", n, err)
		}
		p.Close()
	}
	unharmed()
}

// noises are frames that bring no message.
var noises = map[string][]byte{"empty fragments": frame(cont, ""), "pings": frame(fin|ping, "x"), "pongs": frame(fin|pong, "x")}

// Frames that bring no message cost no memory, and are read at no more than some hundred a second.
func TestNoise(t *testing.T) {
	for name, noise := range noises {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := variant{}.mountPipes(t, asgi.AppFunc(witness), server.Options{MaxMessage: 1000, PingInterval: -1})
				p := s.open()
				go func() { // ends with the connection
					p.Write(frame(text, ""))
					p.Write(bytes.Repeat(noise, 2_000))
					p.send(fin|cont, "the end")
				}()
				start := time.Now()
				for {
					first, payload, err := p.receive()
					if err != nil {
						t.Fatal(err)
					}
					if first == fin|text {
						if payload != "the end" {
							t.Errorf("got %q", payload)
						}
						break
					}
				}
				if took := time.Since(start); took < 10*time.Second || took > 20*time.Second {
					t.Errorf("2,000 frames were read in %v, want 10 s to 20 s", took)
				}
				p.Close()
			})
		})
	}
}

// Such frames without end are an end after half a minute, so that what a peer left in the buffers when it went holds nothing
// for longer. Ten a second may come for ever.
func TestNoiseWithoutEnd(t *testing.T) {
	for name, noise := range noises {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := variant{}.mountPipes(t, asgi.AppFunc(witness), server.Options{PingInterval: -1})
				p := s.open()
				go func() { // ends with the connection
					p.Write(frame(text, ""))
					p.Write(bytes.Repeat(noise, 200_000))
				}()
				start := time.Now()
				if code, reason := p.end(); code != 1008 || !strings.Contains(reason, "frames that bring no message") {
					t.Errorf("ended with %d %q", code, reason)
				}
				if took := time.Since(start); took < 25*time.Second || took > 40*time.Second {
					t.Errorf("the end came after %v, want half a minute", took)
				}
				synctest.Wait()
				if err := s.oneLine("frames that bring no message"); err != nil {
					t.Error(err)
				}
				p.Close()
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		s := variant{}.mountPipes(t, asgi.AppFunc(witness), server.Options{PingInterval: -1})
		p := s.open()
		p.SetDeadline(time.Time{})
		for range 10 * 60 * 10 {
			p.Write(noises["pongs"])
			<-time.After(100 * time.Millisecond)
		}
		p.send(fin|text, "still here")
		if err := p.expect(fin|text, "still here"); err != nil {
			t.Error("after ten minutes of ten pongs a second: ", err)
		}
		p.Close()
	})
}

// Who speaks TLS to a plain port, or no TLS to a port with TLS, is refused, and the next one served.
func TestWrongProtocol(t *testing.T) {
	hello := clientHello(t)
	plain := variant{}.serveTCP(t, asgi.AppFunc(witness), server.Options{})
	ln, dial := listenTLS(t)
	secure := variant{}.serveOn(t, ln, dial, asgi.AppFunc(witness), server.Options{})
	raw := func() (net.Conn, error) { return net.Dial("tcp", ln.Addr().String()) }
	for _, tc := range []struct {
		name string
		dial func() (net.Conn, error)
		sent string
		want string // an answer begins with it
	}{
		{"TLS to a plain port", plain.dial, hello, "HTTP/1.1 400 "},
		{"random bytes to a plain port", plain.dial, "\x00\xff\x13\x37\r\n\r\n", "HTTP/1.1 400 "},
		{"HTTP/2 to a plain port", plain.dial, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", "HTTP/1.1 400 "},
		{"HTTP to a port with TLS", raw, get + "\r\n", "HTTP/1.0 400 "},
		{"a handshake to a port with TLS", raw, handshake + "\r\n", "HTTP/1.0 400 "},
		{"random bytes to a port with TLS", raw, "\x00\xff\x13\x37\r\n\r\n", ""},
		{"TLS cut short", raw, hello[:20], ""},
		{"TLS that goes mad", raw, hello + "\x17\x03\x03\x00\x10" + strings.Repeat("x", 16), "\x16\x03\x03"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			unharmed := aftermath(t, plain, secure)
			c, err := tc.dial()
			if err != nil {
				t.Fatal(err)
			}
			p := newPeer(c)
			io.WriteString(p, tc.sent)
			p.Conn.(*net.TCPConn).CloseWrite()
			got, _ := io.ReadAll(p.br)
			if !strings.HasPrefix(string(got), tc.want) || tc.want == "" && len(got) > 0 {
				t.Errorf("answered %.40q, want %q", got, tc.want)
			}
			p.Close()
			unharmed()
		})
	}
}

// listenTLS listens with a certificate that its dialler accepts.
func listenTLS(t testing.TB) (net.Listener, func() (net.Conn, error)) {
	hs := httptest.NewUnstartedServer(nil)
	hs.EnableHTTP2 = true
	hs.StartTLS()
	config := hs.TLS
	hs.Close()
	ln, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	return ln, func() (net.Conn, error) {
		return tls.Dial("tcp", ln.Addr().String(), &tls.Config{InsecureSkipVerify: true})
	}
}

// clientHello is the first record that a TLS client sends.
func clientHello(t *testing.T) string {
	client, srv := net.Pipe()
	defer srv.Close()
	go tls.Client(client, &tls.Config{ServerName: "example.org"}).Handshake() // ends when srv is closed
	record := make([]byte, 1<<14)
	n, err := srv.Read(record)
	if err != nil {
		t.Fatal(err)
	}
	return string(record[:n])
}
