package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tideway-go/tideway/asgi/server"
	"github.com/tideway-go/tideway/layers"
)

// number is the number that a message of the room begins with, and who said it, as "2:17 xxx"; both -1 where there is none.
func number(payload []byte) (speaker, n int) {
	var m said
	if json.Unmarshal(payload, &m) != nil {
		return -1, -1
	}
	head, _, _ := strings.Cut(m.Text, " ")
	who, what, _ := strings.Cut(head, ":")
	speaker, err := strconv.Atoi(who)
	if err != nil {
		return -1, -1
	}
	if n, err = strconv.Atoi(what); err != nil {
		return -1, -1
	}
	return speaker, n
}

// TestDeafMemberReadsAgain: a member that reads again before it is cut gets what was kept for it, in order, and then
// everything.
func TestDeafMemberReadsAgain(t *testing.T) {
	s := serve(t, server.Options{WriteTimeout: time.Hour})
	c := s.joinSmall(t, "lobby", 1)[0]
	for k := range deafFills {
		s.told(t, "lobby", fmt.Sprintf("0:%d %s", k, text(0, deafSize)))
	}
	if s.layer.Stats().Dropped[layers.DropFull] == 0 {
		t.Fatal("it was not full")
	}
	last, kept := -1, 0
	for next := deafFills; ; next++ { // what is told now finds room sooner or later
		_, payload, err := c.receive()
		if err != nil {
			t.Fatal(err)
		}
		_, n := number(payload)
		if n <= last {
			t.Fatalf("after message %d came %d", last, n)
		}
		last = n
		kept++
		if n >= deafFills {
			break
		}
		s.told(t, "lobby", fmt.Sprintf("0:%d", next))
	}
	if kept < 30 {
		t.Errorf("%d messages were kept, want what a queue of 1 MiB holds at least", kept)
	}
}

// TestOrderInAStorm: several members speak at once; each is heard by all in the order in which it speaks, without a gap.
func TestOrderInAStorm(t *testing.T) {
	const listeners, speakers, inFlight = 30, 4, 8
	messages := scaled(500, 100)
	s := serve(t, server.Options{})
	room := join(t, s.addr, "lobby", listeners)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var tokens [speakers]chan struct{} // a speaker goes on when all have heard it: a member that lags may be skipped (L5)
	var heard [speakers][]atomic.Int32
	for i := range speakers {
		tokens[i], heard[i] = make(chan struct{}, inFlight), make([]atomic.Int32, messages)
	}
	var all sync.WaitGroup
	for i, c := range room {
		all.Go(func() {
			var next [speakers]int
			for range speakers * messages {
				_, payload, err := c.receive()
				if err != nil {
					t.Errorf("member %d: %v", i, err)
					stop()
					return
				}
				who, n := number(payload)
				if who < 0 || who >= speakers || n != next[who] {
					t.Errorf("member %d heard %.40q, want number %v", i, payload, next)
					stop()
					return
				}
				next[who]++
				if heard[who][n].Add(1) == listeners {
					<-tokens[who]
				}
			}
		})
		if i < speakers {
			all.Go(func() {
				for k := range messages {
					select {
					case tokens[i] <- struct{}{}:
					case <-ctx.Done():
						return
					}
					if err := c.say(fmt.Sprintf("%d:%d %s", i, k, text(0, k%2000))); err != nil {
						t.Errorf("speaker %d: %v", i, err)
						return
					}
				}
			})
		}
	}
	all.Wait()
}
