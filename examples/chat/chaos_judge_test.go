//go:build unix

package main

import (
	"fmt"
	"strings"
	"time"
)

// tally is what a test counted.
type tally struct {
	*chaos
	published, quiet     int // quiet: when there was no window
	expected, delivered  int // at all members
	outside, spared      int // expected outside; of these, those in a window that did not concern them
	lost, twice, jumbled int // outside, outside or inside, outside
	lostInside, absent   int
	jumbledInside        int
	gap                  time.Duration // the longest one outside
}

// judge counts, and demands what the test is for.
func (c *chaos) judge() {
	c.t.Helper()
	n := tally{chaos: c}
	for _, m := range c.members {
		n.count(m)
		for _, p := range m.peers {
			n.compare(m, p)
		}
	}
	c.t.Logf("-chaosseed %d\n%s\n%s", c.seed, n.String(), c.book)
	for what, wrong := range map[string]int{"lost outside of every window": n.lost, "heard twice": n.twice, "out of order outside of every window": n.jumbled} {
		if wrong > 0 {
			c.t.Errorf("%d messages were %s", wrong, what)
		}
	}
	if n.spared == 0 || n.quiet == 0 || n.absent == 0 {
		c.t.Errorf("the faults and the members are such that nothing is shown: %+v", n)
	}
	if faults := len(c.book.windows) - 1; *chaosTime >= 5*time.Minute && (faults < 10 || n.published < 100_000 || 2*n.quiet < n.published) {
		c.t.Errorf("too little: %d faults, %d messages, %d of them outside of every window; want 10, 100,000 and half", faults, n.published, n.quiet)
	}
}

func (n *tally) String() string {
	return fmt.Sprintf("published %d, %d of them while there was no window\n"+
		"expected by members: %d; delivered %d; outside of the windows that concern them %d, of these in a window of others %d\n"+
		"outside: lost %d, out of order %d, longest gap %.1fs; twice anywhere: %d\n"+
		"inside: lost %d, to absent members %d, out of order %d",
		n.published, n.quiet, n.expected, n.delivered, n.outside, n.spared,
		n.lost, n.jumbled, n.gap.Seconds(), n.twice, n.lostInside, n.absent, n.jumbledInside)
}

// count counts what a member published.
func (n *tally) count(m *member) {
	for _, at := range m.sent {
		n.published++
		windows := n.book.at(at)
		if len(windows) == 0 {
			n.quiet++
		}
		for _, w := range windows {
			w.inside++
		}
	}
}

// compare looks at what one member heard of another.
func (n *tally) compare(m *member, p *peer) {
	for number, at := range p.of.sent {
		n.expected++
		windows := n.book.at(at, m.node, p.of.node)
		if len(windows) == 0 {
			n.outside++
			if len(n.book.at(at)) > 0 {
				n.spared++
			}
		}
		if p.got[int64(number)] {
			n.delivered++
			continue
		}
		n.miss(m, p, number, windows)
	}
	for _, d := range p.bad {
		n.disorder(m, p, d)
	}
	for _, g := range p.gaps {
		n.silence(m, p, g)
	}
}

// miss counts a message that a member did not hear.
func (n *tally) miss(m *member, p *peer, number int, windows []*window) {
	at := p.of.sent[number]
	absent := !m.connected(at)
	switch {
	case len(windows) == 0:
		if n.lost++; n.lost <= 20 {
			n.t.Errorf("%6.3fs: %s of node %d published %d, and %s of node %d (absent: %v) never heard it", at.Seconds(), p.of.name, p.of.node, number, m.name, m.node, absent)
		}
	case absent:
		n.absent++
	default:
		n.lostInside++
	}
	for _, w := range windows {
		if absent {
			w.absent++
		} else {
			w.lost++
		}
	}
}

// disorder counts a message that was heard too late, or twice.
func (n *tally) disorder(m *member, p *peer, d disorder) {
	at := p.of.sent[d.number]
	windows := n.book.at(at, m.node, p.of.node)
	switch {
	case d.twice:
		n.twice++
	case len(windows) == 0:
		n.jumbled++
	default:
		n.jumbledInside++
	}
	if (d.twice || len(windows) == 0) && n.twice+n.jumbled <= 20 {
		n.t.Errorf("%6.3fs: %s of node %d hears number %d of %s, published at %.3fs, after %d (twice: %v); windows: %v",
			d.at.Seconds(), m.name, m.node, d.number, p.of.name, at.Seconds(), d.after, d.twice, strings.Join(names(windows), ", "))
	}
	for _, w := range windows {
		w.misordered++
	}
}

func names(windows []*window) (list []string) {
	for _, w := range windows {
		list = append(list, w.fault.String())
	}
	return list
}

// silence counts a gap for each window that it touches.
func (n *tally) silence(m *member, p *peer, g stay) {
	length, concerned := g.to-g.from, false
	for _, w := range n.book.windows {
		if g.to >= w.from && g.from <= w.until && w.concerns(m.node, p.of.node) {
			w.gap, concerned = max(w.gap, length), true
		}
	}
	if concerned {
		return
	}
	n.gap = max(n.gap, length)
	for _, w := range n.book.windows {
		if g.to >= w.from && g.from <= w.until {
			w.otherGap = max(w.otherGap, length)
		}
	}
}
