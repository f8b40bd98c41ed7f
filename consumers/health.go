package consumers

import (
	"errors"
	"sync"
	"time"
)

// WorkerHealth is what a [Worker] says of itself. The counts are since its first Run.
type WorkerHealth struct {
	Running bool   // Run has not returned
	Busy    int    // messages that are handled now
	Done    uint64 // messages whose handler has succeeded
	Failed  uint64 // tries that ended with an error or a panic, and messages of plain queues that no handler could be called with
	Buried  uint64 // jobs that were moved to the dead letters

	// Err is why the layer does not answer: of an outage that lasts, or of the last try; nil when it answers. Since is
	// when that began.
	Err   error
	Since time.Time
}

// Health tells how the worker is. A readiness probe looks at Running and Err; an alarm at Buried:
//
//	if h := w.Health(); !h.Running || h.Err != nil {
//		http.Error(rw, "the worker has no work", http.StatusServiceUnavailable)
//	}
//
// A copy of a Worker has a health of its own, unless it was made after the first Run or Health.
func (w *Worker) Health() WorkerHealth {
	s := w.getState()
	s.mu.Lock()
	h := s.health
	h.Running = s.runs > 0
	s.mu.Unlock()
	if out, ok := w.Layer.Outage(); ok {
		h.Err, h.Since = errors.New(out.Cause), out.Since
	}
	return h
}

// workerState is what Health tells, and what it is made of.
type workerState struct {
	mu     sync.Mutex
	runs   int
	health WorkerHealth
}

// makingState guards Worker.state: Run and Health may be the first at the same time.
var makingState sync.Mutex

func (w *Worker) getState() *workerState {
	makingState.Lock()
	defer makingState.Unlock()
	if w.state == nil {
		w.state = new(workerState)
	}
	return w.state
}

// run counts a Run, and returns what ends it.
func (s *workerState) run() (end func()) {
	add := func(n int) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.runs += n
	}
	add(1)
	return func() { add(-1) }
}

func (s *workerState) count(f func(*WorkerHealth)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.health)
}

// begin counts a message that was taken, end one that has ended.
func (s *workerState) begin() { s.count(func(h *WorkerHealth) { h.Busy++ }) }

func (s *workerState) end(f func(*WorkerHealth)) {
	s.count(func(h *WorkerHealth) { h.Busy--; f(h) })
}

// answered notes that the layer answers, failing that it does not.
func (s *workerState) answered() {
	s.count(func(h *WorkerHealth) { h.Err, h.Since = nil, time.Time{} })
}

func (s *workerState) failing(err error) {
	s.count(func(h *WorkerHealth) {
		if h.Err == nil {
			h.Since = time.Now()
		}
		h.Err = err
	})
}

// settled is how long a try has to go on without an error to count as an answer: an empty queue gives none.
const settled = time.Second

// asking begins a wait for a message, and returns what ends it.
func (s *workerState) asking() (end func()) {
	s.mu.Lock()
	healthy := s.health.Err == nil
	s.mu.Unlock()
	if healthy {
		return func() {}
	}
	t := time.AfterFunc(settled, s.answered)
	return func() { t.Stop() }
}
