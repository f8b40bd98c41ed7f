package natslayer

import (
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/tideway-go/tideway/layers/driver"
)

// deliveryBound is how many messages may wait for the delivery goroutine. It waits for nobody, so they do only while the
// machine is busy. The client drops what comes when it is full; see overflow.
const deliveryBound = 65_536

// deliver is the one goroutine that hands messages to channels, so that what one sender sent arrives in its order,
// direct or by group. It ends with theEnd, which Close puts in.
func (n *node) deliver() {
	defer n.running.Done()
	defer close(n.stopped)
	for m := range n.in {
		if m == theEnd {
			return
		}
		n.dispatch(m)
		if len(n.in) >= cap(n.in)-1 { // the client, which never waits, may have found it full
			n.overflow.note()
		}
	}
}

// theEnd is a message that nobody sent: the last one.
var theEnd = &nats.Msg{}

func (n *node) dispatch(m *nats.Msg) {
	switch {
	case strings.HasPrefix(m.Subject, n.subjects.groups):
		n.deliverGroup(m)
	case strings.HasPrefix(m.Subject, n.subjects.channels):
		n.deliverDirect(m)
	case m.Subject == n.subjects.marks():
		n.meet(m.Data)
	case m.Subject == n.subjects.flush():
		n.flushHere(m)
	}
}

func (n *node) deliverGroup(m *nats.Msg) {
	group := n.subjects.groupOf(m.Subject)
	if n.local.Members(group) == 0 {
		return // the subscription is kept for a while after the last has left
	}
	if msg, ok := n.host.Message("", m.Data, time.Time{}); ok {
		n.local.DeliverGroup(group, msg)
	}
}

func (n *node) deliverDirect(m *nats.Msg) {
	channel := n.subjects.channelOf(m.Subject)
	msg, ok := n.host.Message(channel, m.Data, time.Time{})
	if !ok {
		n.answer(m, answerInvalid)
		return
	}
	switch err := n.local.Deliver(channel, msg); err {
	case nil:
		n.answer(m, answerOK)
	case driver.ErrFull:
		n.answer(m, answerFull)
	case driver.ErrNoChannel:
		n.answer(m, answerGone)
	default:
		n.answer(m, failed(err))
	}
}
