package main

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/tideway-go/tideway/layers"
)

// A change is one price that has moved.
type change struct {
	Number int64  `json:"number"` // of the change: each is one more than that before
	Symbol string `json:"symbol"`
	Cents  int    `json:"cents"`
	Moved  int    `json:"moved"` // by how many cents
}

const moved layers.Type[change] = "price.moved"

// group is that of everybody who looks.
const group = "prices"

// kept is how many changes a page that comes back can catch up on.
const kept = 1000

// A market moves prices, tells the group, and remembers the last changes.
type market struct {
	layer *layers.Layer

	mu     sync.Mutex
	next   int64 // the number of the next change
	last   []change
	prices map[string]int
}

var symbols = []string{"EBB", "FLOW", "NEAP", "RIP", "SPRING"}

// newMarket begins to count at the time of day, so that numbers go up also when the program starts again.
func newMarket(layer *layers.Layer) *market {
	m := &market{layer: layer, next: time.Now().UnixMilli(), prices: map[string]int{}}
	for _, s := range symbols {
		m.prices[s] = 5000 + rand.IntN(10000)
	}
	return m
}

// trade moves a price now and then until ctx ends.
func (m *market) trade(ctx context.Context, every time.Duration) error {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if err := m.move(ctx, symbols[rand.IntN(len(symbols))], rand.IntN(401)-200); err != nil && ctx.Err() == nil {
			return err
		}
	}
}

// move moves one price by some cents. A change is remembered before it is told, so whoever joins in between finds it.
func (m *market) move(ctx context.Context, symbol string, by int) error {
	m.mu.Lock()
	defer m.mu.Unlock() // so that changes are told in the order of their numbers
	m.prices[symbol] = max(1, m.prices[symbol]+by)
	c := change{Number: m.next, Symbol: symbol, Cents: m.prices[symbol], Moved: by}
	m.next++
	if m.last = append(m.last, c); len(m.last) > 2*kept {
		m.last = append([]change(nil), m.last[len(m.last)-kept:]...)
	}
	return m.layer.GroupSend(ctx, group, moved.With(c))
}

// since returns the changes after number, of those that are kept.
func (m *market) since(number int64) []change {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.last) == 0 {
		return nil
	}
	first := m.last[0].Number
	missed := m.last[min(max(number+1-first, 0), int64(len(m.last))):]
	return append([]change(nil), missed[max(0, len(missed)-kept):]...)
}
