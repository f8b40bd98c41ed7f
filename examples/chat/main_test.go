package main

import (
	"context"
	"net"
	"net/http"
	"os"
	"testing"

	"github.com/tideway-go/tideway/layers/memlayer"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if flags, ok := os.LookupEnv(nodeEnv); ok {
		os.Exit(node(flags))
	}
	goleak.VerifyTestMain(m)
}

func TestServeUntilTheEnd(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- serve(ctx, ln, nil, app(), memlayer.New(nil)) }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for path, want := range map[string]int{"/lobby/": 200, "/ws/chat/lobby/": 404} {
		answer, err := client.Get("http://" + ln.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("GET %s: %s, want %d", path, answer.Status, want)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("the end of ctx ends the server with %v, want nil", err)
	}
}
