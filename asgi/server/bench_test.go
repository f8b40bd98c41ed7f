package server_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
)

// answering echoes as a consumer does: held back until the next Receive has to wait.
var answering = socket(func(ctx context.Context, _ *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
	for {
		event, err := receive(ctx)
		if err != nil {
			return err
		}
		e, ok := event.(asgi.WebSocketReceive)
		if !ok {
			return nil
		}
		if err := send(ctx, asgi.WebSocketSend{Frame: e.Frame, More: true}); err != nil {
			return err
		}
	}
})

// BenchmarkEcho is a message there and back on one socket, the client's side included.
func BenchmarkEcho(b *testing.B) {
	for _, size := range []int{128, 16 << 10} {
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			p := variant{}.mount(b, answering, server.Options{}).open()
			out := frame(fin|bin, string(make([]byte, size)))
			in := make([]byte, len(out)-4) // the server does not mask
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.Write(out); err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(p.br, in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkBroadcast is one prepared message to one of many members, the client's side included. Nothing is allocated for a
// member; what is left is the room's one message.
func BenchmarkBroadcast(b *testing.B) {
	for _, members := range []int{10, 1000} {
		b.Run(strconv.Itoa(members), func(b *testing.B) {
			sends, done := make(chan asgi.Send, members), make(chan struct{})
			s := variant{}.mount(b, controlled(sends, done), server.Options{})
			var received atomic.Int64
			all := make(chan struct{}, 1)
			f := asgi.TextFrame(string(make([]byte, 128)))
			for range members {
				p := s.open()
				go count(p.Conn, p.br, len(f.Data)+4, func() {
					if received.Add(1)%int64(members) == 0 {
						all <- struct{}{}
					}
				})
			}
			room := make([]asgi.Send, members)
			for i := range room {
				room[i] = <-sends
			}
			ctx := endedContext()
			b.ReportAllocs()
			for b.Loop() {
				var event asgi.Event = asgi.WebSocketSend{Frame: f, Prepared: asgi.Prepare(f)}
				for _, send := range room {
					if err := send(ctx, event); err != nil {
						b.Fatal(err)
					}
				}
				<-all
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*members), "ns/member")
			close(done)
		})
	}
}

// count calls f for each size bytes that arrive.
func count(c net.Conn, br *bufio.Reader, size int, f func()) {
	buf := make([]byte, size)
	for {
		if _, err := io.ReadFull(br, buf); err != nil {
			return
		}
		f()
	}
}
