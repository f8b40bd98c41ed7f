//go:build unix

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
)

// A member is in one room for the whole test, and comes back when its node does. It publishes numbers.
type member struct {
	chaos *chaos
	name  string
	node  int
	every time.Duration    // between two numbers
	peers map[string]*peer // the members of its room, itself among them
	sent  []time.Duration  // when each number was published
	count atomic.Int64     // of sent
	stays []stay
}

// A peer is what one member heard of another.
type peer struct {
	of   *member
	last atomic.Int64 // number; -1 before the first
	at   time.Duration
	got  map[int64]bool
	gaps []stay
	bad  []disorder
}

// A stay is a time: with a socket, or without a word.
type stay struct {
	from, to time.Duration
	why      error // it ended
}

// A disorder is a number that came after a larger one.
type disorder struct {
	at            time.Duration
	number, after int64
	twice         bool
}

// silence is what is worth noting as a gap.
const silence = 300 * time.Millisecond

// enrol makes the members: one of each node in each room, and two of the same node in one room more for each.
func (c *chaos) enrol(rooms int, every time.Duration) {
	for r := range rooms + nodes {
		var room []*member
		for n := range nodes {
			m := &member{chaos: c, name: fmt.Sprintf("r%dn%d", r, n), node: n, every: every}
			if r >= rooms {
				m.node = r - rooms
			}
			room = append(room, m)
		}
		for _, m := range room {
			m.peers = make(map[string]*peer)
			for _, of := range room {
				p := &peer{of: of, got: make(map[int64]bool)}
				p.last.Store(-1)
				m.peers[of.name] = p
			}
		}
		c.members = append(c.members, room...)
	}
}

// room is the first part of a name.
func (m *member) room() string { return m.name[:len(m.name)-2] }

// unheard counts the pairs of members of whom one has not heard a number of the other, or of a number below 0 the last one.
func (c *chaos) unheard(number int64) (pairs int) {
	for _, m := range c.members {
		for _, p := range m.peers {
			want := number
			if want < 0 {
				want = p.of.count.Load() - 1
			}
			if p.last.Load() < want {
				pairs++
			}
		}
	}
	return pairs
}

// live keeps a member connected until ctx ends.
func (m *member) live(ctx context.Context) {
	b, refused := m.chaos.book, false
	for ctx.Err() == nil {
		ws, err := m.chaos.dial(ctx, m.node, "/ws/chat/"+m.room()+"/")
		if now := b.now(); err != nil {
			if ctx.Err() == nil && len(b.at(now, m.node)) == 0 && !refused {
				refused = true // says it once
				m.chaos.t.Errorf("%6.1fs: %s cannot connect to node %d, outside of any window: %v", now.Seconds(), m.name, m.node, err)
			}
			m.chaos.pause(50 * time.Millisecond)
			continue
		}
		from := b.now()
		err = m.talk(ctx, ws)
		to := b.now()
		m.stays = append(m.stays, stay{from, to, err})
		if ctx.Err() == nil && !b.cut(m.node, from, to) {
			m.chaos.t.Errorf("%6.1fs: %s lost its socket to node %d, which was neither killed nor ended: %v", to.Seconds(), m.name, m.node, err)
		}
	}
}

// dial connects to a node where it is now.
func (c *chaos) dial(ctx context.Context, node int, path string) (*websocket.Conn, error) {
	addr := c.nodes[node].address(siteAddress)
	if addr == "" {
		return nil, errEnded
	}
	dialer := websocket.Dialer{HandshakeTimeout: 10 * time.Second}
	ws, answer, err := dialer.DialContext(ctx, "ws://"+addr+path, nil)
	if err != nil && answer != nil {
		err = fmt.Errorf("%w: %s", err, answer.Status)
	}
	return ws, err
}

// talk publishes and hears until the socket is lost, and says why it is.
func (m *member) talk(ctx context.Context, ws *websocket.Conn) error {
	over := make(chan struct{})
	var helpers sync.WaitGroup
	defer helpers.Wait()
	defer close(over)
	helpers.Go(func() {
		select {
		case <-ctx.Done():
		case <-over:
		}
		ws.Close()
	})
	helpers.Go(func() { m.publish(ws, over) })
	for {
		_, text, err := ws.ReadMessage()
		if err != nil {
			return err
		}
		m.hear(text)
	}
}

// publish publishes the next numbers.
func (m *member) publish(ws *websocket.Conn, over <-chan struct{}) {
	tick := time.NewTicker(m.every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-over:
			return
		case <-m.chaos.quiet:
			return
		}
		if !m.say(ws) {
			return
		}
	}
}

// say publishes the next number, unless nobody is to publish any more: what is published after that would be counted by
// nobody who waits for the last one.
func (m *member) say(ws *websocket.Conn) bool {
	m.chaos.speaking.RLock()
	defer m.chaos.speaking.RUnlock()
	select {
	case <-m.chaos.quiet:
		return false
	default:
	}
	text := fmt.Sprintf(`{"message":"%d","user":%q}`, len(m.sent), m.name)
	m.sent = append(m.sent, m.chaos.book.now())
	m.count.Add(1)
	return ws.WriteMessage(websocket.TextMessage, []byte(text)) == nil // else the reader learns it too
}

// hear writes down what a member hears.
func (m *member) hear(text []byte) {
	now := m.chaos.book.now()
	var in struct {
		said
		Error string `json:"error"` // of a refusal
	}
	if err := json.Unmarshal(text, &in); err != nil || in.Error != "" || m.peers[in.User] == nil {
		m.chaos.t.Errorf("%6.1fs: %s hears %s (%v)", now.Seconds(), m.name, text, err)
		return
	}
	number, err := strconv.ParseInt(in.Text, 10, 64)
	if err != nil {
		m.chaos.t.Errorf("%6.1fs: %s hears %s: %v", now.Seconds(), m.name, text, err)
		return
	}
	p := m.peers[in.User]
	if len(p.got) > 0 && now-p.at > silence {
		p.gaps = append(p.gaps, stay{from: p.at, to: now})
	}
	p.at = now
	if last := p.last.Load(); number <= last {
		p.bad = append(p.bad, disorder{now, number, last, p.got[number]})
	} else {
		p.last.Store(number)
	}
	p.got[number] = true
}

// connected reports whether a member had a socket at a time.
func (m *member) connected(at time.Duration) bool {
	for _, s := range m.stays {
		if s.from <= at && at < s.to {
			return true
		}
	}
	return false
}
