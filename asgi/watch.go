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
//
// What is watched stands in a seat for as long. Seats come from a pool, so that nearly always a processor uses one of its own
// again and again: there are a few of them for many connections, Start and Stop write where nobody else does, and a tick
// looks at a few places.
type Watch struct {
	ticks atomic.Uint32
	armed atomic.Bool // a tick is to come; changes under mu
	seats sync.Pool   // *seat: those that nobody uses

	mu     sync.Mutex
	listed []*seat // those that a tick looks at
}

// A Watched is a thing that one Watch can watch; it is part of its owner. It is watched between Start and Stop, until Late.
type Watched struct {
	// Late is called once for each Start, on a goroutine of the Watch's, when the thing takes long. It must not be nil nor
	// block; it may call Start and Stop. It may be called for a moment after Stop, and so after the next Start as well: the
	// owner has to look whether it is still meant.
	Late func()

	seat *seat // from Start to Stop
}

// A seat is where one Watched stands, or none.
type seat struct {
	who    atomic.Pointer[Watched]
	since  atomic.Uint32 // the tick of the last Start
	listed atomic.Bool   // changes under the Watch's lock
	_      [48]byte      // to the end of a cache line: no other processor writes here
}

// seatTicks is how long a tick goes on to look at a seat that is not used.
const seatTicks = 4

// Start begins to watch w. Starting twice is starting once. Start and Stop are not called at once for the same w.
func (wt *Watch) Start(w *Watched) {
	s := w.seat
	if s == nil {
		if s, _ = wt.seats.Get().(*seat); s == nil {
			s = new(seat)
		}
		w.seat = s
	} else if s.who.Load() != nil {
		return
	}
	s.since.Store(wt.ticks.Load())
	s.who.Store(w)
	// A tick writes both before it looks at the seat. So either it sees w there, or its work is seen here.
	if !wt.armed.Load() || !s.listed.Load() {
		wt.expect(s)
	}
}

// Stop ends it. Stopping what is not watched does nothing.
func (wt *Watch) Stop(w *Watched) {
	if s := w.seat; s != nil {
		w.seat = nil
		s.who.Store(nil)
		wt.seats.Put(s)
	}
}

// expect sees to it that there is a tick, and that it looks at s.
func (wt *Watch) expect(s *seat) {
	wt.mu.Lock()
	defer wt.mu.Unlock()
	if !s.listed.Load() {
		s.listed.Store(true)
		wt.listed = append(wt.listed, s)
	}
	wt.armLocked()
}

func (wt *Watch) armLocked() {
	if !wt.armed.Load() {
		wt.armed.Store(true)
		time.AfterFunc(watchTick, wt.tick)
	}
}

// Ticks counts half milliseconds, but only while something is watched: enough to see cheaply that one has passed.
func (wt *Watch) Ticks() uint32 { return wt.ticks.Load() }

// tick calls those who were there at the last tick already.
func (wt *Watch) tick() {
	now := wt.ticks.Add(1)
	wt.mu.Lock()
	wt.armed.Store(false)
	var late []*Watched
	kept := wt.listed[:0]
	for _, s := range wt.listed {
		if w := s.lateAt(now); w != nil {
			late = append(late, w)
		}
		if s.inUse(now) {
			kept = append(kept, s)
		}
		if s.who.Load() != nil {
			wt.armLocked()
		}
	}
	clear(wt.listed[len(kept):])
	wt.listed = kept
	wt.mu.Unlock()
	for _, w := range late {
		w.Late()
	}
}

// lateAt takes who has been in the seat for a whole tick out of it.
func (s *seat) lateAt(now uint32) *Watched {
	if w := s.who.Load(); w != nil && now-s.since.Load() > 1 && s.who.CompareAndSwap(w, nil) {
		return w
	}
	return nil
}

// inUse reports whether the seat stays listed. Who takes it at this moment sees that it is not, and waits for the lock.
func (s *seat) inUse(now uint32) bool {
	if s.who.Load() == nil && now-s.since.Load() > seatTicks {
		s.listed.Store(false)
		if s.who.Load() == nil {
			return false
		}
		s.listed.Store(true)
	}
	return true
}
