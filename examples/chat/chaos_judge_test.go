//go:build unix

package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// tally is what a test counted.
type tally struct {
	book                 *book
	wrong                []string // what must not be, the first of it
	published, quiet     int      // quiet: when there was no window
	expected, delivered  int      // at all members
	outside, spared      int      // expected outside; of these, those in a window that did not concern them
	lost, twice, jumbled int      // outside, outside or inside, outside
	lostInside, absent   int
	jumbledInside        int
	gap                  time.Duration // the longest one outside
}

// judge counts, and demands what the test is for.
func (c *chaos) judge() {
	c.t.Helper()
	n := tally{book: c.book}
	for _, m := range c.members {
		n.count(m)
		for _, p := range m.peers {
			n.compare(m, p)
		}
	}
	c.t.Logf("-chaosseed %d\n%s\n%s", c.seed, n.String(), c.book)
	for _, text := range n.wrong {
		c.t.Error(text)
	}
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
		n.lost++
		n.blame("%6.3fs: %s of node %d published %d, and %s of node %d (absent: %v) never heard it", at.Seconds(), p.of.name, p.of.node, number, m.name, m.node, absent)
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
	if d.twice || len(windows) == 0 {
		n.blame("%6.3fs: %s of node %d hears number %d of %s, published at %.3fs, after %d (twice: %v); windows: %v",
			d.at.Seconds(), m.name, m.node, d.number, p.of.name, at.Seconds(), d.after, d.twice, strings.Join(names(windows), ", "))
	}
	for _, w := range windows {
		w.misordered++
	}
}

// blame writes down what is wrong.
func (n *tally) blame(format string, args ...any) {
	if len(n.wrong) < 20 {
		n.wrong = append(n.wrong, fmt.Sprintf(format, args...))
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

// TestTheJudge shows that TestChaos can fail, in each way.
func TestTheJudge(t *testing.T) {
	for _, test := range []struct {
		name  string
		heard []string // of the numbers 0 to 9, each published at that second by a member on node 1
		want  tally
	}{
		{"all is well", []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}, tally{delivered: 10}},
		{"lost outside", []string{"0", "2", "3", "4", "5", "6", "7", "8", "9"}, tally{delivered: 9, lost: 1}},
		{"lost inside", []string{"0", "1", "2", "3", "6", "7", "8", "9"}, tally{delivered: 8, lostInside: 2}},
		{"lost in the window of another", []string{"0", "1", "2", "3", "4", "5", "6", "7", "9"}, tally{delivered: 9, lost: 1}},
		{"late outside", []string{"1", "0", "2", "3", "4", "5", "6", "7", "8", "9"}, tally{delivered: 10, jumbled: 1}},
		{"late inside", []string{"0", "1", "2", "3", "5", "4", "6", "7", "8", "9"}, tally{delivered: 10, jumbledInside: 1}},
		{"twice outside", []string{"0", "1", "1", "2", "3", "4", "5", "6", "7", "8", "9"}, tally{delivered: 10, twice: 1}},
		{"twice inside", []string{"0", "1", "2", "3", "4", "5", "4", "6", "7", "8", "9"}, tally{delivered: 10, twice: 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := &chaos{t: t, book: &book{began: time.Now(), windows: []*window{
				{fault: fault{kind: kill, victim: 1}, from: 4*time.Second + flight, until: 6500 * time.Millisecond},
				{fault: fault{kind: kill, victim: 0}, from: 8*time.Second + flight, until: 8500 * time.Millisecond},
			}}}
			c.enrol(1, time.Second)
			ann, bob := c.members[1], c.members[2]
			bob.stays = []stay{{from: 0, to: 10 * time.Second}}
			for i := range 10 {
				ann.sent = append(ann.sent, time.Duration(i)*time.Second)
			}
			for _, number := range test.heard {
				bob.hear(fmt.Appendf(nil, `{"message":%q,"user":%q}`, number, ann.name))
			}
			got := tally{book: c.book}
			got.compare(bob, bob.peers[ann.name])
			want := test.want
			if got.delivered != want.delivered || got.lost != want.lost || got.lostInside != want.lostInside || got.twice != want.twice ||
				got.jumbled != want.jumbled || got.jumbledInside != want.jumbledInside || len(got.wrong) != want.lost+want.twice+want.jumbled {
				t.Errorf("counted\n%v\n%q, want\n%v", &got, got.wrong, &want)
			}
		})
	}
}
