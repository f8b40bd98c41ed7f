package main

import (
	"encoding/binary"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/tideway-go/tideway/asgi/server"
)

// TestShutdownInAStorm shuts down while rooms are full of messages, members that never read among those who hear them.
// Everybody else is told by a close frame, or cut where it said something that the server did not read any more; nothing
// stays behind.
func TestShutdownInAStorm(t *testing.T) {
	s := serve(t, server.Options{WriteTimeout: 200 * time.Millisecond})
	silent := s.joinDeaf(t, "lobby", 10)
	room := join(t, s.addr, "lobby", 40)
	var all sync.WaitGroup
	started := make(chan struct{}, len(room))
	for i, c := range room {
		all.Go(func() {
			for first := true; ; first = false {
				opcode, payload, err := c.receive()
				if first {
					started <- struct{}{}
				}
				if err != nil {
					return
				}
				if opcode == opClose {
					if code := binary.BigEndian.Uint16(payload); code != 1001 {
						t.Errorf("member %d was closed with %d, want 1001", i, code)
					}
					c.send(opClose, string(payload[:2]))
					return
				}
			}
		})
		if i%10 == 0 {
			all.Go(func() {
				for k := 0; c.say(text(k, 4000)) == nil; k++ {
				}
			})
		}
	}
	for range room {
		<-started
	}
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	for _, c := range append(room, silent...) {
		c.Close()
	}
	all.Wait()
	if n := members(s.layer, "lobby"); n != 0 {
		t.Errorf("%d members are left after the shutdown", n)
	}
}

// TestLargeMessagesToSlowReaders: messages of nearly 1 MiB reach members whose windows are small, whole and in order.
func TestLargeMessagesToSlowReaders(t *testing.T) {
	const n, size = 5, 1<<20 - 100
	s := serve(t, server.Options{})
	slow := s.joinSmall(t, "lobby", 10)
	for _, c := range slow {
		c.tcp.SetReadBuffer(64 << 10)
	}
	quick := join(t, s.addr, "lobby", 2)
	heard, wait := hearing(t, append(slow, quick...), n, size)
	for k := range n {
		if err := quick[0].say(text(k, size)); err != nil {
			t.Fatal(err)
		}
		<-heard
	}
	wait()
}

// TestResetsDisturbNobody: members that come and are reset while they are spoken to cost the others no message.
func TestResetsDisturbNobody(t *testing.T) {
	rounds := scaled(200, 50)
	s := serve(t, server.Options{})
	room := join(t, s.addr, "lobby", 10)
	for k := range rounds {
		guests := join(t, s.addr, "lobby", 3)
		if err := guests[0].say(text(k, 1000)); err != nil {
			t.Fatal(err)
		}
		if k%2 == 0 {
			hearAll(t, room[:1], text(k, 1000)) // it has been sent: else what a reset client said may be lost with it
		} else {
			hearAll(t, guests[:1], text(k, 1000))
		}
		for _, c := range guests {
			c.reset()
		}
		hearAll(t, room[(k+1)%2:], text(k, 1000))
	}
	await(t, func() bool {
		n := members(s.layer, "lobby")
		hearAll(t, room, "")
		return n == len(room)
	}, func() string { return "members that were reset are still there" })
}

// TestVanishedPeersAreNoticed: a peer that falls silent for ever, wherever in a frame, is cut when it does not answer a ping.
func TestVanishedPeersAreNoticed(t *testing.T) {
	s := serve(t, server.Options{PingInterval: 50 * time.Millisecond, PingTimeout: 100 * time.Millisecond})
	whole := frame(opText, `{"message":"never said"}`)
	list := join(t, s.addr, "lobby", len(whole))
	for i, c := range list {
		if _, err := c.Write(whole[:i]); err != nil {
			t.Fatal(err)
		}
	}
	await(t, func() bool { return members(s.layer, "lobby") == 0 }, func() string {
		return fmt.Sprintf("%d peers that vanished are still members", members(s.layer, "lobby"))
	})
}
