package main

import (
	"context"
	"encoding/json"
	"net"
	"sync/atomic"
	"testing"

	"github.com/tideway-go/tideway/asgi/server"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/memlayer"
	"go.uber.org/zap"
)

// counted is a payload that counts how often it is made JSON.
type counted struct {
	Text words `json:"message"`
}

type words string

var marshalled atomic.Int64

func (w words) MarshalJSON() ([]byte, error) {
	marshalled.Add(1)
	return json.Marshal(string(w))
}

const countedMessage layers.Type[counted] = "chat.counted"

// TestBroadcastIsMarshalledOnce counts through the real server what package consumers counts for 10,000 members.
func TestBroadcastIsMarshalledOnce(t *testing.T) {
	const n = 10
	layer := memlayer.New(nil)
	layers.Register(layers.Default, layer)
	defer layers.Register(layers.Default, nil)
	defer layer.Close(context.Background())
	app := consumers.AsyncWebsocketConsumer[echo]{Groups: []string{"room"}, Forward: consumers.Types(countedMessage)}.App()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() {
		served <- server.New(app, &server.Options{Logger: zap.NewNop(), ShutdownWindow: -1}).Serve(ctx, ln)
	}()
	defer func() { stop(); <-served }()
	list := join(t, ln.Addr().String(), "any", n)
	message := countedMessage.With(counted{"hello"})
	marshalled.Store(0) // With has encoded, too
	if err := layer.GroupSend(ctx, "room", message); err != nil {
		t.Fatal(err)
	}
	hearAll(t, list, "hello")
	if got := marshalled.Load(); got != 1 {
		t.Errorf("MarshalJSON ran %d times for %d members, want once", got, n)
	}
}
