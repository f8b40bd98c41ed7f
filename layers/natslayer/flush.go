package natslayer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// stall is how long no answer must come until Flush takes it that all have answered: nobody knows how many processes
// there are.
const stall = 250 * time.Millisecond

// Flush implements driver.Flusher: it asks all processes of the prefix, and empties the queues.
func (n *node) Flush(ctx context.Context) error {
	if err := n.flushProcesses(ctx); err != nil {
		return ended(ctx, err)
	}
	return n.store.flush(ctx)
}

func (n *node) flushProcesses(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	if err := n.link.wait(limited); err != nil {
		return err
	}
	inbox, answers := n.nc.NewRespInbox(), make(chan *nats.Msg, 1024)
	sub, err := n.nc.ChanSubscribe(inbox, answers)
	if err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only when the connection is closed
	if err := n.nc.PublishRequest(n.subjects.flush(), inbox, nil); err != nil {
		return err
	}
	patience := answerTime // until the first answer, our own or another's
	for heard := 0; ; heard++ {
		timer := time.NewTimer(patience)
		select {
		case <-answers:
			timer.Stop()
			patience = stall
			continue
		case <-timer.C:
		case <-limited.Done():
			timer.Stop()
		}
		if heard == 0 {
			return errNoAnswer
		}
		return nil
	}
}

var errNoAnswer = errors.New("no process answered, not even this one")

// flushHere ends this process's memberships. It runs on the delivery goroutine, so what was sent before the flush is
// dropped with it.
func (n *node) flushHere(m *nats.Msg) {
	n.local.Flush()
	n.idle.all()
	n.answer(m, answerOK)
}
