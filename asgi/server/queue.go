package server

import "sync"

// An entry is one frame, or what is left of it: a header of its own, and bytes that may be shared with other connections.
type entry struct {
	body []byte
	head [maxHeader]byte
	n    uint8 // length of head
}

func (e *entry) size() int { return int(e.n) + len(e.body) }

// take moves as much as fits to the end of b, and reports whether that was all.
func (e *entry) take(b []byte) ([]byte, bool) {
	if e.n > 0 {
		k := copy(b[len(b):cap(b)], e.head[:e.n])
		b = b[:len(b)+k]
		e.n = uint8(copy(e.head[:], e.head[k:e.n]))
	}
	k := copy(b[len(b):cap(b)], e.body)
	e.body = e.body[k:]
	return b[:len(b)+k], e.size() == 0
}

// A queue holds the frames of one connection that wait to be written, in order. Nearly always that is none or one, which
// needs no memory besides the queue itself; a list for more is borrowed from a pool and given back.
type queue struct {
	first entry // valid if count > 0
	rest  *entryList
	count int // frames
	bytes int // bytes that wait here, and those that a writer has taken and not yet written
}

// entryList is what a queue borrows.
type entryList struct {
	list []entry
	head int
}

// maxPooledEntries keeps a queue that once was long from making the pool heavy.
const maxPooledEntries = 64

func (q *queue) push(pool *sync.Pool, e entry) {
	q.bytes += e.size()
	q.count++
	if q.count == 1 {
		q.first = e
		return
	}
	if q.rest == nil {
		q.rest, _ = pool.Get().(*entryList)
		if q.rest == nil {
			q.rest = &entryList{list: make([]entry, 0, 8)}
		}
	}
	q.rest.list = append(q.rest.list, e)
}

// fill returns bytes to write next: those of a single ready frame as they are, or joined, b and after it all that fits its
// capacity. They stay counted until written is called.
func (q *queue) fill(pool *sync.Pool, b []byte) (p []byte, joined bool) {
	if q.count == 1 && q.first.n == 0 && len(b) == 0 {
		p := q.first.body
		q.pop(pool)
		return p, false
	}
	for q.count > 0 {
		var whole bool
		if b, whole = q.first.take(b); !whole {
			break
		}
		q.pop(pool)
	}
	return b, true
}

// pop removes the first frame.
func (q *queue) pop(pool *sync.Pool) {
	q.count--
	r := q.rest
	if q.count == 0 {
		q.first = entry{}
		q.release(pool)
		return
	}
	q.first = r.list[r.head]
	r.list[r.head] = entry{}
	r.head++
}

// written uncounts bytes that fill returned.
func (q *queue) written(n int) { q.bytes -= n }

// drop forgets everything.
func (q *queue) drop(pool *sync.Pool) {
	if q.rest != nil {
		clear(q.rest.list)
	}
	q.first, q.count, q.bytes = entry{}, 0, 0
	q.release(pool)
}

func (q *queue) release(pool *sync.Pool) {
	if r := q.rest; r != nil {
		q.rest = nil
		if cap(r.list) <= maxPooledEntries {
			r.list, r.head = r.list[:0], 0
			pool.Put(r)
		}
	}
}
