package server_test

import (
	"bytes"
	"compress/flate"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
)

// hostile is what a peer may do wrong after a good handshake, and the close code that it gets: 1006 is a cut without a word,
// 0 that the connection goes on.
var hostile = []struct {
	name    string
	deflate bool
	bytes   []byte
	code    int
}{
	{name: "case 195: unmasked text", bytes: []byte{fin | text, 2, 'h', 'i'}, code: 1002},
	{name: "unmasked close", bytes: []byte{fin | closing, 0}, code: 1002},
	{name: "RSV1 without compression", bytes: frame(fin|rsv1|text, "x"), code: 1002},
	{name: "RSV2", bytes: frame(fin|rsv2|text, "x"), code: 1002},
	{name: "RSV3", bytes: frame(fin|rsv3|bin, "x"), code: 1002},
	{name: "RSV1 on a ping with compression", deflate: true, bytes: frame(fin|rsv1|ping, "x"), code: 1002},
	{name: "RSV1 on a pong with compression", deflate: true, bytes: frame(fin|rsv1|pong, ""), code: 1002},
	{name: "RSV1 on a close with compression", deflate: true, bytes: frame(fin|rsv1|closing, ""), code: 1002},
	{name: "RSV1 on a continuation", deflate: true, bytes: join(frame(text, "x"), frame(fin|rsv1|cont, "y")), code: 1002},
	{name: "RSV1 on a continuation of a compressed message", deflate: true, bytes: join(frame(rsv1|text, deflate("xy")[:2]), frame(fin|rsv1|cont, "y")), code: 1002},
	{name: "all reserved bits", bytes: frame(fin|rsv1|rsv2|rsv3|text, "x"), code: 1002},
	{name: "opcode 3", bytes: frame(fin|0x3, "x"), code: 1002},
	{name: "opcode 4", bytes: frame(fin|0x4, "x"), code: 1002},
	{name: "opcode 5", bytes: frame(fin|0x5, "x"), code: 1002},
	{name: "opcode 6", bytes: frame(fin|0x6, "x"), code: 1002},
	{name: "opcode 7", bytes: frame(fin|0x7, "x"), code: 1002},
	{name: "opcode 7 in a fragment", bytes: join(frame(text, "x"), frame(fin|0x7, "y")), code: 1002},
	{name: "opcode 11", bytes: frame(fin|0xB, ""), code: 1002},
	{name: "opcode 12", bytes: frame(fin|0xC, ""), code: 1002},
	{name: "opcode 13", bytes: frame(fin|0xD, ""), code: 1002},
	{name: "opcode 14", bytes: frame(fin|0xE, ""), code: 1002},
	{name: "opcode 15", bytes: frame(fin|0xF, ""), code: 1002},
	{name: "unmasked ping", bytes: []byte{fin | ping, 0}, code: 1002},
	{name: "unmasked continuation", bytes: append(frame(text, "x"), fin|cont, 0), code: 1002},
	{name: "a key of zeros", bytes: []byte{fin | text, 0x82, 0, 0, 0, 0, 'h', 'i'}, code: 0},
	{name: "fragmented pong", bytes: frame(pong, "x"), code: 1002},
	{name: "fragmented ping", bytes: frame(ping, "x"), code: 1002},
	{name: "fragmented close", bytes: frame(closing, closePayload(1000, "")), code: 1002},
	{name: "ping of 126 bytes", bytes: frame(fin|ping, strings.Repeat("x", 126)), code: 1002},
	{name: "pong of 126 bytes", bytes: frame(fin|pong, strings.Repeat("x", 126)), code: 1002},
	{name: "close of 126 bytes", bytes: frame(fin|closing, closePayload(1000, strings.Repeat("x", 124))), code: 1002},
	{name: "ping of 2^40 bytes", bytes: frameOf(fin|ping, 1<<40, "x"), code: 1002},
	{name: "continuation without a beginning", bytes: frame(fin|cont, "x"), code: 1002},
	{name: "continuation after a message", bytes: join(frame(text, "x"), frame(fin|cont, ""), frame(cont, "y")), code: 1002},
	{name: "binary inside a text", bytes: join(frame(text, "x"), frame(bin, "y")), code: 1002},
	{name: "text inside a message", bytes: join(frame(text, "x"), frame(fin|text, "y")), code: 1002},
	{name: "case 195: bad UTF-8", bytes: frame(fin|text, "a\xffb"), code: 1007},
	{name: "bad UTF-8 at the very end", bytes: frame(fin|text, "a\xe2\x82"), code: 1007},
	{name: "bad UTF-8 over fragments", bytes: join(frame(text, "a\xe2\x82"), frame(fin|cont, "b")), code: 1007},
	{name: "surrogates", bytes: frame(fin|text, "\xed\xa0\x80"), code: 1007},
	{name: "half a pair of surrogates, over fragments", bytes: join(frame(text, "\xed"), frame(fin|cont, "\xa0\x80")), code: 1007},
	{name: "overlong slash", bytes: frame(fin|text, "\xc0\xaf"), code: 1007},
	{name: "overlong NUL", bytes: frame(fin|text, "\xe0\x80\x80"), code: 1007},
	{name: "overlong in four bytes", bytes: frame(fin|text, "\xf0\x80\x80\xaf"), code: 1007},
	{name: "beyond U+10FFFF", bytes: frame(fin|text, "\xf4\x90\x80\x80"), code: 1007},
	{name: "five bytes", bytes: frame(fin|text, "\xf8\x88\x80\x80\x80"), code: 1007},
	{name: "bytes of UTF-16", bytes: frame(fin|text, "\xff\xfeh\x00i\x00"), code: 1007},
	{name: "lone continuation byte", bytes: frame(fin|text, "\x80"), code: 1007},
	{name: "NUL is text", bytes: frame(fin|text, "a\x00b"), code: 0},
	{name: "good UTF-8 over fragments", bytes: join(frame(text, "\xe2"), frame(cont, "\x82"), frame(cont, ""), frame(fin|cont, "\xac")), code: 0},
	{name: "bad UTF-8, early: the message goes on", bytes: frameOf(text, 1000, "\xff"), code: 1007},
	{name: "bad UTF-8, early: in an unfinished frame after a fragment", bytes: join(frame(text, "\xf0\x9f"), frameOf(fin|cont, 1000, "x")), code: 1007},
	{name: "bad UTF-8 in a compressed message", deflate: true, bytes: frame(fin|rsv1|text, deflate("\xff")), code: 1007},
	{name: "bad UTF-8 in a close reason", bytes: frame(fin|closing, closePayload(1000, "\xff")), code: 1007},
	{name: "2 bytes with a length in two", bytes: []byte{fin | text, 0x80 | 126, 0, 2, 0, 0, 0, 0, 'h', 'i'}, code: 1002},
	{name: "2 bytes with a length in eight", bytes: []byte{fin | text, 0x80 | 127, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 'h', 'i'}, code: 1002},
	{name: "half a close code", bytes: frame(fin|closing, "\x03"), code: 1002},
	{name: "close code 0", bytes: frame(fin|closing, closePayload(0, "")), code: 1002},
	{name: "close code 999", bytes: frame(fin|closing, closePayload(999, "")), code: 1002},
	{name: "close code 1004", bytes: frame(fin|closing, closePayload(1004, "")), code: 1002},
	{name: "close code 1005", bytes: frame(fin|closing, closePayload(1005, "")), code: 1002},
	{name: "close code 1006", bytes: frame(fin|closing, closePayload(1006, "")), code: 1002},
	{name: "close code 1015", bytes: frame(fin|closing, closePayload(1015, "")), code: 1002},
	{name: "close code 1016", bytes: frame(fin|closing, closePayload(1016, "")), code: 1002},
	{name: "close code 1100", bytes: frame(fin|closing, closePayload(1100, "")), code: 1002},
	{name: "close code 2000", bytes: frame(fin|closing, closePayload(2000, "")), code: 1002},
	{name: "close code 2999", bytes: frame(fin|closing, closePayload(2999, "")), code: 1002},
	{name: "close code 5000", bytes: frame(fin|closing, closePayload(5000, "")), code: 1002},
	{name: "close code 65535", bytes: frame(fin|closing, closePayload(65535, "")), code: 1002},
	{name: "frames after the close", bytes: join(frame(fin|closing, closePayload(1000, "")), frame(fin|text, "x")), code: 1000},
	{name: "a second close", bytes: join(frame(fin|closing, closePayload(1000, "")), frame(fin|closing, closePayload(4000, ""))), code: 1000},
	{name: "garbage after the close", bytes: append(frame(fin|closing, closePayload(1000, "")), 0xFF, 0xFF, 0xFF), code: 1000},
	{name: "the largest message", bytes: frame(fin|bin, strings.Repeat("x", 1<<20)), code: 0},
	{name: "a byte too many", bytes: frame(fin|bin, strings.Repeat("x", 1<<20+1)), code: 1009},
	{name: "a byte too many, in fragments", bytes: join(frame(bin, strings.Repeat("x", 1<<20)), frame(fin|cont, "x")), code: 1009},
	{name: "a byte too many, compressed", deflate: true, bytes: frame(fin|rsv1|bin, deflate(strings.Repeat("x", 1<<20+1))), code: 1009},
	{name: "2^63 bytes", bytes: frameOf(fin|text, 1<<63, "x"), code: 1009},
	{name: "2^64-1 bytes", bytes: frameOf(fin|bin, 1<<64-1, "x"), code: 1009},
	{name: "2^63-1 bytes", bytes: frameOf(fin|bin, 1<<63-1, "x"), code: 1009},
	{name: "2^63-1 bytes after a fragment", bytes: join(frame(bin, "x"), frameOf(fin|cont, 1<<63-1, "x")), code: 1009},
	{name: "endless fragments", bytes: join(frame(bin, ""), bytes.Repeat(frame(cont, strings.Repeat("x", 1000)), 1100)), code: 1009},
	{name: "compression bomb", deflate: true, bytes: frame(fin|rsv1|bin, bomb), code: 1009},
	{name: "compression bomb in fragments", deflate: true, bytes: join(frame(rsv1|text, bomb[:1000]), frame(fin|cont, bomb[1000:])), code: 1009},
	{name: "an empty message, compressed", deflate: true, bytes: frame(fin|rsv1|text, "\x00"), code: 0},
	{name: "no byte, compressed", deflate: true, bytes: frame(fin|rsv1|text, ""), code: 1007},
	{name: "not deflate", deflate: true, bytes: frame(fin|rsv1|bin, "\xff\xff\xff\xff"), code: 1007},
	{name: "cut deflate", deflate: true, bytes: frame(fin|rsv1|bin, deflate(strings.Repeat("tideway", 9))[:5]), code: 1007},
	{name: "HTTP", bytes: []byte("GET / HTTP/1.1\r\nHost: example.org\r\n\r\n"), code: 1002},
}

// bomb inflates to a gigabyte.
var bomb = func() string {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestCompression)
	zeros := make([]byte, 1<<20)
	for range 32 { // one block of 32 MiB, repeated: deflate's blocks may stand one after the other
		w.Write(zeros)
	}
	w.Flush()
	return strings.Repeat(b.String(), 32)
}()

func join(frames ...[]byte) []byte { return bytes.Join(frames, nil) }

// TestHostilePeers demands of each attack the right close code and one line, that the next client is served, and that the
// attacker leaves no goroutine and no descriptor.
func TestHostilePeers(t *testing.T) {
	if len(bomb) > 1<<20 {
		t.Fatalf("the bomb has %d bytes", len(bomb))
	}
	ends := make(chan asgi.WebSocketDisconnect, 2)
	s := variant{}.mount(t, echoing(ends), server.Options{Compression: true})
	fresh := *s
	unharmed := aftermath(t, &fresh)
	<-ends
	for _, tc := range hostile {
		t.Run(tc.name, func(t *testing.T) {
			before := len(s.warnings())
			var lines []string
			if tc.deflate {
				lines = append(lines, "Sec-WebSocket-Extensions: permessage-deflate")
			}
			p := s.open(lines...)
			go p.Write(tc.bytes)
			want := 1
			switch {
			case tc.code == 0:
				if _, _, err := p.receive(); err != nil {
					t.Error(err)
				}
				p.Close()
				want = 0
			case tc.code == 1000:
				want = 0
				fallthrough
			default:
				if err := p.expectEnd(tc.code); err != nil {
					t.Error(err)
				}
				p.Close()
			}
			other := s.open()
			other.send(fin|text, "unharmed")
			if err := other.expect(fin|text, "unharmed"); err != nil {
				t.Error("another client: ", err)
			}
			other.Close()
			<-ends
			<-ends
			if got := s.warnings()[before:]; len(got) != want {
				t.Errorf("%d lines in the log, want %d: %q", len(got), want, got)
			}
		})
	}
	unharmed()
	<-ends
}

// The bomb must not become a gigabyte, nor each peer that holds a message back a buffer of the largest message's size.
func TestBombMemory(t *testing.T) {
	s := variant{}.mount(t, echoing(nil), server.Options{Compression: true})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	p := s.open("Sec-WebSocket-Extensions: permessage-deflate")
	go p.send(fin|rsv1|bin, bomb)
	if err := p.expectEnd(1009); err != nil {
		t.Error(err)
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 16<<20 {
		t.Errorf("a bomb of %d bytes made the server allocate %d MiB", len(bomb), grown>>20)
	}
}

// A flood of pings from a peer that does not read is answered by one pong at most, and bounded in memory.
func TestPingFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ends := make(chan asgi.WebSocketDisconnect, 1)
		s := variant{}.mountPipes(t, echoing(ends), server.Options{})
		p := s.open()
		for i := range 1000 {
			p.send(fin|ping, fmt.Sprint(i))
		}
		p.send(fin|text, "marker")
		last, pongs := "", 0
		for {
			first, payload, err := p.receive()
			if err != nil {
				t.Fatal(err)
			}
			if first == fin|text {
				break
			}
			last = payload
			pongs++
		}
		if last != "999" || pongs > 3 { // one that was being written, one that waited, and the last
			t.Errorf("%d pongs, the last %q", pongs, last)
		}
		p.Close()
		<-ends
	})
}

// A peer that sends a byte now and then keeps its own connection, and nothing else.
func TestSlowTrickle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := variant{}.mountPipes(t, echoing(nil), server.Options{})
		slow, quick := s.open(), s.open()
		for _, b := range frame(fin|text, "slow") {
			slow.Write([]byte{b})
			<-time.After(5 * time.Second)
			quick.send(fin|text, "quick")
			if err := quick.expect(fin|text, "quick"); err != nil {
				t.Fatal(err)
			}
		}
		if err := slow.expect(fin|text, "slow"); err != nil {
			t.Error(err)
		}
		slow.Close()
		quick.Close()
	})
}

// Trickling does not renew the time that one write may take.
func TestTricklingReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ends := make(chan asgi.WebSocketDisconnect, 1)
		s := variant{}.mountPipes(t, echoing(ends), server.Options{})
		p := s.open()
		start := time.Now()
		p.send(fin|text, strings.Repeat("x", 1000))
		done := make(chan struct{})
		go func() {
			defer close(done)
			var one [1]byte
			for {
				if _, err := io.ReadFull(p, one[:]); err != nil {
					return
				}
				<-time.After(time.Second)
			}
		}()
		if e := <-ends; e.Code != 1006 || e.By != asgi.ByServer || !strings.Contains(e.Reason, "does not read") {
			t.Errorf("the application heard %+v", e)
		}
		if err := takes(start, 10*time.Second); err != nil {
			t.Error(err)
		}
		if got := s.warnings(); len(got) != 1 {
			t.Errorf("lines in the log: %q", got)
		}
		<-done
	})
}

// Case 205: a peer that never reads fills its bounded queue, makes Send wait, and is cut after WriteTimeout; others go on.
func TestPeerThatNeverReads(t *testing.T) {
	cut := make(chan error, 1)
	flood := socket(func(ctx context.Context, _ *asgi.Scope, _ asgi.Receive, send asgi.Send) (err error) {
		for err == nil {
			err = send(ctx, asgi.WebSocketSend{Frame: asgi.Frame{Binary: true, Data: make([]byte, 1<<16)}})
		}
		cut <- err
		return err
	})
	app := asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		if scope.RawQuery() == "flood" {
			return flood.Serve(ctx, scope, receive, send)
		}
		return echoing(nil).Serve(ctx, scope, receive, send)
	})
	s := variant{}.mount(t, app, server.Options{WriteTimeout: 300 * time.Millisecond})
	p := s.peer()
	p.request(strings.Replace(handshake, "q=1", "flood", 1) + "\r\n")
	other := s.open()
	for {
		other.send(fin|text, "unharmed")
		if err := other.expect(fin|text, "unharmed"); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-cut:
			if !errors.Is(err, asgi.ErrClosed) {
				t.Errorf("send returned %v, want ErrClosed", err)
			}
			return
		default:
		}
	}
}
