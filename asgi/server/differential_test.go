package server_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/zap"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
)

// The bytes of a client are read by gorilla, by what takes whole messages out of gorilla's buffer, and under the eyes of an
// observer. All of that together is held here against a reading of RFC 6455 that is as plain as possible, and where that has
// nothing to object to but what gorilla objects to, against gorilla alone.

// A script is a network connection on which the peer has said all it will say.
type script struct {
	mu     sync.Mutex
	in     []byte
	cuts   [2]int // how much comes at once, in turn
	out    bytes.Buffer
	closed chan struct{}
	once   sync.Once
}

func (s *script) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.in) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.in[:min(len(s.in), s.cuts[0])])
	s.in = s.in[n:]
	s.cuts[0], s.cuts[1] = s.cuts[1], s.cuts[0]
	return n, nil
}

func (s *script) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.Write(p)
}

func (s *script) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}

func (s *script) LocalAddr() net.Addr              { return &net.UnixAddr{} }
func (s *script) RemoteAddr() net.Addr             { return &net.UnixAddr{} }
func (s *script) SetDeadline(time.Time) error      { return nil }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }

// hijacked is the ResponseWriter of a request whose connection is a script.
type hijacked struct {
	http.ResponseWriter
	*script
	early int // how many bytes came with the request
}

func (h hijacked) Header() http.Header         { return http.Header{} }
func (h hijacked) Write(p []byte) (int, error) { return len(p), nil }
func (h hijacked) WriteHeader(int)             {}

func (h hijacked) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	n := min(h.early, len(h.in))
	br := bufio.NewReaderSize(bytes.NewReader(slices.Clone(h.in[:n])), 4096)
	br.Peek(n)
	h.in = h.in[n:]
	return h.script, bufio.NewReadWriter(br, bufio.NewWriter(h.script)), nil
}

// answers are what the server wrote: the payloads of its pongs and the code of its close frame.
func (s *script) answers(t *testing.T) (pongs []string, code int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := bufio.NewReader(&s.out)
	if _, err := http.ReadResponse(b, nil); err != nil {
		t.Fatal("no response: ", err)
	}
	for p := (&peer{br: b}); ; {
		first, payload, err := p.receive()
		switch {
		case err != nil:
			return pongs, 1006
		case first == fin|closing && payload == "":
			return pongs, 1005
		case first == fin|closing:
			return pongs, int(binary.BigEndian.Uint16([]byte(payload)))
		case first == fin|pong:
			pongs = append(pongs, payload)
		}
	}
}

func upgradeRequest(deflate bool) *http.Request {
	r, _ := http.ReadRequest(bufio.NewReader(strings.NewReader(handshake + "\r\n")))
	if deflate {
		r.Header.Set("Sec-WebSocket-Extensions", "permessage-deflate")
	}
	return r
}

// byServer gives a stream to a Server and returns what its application heard.
func byServer(srv *server.Server, heard <-chan asgi.Event, stream []byte, deflate bool, cuts [2]int, early int) (messages []asgi.Frame, end asgi.WebSocketDisconnect, s *script) {
	s = &script{in: stream, cuts: cuts, closed: make(chan struct{})}
	srv.ServeHTTP(hijacked{script: s, early: early}, upgradeRequest(deflate))
	for ended := false; ; {
		select {
		case event := <-heard:
			switch e := event.(type) {
			case asgi.WebSocketReceive:
				messages = append(messages, e.Frame)
			case asgi.WebSocketDisconnect:
				end, ended = e, true
			}
			continue
		case <-s.closed:
			if ended {
				return messages, end, s
			}
		case <-time.After(patience):
			all := make([]byte, 1<<20)
			panic(fmt.Sprintf("%x, deflate %v, cuts %v, early %d: stuck\n%s", stream, deflate, cuts, early, all[:runtime.Stack(all, true)]))
		}
	}
}

// patience is what a reading may take when the machine is busy. It passes only when something is stuck.
const patience = 10 * time.Second

// byGorilla gives a stream to gorilla.
func byGorilla(t *testing.T, stream []byte, deflate bool) (messages []asgi.Frame, code int) {
	s := &script{in: stream, cuts: [2]int{len(stream), len(stream)}, closed: make(chan struct{})}
	up := websocket.Upgrader{EnableCompression: true, CheckOrigin: func(*http.Request) bool { return true }}
	ws, err := up.Upgrade(hijacked{script: s}, upgradeRequest(deflate), nil)
	if err != nil {
		t.Fatal(err)
	}
	ws.SetReadLimit(fuzzLimit)
	if deflate {
		ws.SetReadLimit(fuzzLimit + fuzzLimit/64 + 64)
	}
	for {
		kind, r, err := ws.NextReader()
		var data []byte
		if err == nil {
			data, err = io.ReadAll(io.LimitReader(r, fuzzLimit+1))
		}
		switch {
		case err == websocket.ErrReadLimit || len(data) > fuzzLimit:
			return messages, 1009
		case err != nil:
			_, code = s.answers(t)
			return messages, code
		}
		messages = append(messages, asgi.Frame{Binary: kind == websocket.BinaryMessage, Data: data})
	}
}

func equalFrames(a, b []asgi.Frame) bool {
	return slices.EqualFunc(a, b, func(a, b asgi.Frame) bool { return a.Binary == b.Binary && bytes.Equal(a.Data, b.Data) })
}

// isSubsequence reports whether part is what is left of all when some are taken out.
func isSubsequence(part, all []string) bool {
	for _, s := range part {
		i := slices.Index(all, s)
		if i < 0 {
			return false
		}
		all = all[i+1:]
	}
	return true
}

// frames makes a stream out of a fuzzer's bytes in which most frames are nearly right.
func frames(program []byte) []byte {
	var stream []byte
	next := func() byte {
		if len(program) == 0 {
			return 0
		}
		b := program[0]
		program = program[1:]
		return b
	}
	for len(program) > 0 {
		first, style := next(), next()
		size := int(style >> 3)
		if size == 31 {
			size = 20 * int(next())
		}
		payload := make([]byte, size)
		for i := range payload {
			payload[i] = next()
		}
		if first&rsv1 != 0 && style&4 == 0 {
			payload = []byte(deflate(string(payload)))
		}
		f := frame(first, string(payload))
		switch {
		case style&7 == 7:
			f = frameOf(first, uint64(next())<<(next()&63), string(payload))
		case style&7 == 6:
			f[1] &^= 0x80
		}
		stream = append(stream, f...)
	}
	return stream
}

func FuzzFramesAgainstGorilla(f *testing.F) {
	for _, tc := range hostile {
		if len(tc.bytes) < 5000 {
			f.Add(tc.bytes, false, tc.deflate, uint8(255), uint8(3), uint8(0))
			f.Add(tc.bytes, false, tc.deflate, uint8(1), uint8(1), uint8(5))
		}
	}
	final := append([]byte{}, deflate("x")...)
	final[0] |= 1 // the last block: what stands behind it is no message
	for _, first := range []byte{fin | rsv1 | text, rsv1 | text} {
		smuggled := frame(fin|text, "smuggled")
		b := frame(first, string(append(final, make([]byte, len(smuggled))...)))
		copy(b[len(b)-len(smuggled):], smuggled)
		b = append(b, frame(fin|text, "next")...)
		f.Add(b, false, true, uint8(5+len(final)), uint8(255), uint8(0)) // so that a read ends where the last block does
		f.Add(b, false, true, uint8(5+len(final)), uint8(255), uint8(6+len(final)))
	}
	f.Add([]byte{fin | text, 8 << 3, 'p', 'r', 'o', 'g', 'r', 'a', 'm', '!', fin | ping, 1 << 3, 'x', fin | rsv1 | text, 4 << 3, 'a', 'b', 'c', 'd'}, true, true, uint8(7), uint8(30), uint8(9))
	heard := make(chan asgi.Event, 1)
	app := socket(func(ctx context.Context, _ *asgi.Scope, receive asgi.Receive, _ asgi.Send) error {
		for {
			event, err := receive(ctx)
			if err != nil {
				return err
			}
			heard <- event
			if _, over := event.(asgi.WebSocketDisconnect); over {
				return nil
			}
		}
	})
	srv := server.New(app, &server.Options{MaxMessage: fuzzLimit, Compression: true, PingInterval: -1, Logger: zap.NewNop(), ShutdownWindow: -1})
	f.Cleanup(func() { srv.Shutdown(context.Background()) })
	f.Fuzz(func(t *testing.T, b []byte, program, deflate bool, cut, cut2, early uint8) {
		if program {
			b = frames(b)
		}
		if len(b) > 1<<14 {
			return
		}
		want := read(b, deflate)
		if want.unclear || want.noise > 100 { // or it is slowed down
			return
		}
		messages, end, s := byServer(srv, heard, b, deflate, [2]int{int(cut) + 1, int(cut2) + 1}, int(early))
		pongs, code := s.answers(t)
		if !equalFrames(messages, want.messages) {
			t.Errorf("%x: the application got %v, want %v", b, messages, want.messages)
		}
		if code != want.code && !slices.Contains(want.or, code) {
			t.Errorf("%x: answered with %d, want %d or %d", b, code, want.code, want.or)
		}
		if end.Code != code {
			t.Errorf("%x: the application heard %d, the client %d", b, end.Code, code)
		}
		if !isSubsequence(pongs, want.pings) {
			t.Errorf("%x: pongs %q for pings %q", b, pongs, want.pings)
		}
		plain, code := byGorilla(t, b, deflate)
		switch {
		case want.stricter || len(want.or) > 0:
			if len(plain) < len(want.messages) || !equalFrames(plain[:len(want.messages)], want.messages) {
				t.Errorf("%x: gorilla got %v, want %v first", b, plain, want.messages)
			}
		case code != want.code || !equalFrames(plain, want.messages):
			t.Errorf("%x: gorilla got %v and answered with %d, want %v and %d", b, plain, code, want.messages, want.code)
		}
	})
}
