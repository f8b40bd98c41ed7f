package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"testing"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/layers/memlayer"
)

// BenchmarkIdle is the memory of streams that wait, heap and stacks, with net/http's part and a client's connection in it. Beside it
// is that of a handler of net/http which only waits.
func BenchmarkIdle(b *testing.B) {
	layer := memlayer.New(nil)
	stream := newMarket(layer).streams()
	app := asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		return stream.Serve(ctx, consumers.LayerKey.With(scope, layer), receive, send)
	})
	for name, h := range map[string]http.Handler{
		"stream": server.New(app, nil),
		"net/http": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(200)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}),
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				b.ReportMetric(idle(b, h, 1000), "B/stream")
			}
		})
	}
}

func idle(b *testing.B, h http.Handler, n int) float64 {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	srv, served := &http.Server{Handler: h}, make(chan error)
	go func() { served <- srv.Serve(ln) }() // ends with the listener
	before := used()
	conns := make([]net.Conn, n)
	for i := range conns {
		if conns[i], err = net.Dial("tcp", ln.Addr().String()); err != nil {
			b.Fatal(err)
		}
		fmt.Fprint(conns[i], "GET /prices/ HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n")
		if line, err := bufio.NewReader(conns[i]).ReadString('\n'); err != nil || line != "HTTP/1.1 200 OK\r\n" {
			b.Fatal(line, err)
		}
	}
	each := (used() - before) / float64(n)
	for _, c := range conns {
		c.Close()
	}
	srv.Close()
	<-served
	return each
}

func used() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc + m.StackInuse)
}
