package natslayer

import (
	"context"
	"strings"

	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/driver"
)

// What a process asks of another: a verb, a group and a channel, with one space between.
const (
	askJoin  = "join"
	askLeave = "leave"
)

// requestBound is how many requests of other processes may wait. More are dropped, and whoever asked hears nothing.
const requestBound = 1024

// ask makes the process that owns a channel change a membership.
func (n *node) ask(ctx context.Context, process, verb, group, channel string) error {
	return n.request(ctx, n.subjects.control(process), []byte(verb+" "+group+" "+channel))
}

// serve answers requests of other processes, one after the other, on a goroutine of their own: a join waits for the
// broker, which the delivery goroutine must not. It ends with life; Close waits for it.
func (n *node) serve() {
	defer n.running.Done()
	for {
		select {
		case m := <-n.requests:
			n.answer(m, n.obey(string(m.Data)))
		case <-n.life.Done():
			return
		}
	}
}

func (n *node) obey(request string) []byte {
	words := strings.Split(request, " ")
	if len(words) != 3 || layers.CheckGroup(words[1]) != nil {
		return answerInvalid
	}
	verb, group, channel := words[0], words[1], words[2]
	switch verb {
	case askJoin:
		ctx, cancel := context.WithTimeout(n.life, answerTime)
		defer cancel()
		switch err := n.join(ctx, group, channel); err {
		case nil:
			return answerOK
		case driver.ErrNoChannel:
			return answerGone
		default:
			return failed(err)
		}
	case askLeave:
		n.leave(group, channel)
		return answerOK
	default:
		return answerInvalid
	}
}
