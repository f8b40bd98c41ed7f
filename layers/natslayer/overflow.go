package natslayer

import (
	"errors"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/tideway-go/tideway/layers/driver"
)

// overflow finds out what the client dropped because the delivery channel was full. The client counts that for each
// subscription and tells only the handler of errors, which belongs to the application; so the delivery goroutine
// notes that the channel was full, and the counters are read by another.
type overflow struct {
	noted atomic.Bool
	wake  chan struct{}
}

// note says that the delivery channel is full, or was a moment ago.
func (o *overflow) note() {
	if !o.noted.Load() && !o.noted.Swap(true) {
		o.wake <- struct{}{} // has room: it is emptied before noted is
	}
}

var errOverflow = errors.New("natslayer: messages came faster than this process could deliver them, and were dropped")

// overflowPause is the time between two readings of the counters of one episode.
const overflowPause = time.Second

// countDropped reports what was dropped, with one line in the log for an episode. It ends with life; Close waits for it.
func (n *node) countDropped() {
	defer n.running.Done()
	for {
		select {
		case <-n.life.Done():
			return
		case <-n.overflow.wake:
		}
		for told := false; ; {
			n.overflow.noted.Store(false)
			dropped := n.tellDropped()
			if dropped > 0 && !told {
				told = true
				n.log.Warn(errOverflow.Error(), zap.Int("messages", dropped))
			}
			select {
			case <-n.life.Done():
				return
			case <-time.After(overflowPause):
			}
			if !n.overflow.noted.Load() {
				break
			}
			<-n.overflow.wake
		}
	}
}

// tellDropped reads the counters of all subscriptions.
func (n *node) tellDropped() int {
	var all []missed
	t := &n.groups
	t.mu.Lock()
	for name, g := range t.byName {
		all = g.missed(name, all)
	}
	all = t.channels.missed("", all)
	t.mu.Unlock()
	return n.tell(all)
}

// missed is how many messages of a group the client has dropped since the last time; of channels, when group is empty.
type missed struct {
	group string
	n     int
}

func (g *groupSub) missed(group string, all []missed) []missed {
	total, err := g.sub.Dropped()
	if err != nil || total <= g.dropped {
		return all
	}
	all = append(all, missed{group, total - g.dropped})
	g.dropped = total
	return all
}

// tell reports each message. No lock is held.
func (n *node) tell(all []missed) (messages int) {
	lost := driver.NewMessage("", nil)
	for _, d := range all {
		for range d.n {
			n.host.Dropped("", d.group, lost, errOverflow)
		}
		messages += d.n
	}
	return messages
}
