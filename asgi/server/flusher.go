package server

import "sync"

// flushers write what broadcasts have put into queues. A few goroutines take connections from a run queue and write
// without blocking, so that a slow peer costs the others nothing. They start with the first connection in the queue and end
// with the last connection of the server.
type flushers struct {
	mu      sync.Mutex
	wake    sync.Cond
	max     int
	running int
	parked  int
	stop    bool
	run     []*conn // from head
	head    int
	writers *writerPool
	wg      sync.WaitGroup
}

func newFlushers(n int, writers *writerPool) *flushers {
	f := &flushers{max: n, writers: writers}
	f.wake.L = &f.mu
	return f
}

// add puts a connection at the end of the run queue. The caller holds c.mu.
func (f *flushers) add(c *conn) {
	f.mu.Lock()
	f.run = append(f.run, c)
	switch {
	case f.parked > 0:
		f.parked--
		f.wake.Signal()
	case f.running < f.max:
		f.running++
		f.wg.Go(f.work)
	}
	f.mu.Unlock()
}

// grab is how many connections a flusher takes at once.
const grab = 8

// work is one flusher.
func (f *flushers) work() {
	var mine [grab]*conn
	w := f.writers.get()
	f.mu.Lock()
	for {
		n := f.takeLocked(mine[:])
		if n == 0 {
			if f.stop {
				break
			}
			f.parked++
			f.wake.Wait()
			continue
		}
		f.mu.Unlock()
		for i, c := range mine[:n] {
			mine[i] = nil
			if c.startWrite(true) {
				c.writeUnlock(w)
			}
		}
		f.mu.Lock()
	}
	f.running--
	f.mu.Unlock()
	f.writers.put(w)
}

// takeLocked moves connections to mine, a fair share of what waits.
func (f *flushers) takeLocked(mine []*conn) int {
	waiting := len(f.run) - f.head
	n := min(len(mine), (waiting+f.max-1)/f.max)
	copy(mine, f.run[f.head:f.head+n])
	clear(f.run[f.head : f.head+n])
	f.head += n
	if f.head == len(f.run) {
		f.run, f.head = f.run[:0], 0
		if cap(f.run) > maxRunQueue {
			f.run = nil
		}
	}
	return n
}

// maxRunQueue is the capacity above which an empty run queue is given back.
const maxRunQueue = 4096

// rest ends the flushers when there is no connection, and lets them start again with the next.
func (f *flushers) rest(stop bool) {
	f.mu.Lock()
	f.stop = stop
	if stop {
		f.parked = 0
		f.wake.Broadcast()
	}
	f.mu.Unlock()
}
