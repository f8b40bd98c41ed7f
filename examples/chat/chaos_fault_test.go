//go:build unix

package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Victims that are no node.
const (
	theBroker = -1
	everybody = -2
)

// What is done to a process.
const (
	kill   = "kill"
	freeze = "freeze"
	end    = "end"
)

// A fault is something that goes wrong.
type fault struct {
	kind   string
	victim int
	after  time.Duration // since the episode began
	lasts  time.Duration // until its repair begins
	asked  int           // the node whose view tells whether the victim is gone; nobody where it is theBroker
}

func (f fault) String() string {
	switch f.victim {
	case everybody:
		return f.kind
	case theBroker:
		return f.kind + " the broker"
	}
	return fmt.Sprint(f.kind, " node ", f.victim)
}

// concerns reports whether messages from or to one of some nodes are inside the fault's window.
func (f fault) concerns(list ...int) bool {
	for _, n := range list {
		if n == f.victim {
			return true
		}
	}
	return f.victim < 0
}

// A window is a fault as it happened. Times are since the test began.
type window struct {
	fault
	from, repaired, until time.Duration
	gone                  time.Duration // how long after the fault nobody knew the victim's members any more

	inside     int // messages published in it
	lost       int // of those that it concerns, to members who had a socket
	absent     int // to members who had none
	misordered int
	gap        time.Duration // the longest silence between two messages of a member, as another hears it: those it concerns
	otherGap   time.Duration // those that no window concerns
}

func (w *window) String() string {
	s := fmt.Sprintf("%6.1fs %-16s repaired after %4.1fs, window to %5.1fs: %5d published, %4d lost, %5d to absent members, %d out of order, longest gap %4.1fs, of others %4.1fs",
		w.from.Seconds(), w.fault, (w.repaired - w.from).Seconds(), w.until.Seconds(), w.inside, w.lost, w.absent, w.misordered, w.gap.Seconds(), w.otherGap.Seconds())
	if w.gone > 0 {
		s += fmt.Sprintf(", gone after %.2fs", w.gone.Seconds())
	}
	return s
}

const (
	flight   = time.Second      // a message that is published this long before a fault may be on its way when it strikes
	recovery = 10 * time.Second // after a repair
	forever  = 1 << 62
)

// contains reports whether what was published at a time is inside the window.
func (w *window) contains(at time.Duration) bool { return at >= w.from-flight && at <= w.until }

// book is the list of faults.
type book struct {
	began   time.Time
	mu      sync.Mutex
	windows []*window
}

func (b *book) now() time.Duration { return time.Since(b.began) }

func (b *book) open(f fault) *window {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := &window{fault: f, from: b.now(), repaired: forever, until: forever}
	b.windows = append(b.windows, w)
	return w
}

// close says that a fault is repaired now.
func (b *book) close(w *window, after time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	w.repaired = b.now()
	w.until = w.repaired + after
}

// quiet is when all windows have ended that are open now.
func (b *book) quiet() (at time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, w := range b.windows {
		at = max(at, w.until)
	}
	return at
}

// at returns the windows in which something was at a time, those that concern some nodes, or without any all of them.
func (b *book) at(when time.Duration, concerned ...int) (list []*window) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, w := range b.windows {
		if w.contains(when) && (len(concerned) == 0 || w.concerns(concerned...)) {
			list = append(list, w)
		}
	}
	return list
}

// brokerless reports whether the broker was not there at a time.
func (b *book) brokerless(at time.Duration) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.ContainsFunc(b.windows, func(w *window) bool { return w.victim == theBroker && w.repaired > at })
}

// cut returns whether a fault ended a node's process between two times.
func (b *book) cut(node int, from, to time.Duration) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, w := range b.windows {
		if w.victim == node && w.kind != freeze && w.from >= from && w.from <= to && to <= w.until {
			return true
		}
	}
	return false
}

func (b *book) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var s strings.Builder
	for _, w := range b.windows {
		fmt.Fprintln(&s, w)
	}
	return s.String()
}

// plan yields episodes: faults that may overlap. The short form has one.
func (c *chaos) plan() func(yield func([]fault) bool) {
	r := rand.New(rand.NewPCG(c.seed, 0))
	if *chaosTime == 0 {
		return func(yield func([]fault) bool) { yield(c.shortEpisode(r.Perm(nodes))) }
	}
	return func(yield func([]fault) bool) {
		for n := 0; ; {
			for all := c.deck(r, n == 0); len(all) > 0; n++ {
				episode := all[:1]
				other := slices.IndexFunc(all, func(f fault) bool { return f.victim != all[0].victim })
				if n%2 == 1 && other > 0 { // every other one has two
					all[1], all[other] = all[other], all[1]
					episode = all[:2]
					episode[1].after = some(r, 0, 3*time.Second)
				}
				all = all[len(episode):]
				if !yield(withWitness(episode)) {
					return
				}
			}
		}
	}
}

// some is a random time.
func some(r *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(r.Int64N(int64(most-least)))
}

// shortEpisode leaves one node alone.
func (c *chaos) shortEpisode(node []int) []fault {
	if c.broker != nil {
		return []fault{
			{kill, node[0], 0, time.Second, node[2]},
			{end, node[1], time.Second, time.Second, theBroker},
			{kill, theBroker, 3 * time.Second, time.Second, theBroker},
			{freeze, theBroker, 5 * time.Second, time.Second, theBroker},
		}
	}
	return []fault{
		{kill, node[0], 0, time.Second, node[2]},
		{freeze, node[1], 2 * time.Second, 2 * time.Second, theBroker},
		{end, node[0], 5 * time.Second, time.Second, theBroker},
	}
}

// deck is each kind of fault for each victim, shuffled. In the first one a freeze is long: clients give a broker up
// meanwhile, and much has piled up for a node.
func (c *chaos) deck(r *rand.Rand, first bool) (list []fault) {
	for _, kind := range []string{kill, freeze, end} {
		for victim := range nodes {
			list = append(list, fault{kind, victim, 0, some(r, time.Second/2, 5*time.Second), theBroker})
		}
		if c.broker != nil {
			list = append(list,
				fault{kind, theBroker, 0, some(r, time.Second/2, 5*time.Second), theBroker},
				fault{kind, theBroker, 0, some(r, time.Second/2, 5*time.Second), theBroker})
		}
	}
	r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	if !first {
		return list
	}
	long := fault{freeze, r.IntN(nodes), 0, vanishing, theBroker}
	if c.broker != nil {
		long.victim = theBroker
	}
	return slices.Insert(list, 2, long)
}

// vanishing is a freeze so long that the others of a cluster must take the node for dead.
const vanishing = 20 * time.Second

// vanishes reports whether the members of the victim must be gone.
func (f fault) vanishes() bool { return f.kind == kill || f.kind == freeze && f.lasts >= vanishing }

// withWitness names, for each node that vanishes, another that no fault of the episode concerns.
func withWitness(episode []fault) []fault {
	struck := make([]bool, nodes)
	for _, f := range episode {
		if f.victim == theBroker {
			return episode // which forgets everybody
		}
		struck[f.victim] = true
	}
	for i := range episode {
		for n, hit := range struck {
			if episode[i].vanishes() && !hit {
				episode[i].asked = n
			}
		}
	}
	return episode
}

// perform lets the episodes happen until the time has come. After each there is quiet for longer than it took.
func (c *chaos) perform(episodes func(yield func([]fault) bool)) {
	c.pause(2 * time.Second)
	for episode := range episodes {
		begun := c.book.now()
		var all sync.WaitGroup
		for _, f := range episode {
			all.Go(func() {
				if c.pause(f.after) {
					c.strike(f)
				}
			})
		}
		all.Wait()
		c.pause(c.book.quiet() - c.book.now())
		if c.t.Failed() || *chaosTime == 0 {
			break
		}
		took := c.book.now() - begun + flight
		if c.pause(took * 5 / 4); c.book.now()+2*took > *chaosTime {
			c.pause(*chaosTime - c.book.now())
			break
		}
	}
	c.pause(2 * time.Second)
}

// strike lets a fault happen, and repairs it.
func (c *chaos) strike(f fault) {
	p := c.broker
	if f.victim != theBroker {
		p = c.nodes[f.victim]
	}
	p.struck.Lock() // one fault after the other
	defer p.struck.Unlock()
	w, err := c.hit(p, f)
	c.pause(w.from + f.lasts - c.book.now())
	var repaired error
	if f.kind == freeze {
		repaired = p.signal(syscall.SIGCONT)
	} else {
		repaired = c.restart(p)
	}
	if err := errors.Join(err, repaired); err != nil {
		c.t.Errorf("%s: %v", f, err)
	}
	c.book.close(w, recovery)
}

// restart starts a process as a supervisor does: again and again while it ends because there is no broker.
func (c *chaos) restart(p *process) error {
	for {
		begun := c.book.now()
		err := p.start()
		if err == nil || !c.book.brokerless(begun) {
			return err
		}
		c.pause(time.Second)
	}
}

// hit opens the window and does the harm. It returns when the victim's members are gone, if they must be.
func (c *chaos) hit(p *process, f fault) (w *window, err error) {
	gone := func() (time.Duration, error) { return 0, nil }
	if f.asked != theBroker {
		gone = c.watch(f)
	}
	w = c.book.open(f)
	switch f.kind {
	case kill:
		p.kill()
	case freeze:
		err = p.signal(syscall.SIGSTOP)
	case end:
		err = p.end()
	}
	if err == nil {
		w.gone, err = gone()
	}
	return w, err
}
