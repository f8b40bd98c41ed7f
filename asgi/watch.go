package asgi

import (
	"sync"
	"sync/atomic"
	"time"
)

// watchTick is the interval of a Watch: what has run for one whole tick is late.
const watchTick = time.Millisecond / 2

// A Watch tells those who ask when something of theirs takes long: between half a millisecond and a whole one. A server has one
// for all its connections and puts it into their scopes, because a timer for each message would cost more than the
// message does. The zero value is ready. It keeps a timer only while something is watched, and no goroutine.
type Watch struct {
	mu    sync.Mutex
	young watched // since the last tick
	old   watched // since an earlier one
	armed bool
	ticks atomic.Uint32
}

// A Watched is a thing that one Watch can watch; it is part of its owner. It is watched between Start and Stop, until Late.
type Watched struct {
	// Late is called once for each Start, on a goroutine of the Watch's, when the thing takes long. It must not be nil nor
	// block; it may call Start and Stop. It may be called for a moment after Stop, and so after the next Start as well: the
	// owner has to look whether it is still meant.
	Late func()

	next, prev *Watched
}

// watched is a list in the order of Start.
type watched struct{ head Watched }

// Start begins to watch w. Starting twice is starting once.
func (wt *Watch) Start(w *Watched) {
	wt.mu.Lock()
	defer wt.mu.Unlock()
	if w.next != nil {
		return
	}
	wt.young.push(w)
	if !wt.armed {
		wt.armed = true
		time.AfterFunc(watchTick, wt.tick)
	}
}

// Stop ends it. Stopping what is not watched does nothing.
func (wt *Watch) Stop(w *Watched) {
	wt.mu.Lock()
	defer wt.mu.Unlock()
	w.unlink()
}

// Ticks counts half milliseconds, but only while something is watched: enough to see cheaply that one has passed.
func (wt *Watch) Ticks() uint32 { return wt.ticks.Load() }

// tick calls those who were there at the last tick already.
func (wt *Watch) tick() {
	wt.ticks.Add(1)
	wt.mu.Lock()
	var late []*Watched
	for w := wt.old.pop(); w != nil; w = wt.old.pop() {
		late = append(late, w)
	}
	wt.old.take(&wt.young)
	if wt.armed = !wt.old.empty(); wt.armed {
		time.AfterFunc(watchTick, wt.tick)
	}
	wt.mu.Unlock()
	for _, w := range late {
		w.Late()
	}
}

func (l *watched) empty() bool { return l.head.next == nil || l.head.next == &l.head }

func (l *watched) push(w *Watched) {
	if l.head.next == nil {
		l.head.next, l.head.prev = &l.head, &l.head
	}
	w.prev, w.next = l.head.prev, &l.head
	w.prev.next, w.next.prev = w, w
}

func (l *watched) pop() *Watched {
	if l.empty() {
		return nil
	}
	w := l.head.next
	w.unlink()
	return w
}

// take moves all of from, in order; l is empty.
func (l *watched) take(from *watched) {
	if from.empty() {
		return
	}
	first, last := from.head.next, from.head.prev
	l.head.next, l.head.prev = first, last
	first.prev, last.next = &l.head, &l.head
	from.head.next, from.head.prev = &from.head, &from.head
}

func (w *Watched) unlink() {
	if w.next == nil {
		return
	}
	w.prev.next, w.next.prev = w.next, w.prev
	w.next, w.prev = nil, nil
}
