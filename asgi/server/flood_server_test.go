package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/asgi/server"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/memlayer"
)

// floodRole says what a process of this test binary is in a flood: "server", "attack", or nothing for the test itself.
var floodRole = os.Getenv("TIDEWAY_FLOOD")

// said is what the members of the room say.
type said struct {
	At  int64  `json:"at"`
	ID  int    `json:"id"`
	Pad string `json:"pad"`
}

const chatSaid layers.Type[said] = "chat.said"

type member struct{}

func (*member) say(ctx context.Context, c *consumers.Conn, s said) error {
	return c.GroupSend(ctx, "room", chatSaid.With(s))
}

// floodState is what the server under attack tells of itself.
type floodState struct {
	Goroutines, Descriptors int
	Heap                    uint64 // bytes that Go has from the system
	Stats                   server.Stats
}

// floodApp is a room, a page that takes bodies, and a page about itself.
func floodApp(stats func() server.Stats) asgi.App {
	layer := memlayer.New(nil)
	room := consumers.AsyncWebsocketConsumer[member]{
		Groups: []string{"room"}, Text: consumers.JSON((*member).say), Forward: consumers.Types(chatSaid),
	}.App()
	return asgi.AppFunc(func(ctx context.Context, scope *asgi.Scope, receive asgi.Receive, send asgi.Send) error {
		switch {
		case scope.Type() == asgi.Lifespan:
			return errors.ErrUnsupported
		case scope.Type() == asgi.WebSocket:
			return room.Serve(ctx, consumers.LayerKey.With(scope, layer), receive, send)
		case scope.Path() != "/state":
			return witness(ctx, scope, receive, send)
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		b, err := json.Marshal(floodState{runtime.NumGoroutine(), openDescriptors(), m.Sys - m.HeapReleased, stats()})
		if err != nil {
			return err
		}
		if err := send(ctx, asgi.HTTPResponseStart{Status: 200}); err != nil {
			return err
		}
		return send(ctx, asgi.HTTPResponseBody{Body: b})
	})
}

// TestFloodServer is the process under attack. It ends when its input does.
func TestFloodServer(t *testing.T) {
	if floodRole != "server" {
		t.Skip("this is the other process of TestFlood")
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { // ends with the process, or before it
		io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	opts := server.Options{Logger: zap.NewNop(), ShutdownWindow: -1, BodyTimeout: 10 * time.Second}
	if !*fullFlood {
		opts.HeaderTimeout, opts.BodyTimeout, opts.WriteTimeout = 300*time.Millisecond, 300*time.Millisecond, 300*time.Millisecond
	}
	var srv *server.Server
	srv = server.New(floodApp(func() server.Stats { return srv.Stats() }), &opts)
	fmt.Println("listening on", ln.Addr())
	if err := srv.Serve(ctx, ln); err != nil {
		t.Error(err)
	}
}
