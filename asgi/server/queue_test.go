package server

import (
	"bytes"
	"sync"
	"testing"
)

// FuzzQueue pushes frames and takes bytes by turns: they come out as they went in, whatever the sizes, and the count is right.
func FuzzQueue(f *testing.F) {
	f.Add([]byte{1, 2, 3, 200, 0, 5}, uint8(7))
	f.Add([]byte{255, 255, 255, 9}, uint8(200))
	f.Fuzz(func(t *testing.T, sizes []byte, room uint8) {
		var pool sync.Pool
		var q queue
		var want, got []byte
		scratch := make([]byte, 0, int(room)+1)
		take := func() {
			if q.count == 0 {
				return
			}
			b, _ := q.fill(&pool, scratch[:0])
			if len(b) == 0 && q.bytes > 0 {
				t.Fatal("fill took nothing")
			}
			got = append(got, b...)
			q.written(len(b))
		}
		for i, n := range sizes {
			e := entry{body: bytes.Repeat([]byte{byte(i)}, int(n))}
			if n%3 == 0 {
				e.n = uint8(len(appendHeader(e.head[:0], opText, int(n))))
			}
			want = append(append(want, e.head[:e.n]...), e.body...)
			q.push(&pool, e)
			if n%2 == 0 {
				take()
			}
			if waits := len(want) - len(got); q.bytes != waits {
				t.Fatalf("the queue counts %d bytes, %d wait", q.bytes, waits)
			}
		}
		for q.count > 0 {
			take()
		}
		if !bytes.Equal(got, want) {
			t.Errorf("got % x\nwant % x", got, want)
		}
		if q.rest != nil {
			t.Error("the empty queue keeps its list")
		}
	})
}

// What is in scratch already, a pong, goes first, also before a frame that would else be written as it is.
func TestQueueFillAppends(t *testing.T) {
	var pool sync.Pool
	var q queue
	q.push(&pool, entry{body: []byte("frame")})
	if b, joined := q.fill(&pool, append(make([]byte, 0, 64), "pong "...)); string(b) != "pong frame" || !joined {
		t.Errorf("got %q, joined %v", b, joined)
	}
	q.push(&pool, entry{body: []byte("frame")})
	if b, joined := q.fill(&pool, make([]byte, 0, 64)); string(b) != "frame" || joined {
		t.Errorf("got %q, joined %v", b, joined)
	}
}
