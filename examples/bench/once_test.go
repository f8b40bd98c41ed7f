package main

import (
	"encoding/json"
	"net"
	"sync/atomic"
	"testing"

	"github.com/tideway-go/tideway/asgi/server"
	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/layers"
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
	s := serveOn(t, consumers.AsyncWebsocketConsumer[echo]{Groups: []string{"room"}, Forward: consumers.Types(countedMessage)}.App(), server.Options{},
		func(ln net.Listener) net.Listener { return ln })
	list := join(t, s.addr, "any", n)
	message := countedMessage.With(counted{"hello"})
	marshalled.Store(0) // With has encoded, too
	if err := s.layer.GroupSend(t.Context(), "room", message); err != nil {
		t.Fatal(err)
	}
	hearAll(t, list, "hello")
	if got := marshalled.Load(); got != 1 {
		t.Errorf("MarshalJSON ran %d times for %d members, want once", got, n)
	}
}
