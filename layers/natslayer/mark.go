package natslayer

import (
	"context"
	"strconv"
	"sync"

	"github.com/tideway-go/tideway/layers/driver"
)

// A mark is a message of this process to itself. When it is back, the broker has done all that the process asked of it
// before, and what the broker had passed on before is delivered: subscriptions are in effect, and a membership that
// begins at the mark gets nothing older.
//
// The client's Flush waits for an answer to a ping, and takes the answer to somebody else's for its own once a
// connection broke at the wrong moment; a mark has a number.
type mark struct {
	group, channel string // of a membership that begins now; empty for none
	done           chan error
}

// marks are those on their way.
type marks struct {
	mu   sync.Mutex
	last uint64
	all  map[uint64]*mark
}

func (t *marks) add(m *mark) (number uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.all == nil {
		t.all = make(map[uint64]*mark)
	}
	t.last++
	t.all[t.last] = m
	return t.last
}

// take returns a mark, once: to the delivery goroutine, or to whoever gives it up.
func (t *marks) take(number uint64) *mark {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.all[number]
	delete(t.all, number)
	return m
}

// settle returns when a mark is back. During an outage it waits for the connection.
func (n *node) settle(ctx context.Context) error { return n.pass(ctx, &mark{}) }

// pass sends a mark and waits for it.
func (n *node) pass(ctx context.Context, m *mark) error {
	m.done = make(chan error, 1)
	number := n.marks.add(m)
	err := n.nc.Publish(n.subjects.marks(), strconv.AppendUint(nil, number, 10))
	if err == nil {
		select {
		case err := <-m.done:
			return err
		case <-ctx.Done():
			err = errNoBroker
		case <-n.stopped:
			err = driver.ErrClosed
		}
	}
	if n.marks.take(number) != nil { // nobody will meet it now
		return err
	}
	return <-m.done
}

// meet runs on the delivery goroutine. A mark that somebody gave up, or has forged, is none.
func (n *node) meet(payload []byte) {
	number, _ := strconv.ParseUint(string(payload), 10, 64)
	m := n.marks.take(number)
	if m == nil {
		return
	}
	var err error
	if m.group != "" {
		_, err = n.local.Join(m.group, m.channel)
	}
	m.done <- err
}
