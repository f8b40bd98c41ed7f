package consumers

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// A gate keeps a job that may kill the worker apart from the others: it runs while nothing else does, and while one is
// about nothing else is taken, since a crash would count as a try of all that the worker holds.
//
// Jobs that were held by one worker come back together when it has died. So for a while after a start, and after each
// suspect, one job of a channel is taken at a time: then a crash counts for the job that runs, and for no other.
type gate struct {
	slots map[string]chan struct{} // by channel: who takes while that is done one at a time

	mu       sync.Mutex
	running  int           // messages that share the worker
	suspects int           // that run, or wait to
	alone    bool          // a suspect runs
	changed  chan struct{} // closed at the next change; nil: nobody waits
	calm     context.Context
	alarm    context.CancelFunc // ends calm
	careful  time.Time          // until when one job is taken at a time
}

// A place is what a message has in the gate while it is handled.
type place int

const (
	outside place = iota
	shared        // beside others
	solitary
)

// jitter spreads suspects that were taken in the same moment: a broker would hand out the one that kills first each time.
const jitter = 100 * time.Millisecond

func newGate(channels []string) *gate {
	g := &gate{slots: make(map[string]chan struct{}, len(channels))}
	for _, channel := range channels {
		g.slots[channel] = make(chan struct{}, 1)
	}
	g.calm, g.alarm = context.WithCancel(context.Background())
	return g
}

// beCareful lets one job at a time be taken until all that a dead worker held has come back: its lease is over, or its
// worker has it.
func (g *gate) beCareful(lease time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if until := time.Now().Add(lease + lease/2); until.After(g.careful) {
		g.careful = until
	}
}

// ask calls f, which takes a message, when no suspect is about, and one f of a durable channel at a time while that is
// due. The ctx of f ends when a suspect turns up; again says that f came back because of that. Call release when the
// message has its place.
func (g *gate) ask(ctx context.Context, channel string, durable bool, f func(context.Context) error) (again bool, release func(), err error) {
	release = func() {}
	if durable {
		if release, err = g.turn(ctx, channel); err != nil {
			return false, release, err
		}
	}
	var calm context.Context
	if err = g.wait(ctx, func() bool { calm = g.calm; return g.suspects == 0 }); err == nil {
		asking, stop := context.WithCancel(ctx)
		defer stop()
		defer context.AfterFunc(calm, stop)()
		err = f(asking)
	}
	if err == nil {
		return false, release, nil
	}
	release()
	return calm != nil && calm.Err() != nil && ctx.Err() == nil, func() {}, err
}

// turn waits until it is the caller's to take from a channel.
func (g *gate) turn(ctx context.Context, channel string) (release func(), err error) {
	g.mu.Lock()
	left := time.Until(g.careful)
	g.mu.Unlock()
	if left <= 0 {
		return func() {}, nil
	}
	slot := g.slots[channel]
	t := time.NewTimer(left)
	defer t.Stop()
	select {
	case slot <- struct{}{}:
		return func() { <-slot }, nil
	case <-t.C:
		return func() {}, nil
	case <-ctx.Done():
		return func() {}, ctx.Err()
	}
}

// join takes a place beside others at once.
func (g *gate) join() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running++
}

// share waits for a place beside others, while no suspect is about.
func (g *gate) share(ctx context.Context) error {
	return g.wait(ctx, func() bool {
		if g.suspects > 0 {
			return false
		}
		g.running++
		return true
	})
}

// suspect tells of a job that has to run alone. isolate has to follow.
func (g *gate) suspect(lease time.Duration) {
	g.beCareful(lease)
	g.change(func() { g.suspects++; g.alarm() })
}

// isolate waits until a suspect may run: until all that runs beside has ended. Where ctx ends before, the suspect has gone.
func (g *gate) isolate(ctx context.Context) error {
	t := time.NewTimer(rand.N(jitter))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
	err := g.wait(ctx, func() bool {
		if g.alone || g.running > 0 || ctx.Err() != nil {
			return false
		}
		g.alone = true
		return true
	})
	if err != nil {
		g.change(g.cleared)
	}
	return err
}

// leave gives a place back.
func (g *gate) leave(p place) {
	switch p {
	case shared:
		g.change(func() { g.running-- })
	case solitary:
		g.change(func() { g.alone = false; g.cleared() })
	}
}

// cleared is the end of a suspect. The lock is held.
func (g *gate) cleared() {
	if g.suspects--; g.suspects == 0 {
		g.calm, g.alarm = context.WithCancel(context.Background())
	}
}

// change does something that others may wait for.
func (g *gate) change(f func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f()
	if g.changed != nil {
		close(g.changed)
		g.changed = nil
	}
}

// wait waits until ready, which is called with the lock, says true.
func (g *gate) wait(ctx context.Context, ready func() bool) error {
	for {
		g.mu.Lock()
		if ready() {
			g.mu.Unlock()
			return nil
		}
		if g.changed == nil {
			g.changed = make(chan struct{})
		}
		changed := g.changed
		g.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
