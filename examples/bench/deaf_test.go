package main

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/tideway-go/tideway/asgi/server"
	"github.com/tideway-go/tideway/layers"
)

// audience is how many read, and how many never do.
func audience() (readers, deaf int) { return scaled(100, 20), scaled(200, 40) }

const (
	deafSize  = 32 << 10 // a message that fills the deaf soon
	deafFills = 150      // so many are more than 64 KiB of kernel buffers, a queue of 1 MiB and a mailbox of 2 MiB
)

// deafRooms are where the deaf are, seen from the room that reads.
var deafRooms = []struct{ name, room string }{{"in the same room", "lobby"}, {"in another room", "cellar"}}

// joinDeaf opens members that never read.
func (s *site) joinDeaf(t testing.TB, room string, n int) []*client {
	t.Helper()
	list := s.joinSmall(t, room, n)
	for _, c := range list {
		c.tcp.SetReadBuffer(4 << 10) // too small to read by: TCP itself makes pauses of 0.2 s then
	}
	return list
}

// joinSmall opens members whose sockets fill soon on the server's side.
func (s *site) joinSmall(t testing.TB, room string, n int) []*client {
	t.Helper()
	s.sockets.small.Store(true)
	defer s.sockets.small.Store(false)
	return join(t, s.addr, room, n)
}

// told sends a text to a room from outside it.
func (s *site) told(t testing.TB, room, text string) {
	t.Helper()
	if err := s.layer.GroupSend(context.Background(), "chat."+room, chatMessage.With(said{text})); err != nil {
		t.Fatal(err)
	}
}

// hearing has every member read on a goroutine of its own, until it has heard n texts of a size, numbered from 0. The
// channel gets a value whenever all have heard one more.
func hearing(t testing.TB, list []*client, n, size int) (heard <-chan struct{}, wait func()) {
	var all sync.WaitGroup
	steps := make([]sync.WaitGroup, n)
	for i := range steps {
		steps[i].Add(len(list))
	}
	for i, c := range list {
		all.Go(func() {
			for k := range n {
				if err := c.hear(text(k, size)); err != nil && !t.Failed() {
					t.Errorf("reader %d: %v", i, err)
				}
				steps[k].Done()
			}
		})
	}
	out := make(chan struct{}, n)
	all.Go(func() {
		for k := range steps {
			steps[k].Wait()
			out <- struct{}{}
		}
	})
	return out, all.Wait
}

// TestNobodyWaitsForTheDeaf: members that read get everything, in order, while 200 never read; these are never cut
// here, so whoever waited for them would wait for ever.
func TestNobodyWaitsForTheDeaf(t *testing.T) {
	readers, deaf := audience()
	for _, tc := range deafRooms {
		t.Run(tc.name, func(t *testing.T) {
			s := serve(t, server.Options{WriteTimeout: time.Hour})
			silent := s.joinDeaf(t, tc.room, deaf)
			room := join(t, s.addr, "lobby", readers)
			heard, wait := hearing(t, room, deafFills, deafSize)
			for k := range deafFills {
				if err := room[0].say(text(k, deafSize)); err != nil {
					t.Fatal(err)
				}
				if tc.room != "lobby" {
					s.told(t, tc.room, text(k, deafSize))
				}
				<-heard
			}
			wait()
			if full := s.layer.Stats().Dropped[layers.DropFull]; full < uint64(deaf) {
				t.Errorf("%d messages were dropped for full members, want one for each of the %d deaf at least: they read", full, deaf)
			}
			for _, c := range silent {
				c.reset()
			}
		})
	}
}

// TestDeafAreCut: after the write timeout members that never read are gone, and the room has missed nothing.
func TestDeafAreCut(t *testing.T) {
	readers, deaf := audience()
	for _, tc := range deafRooms {
		t.Run(tc.name, func(t *testing.T) {
			s := serve(t, server.Options{WriteTimeout: 200 * time.Millisecond})
			silent := s.joinDeaf(t, tc.room, deaf)
			room := join(t, s.addr, "lobby", readers)
			left := len(silent)
			if tc.room == "lobby" {
				left += readers
			}
			k := 0
			await(t, func() bool {
				if k++; k < 30 { // until their sockets are full
					s.told(t, "lobby", text(k, deafSize))
					hearAll(t, room, text(k, deafSize))
					if tc.room != "lobby" {
						s.told(t, tc.room, text(k, deafSize))
					}
				}
				left = members(s.layer, tc.room)
				if tc.room == "lobby" {
					hearAll(t, room, "")
					left -= readers
				}
				return left == 0
			}, func() string { return fmt.Sprintf("%d of %d members that never read are still there", left, deaf) })
			s.told(t, "lobby", "the end")
			hearAll(t, room, "the end")
			for i, c := range silent {
				for {
					opcode, _, err := c.receive()
					if opcode == opClose {
						t.Fatalf("member %d was closed politely", i)
					}
					if err != nil {
						break
					}
				}
			}
		})
	}
}
