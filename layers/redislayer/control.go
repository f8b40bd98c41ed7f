package redislayer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/tideway-go/tideway/layers/driver"
	"github.com/tideway-go/tideway/layers/internal/payload"
)

// Tideway processes ask each other for what channels_redis cannot do: to change a membership of a channel of the other, and
// to drop all. Requests and answers are messages of types that begin with "layer.", which nobody can send. They
// go to names that no channel has: behind the "!" comes a dot.
const (
	askType    = "layer.ask"
	answerType = "layer.answer"

	askJoin  = "join"
	askLeave = "leave"
	askFlush = "flush"

	tidy = "tidy" // what this process asks itself: to stop hearing a group
)

// requestBound is how many requests of others may wait; what is more goes unanswered.
const requestBound = 1024

// request is what another process asks.
type request struct {
	verb, group, channel string
	reply                string // where the answer goes
}

// answer is what it says.
type answer struct{ text string }

const (
	answerDone = "done"
	answerGone = "gone"
)

// askedTable is who waits for which answers.
type askedTable struct {
	mu   sync.Mutex
	byID map[string]chan answer
}

func (t *askedTable) open(id string) chan answer {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := make(chan answer, requestBound)
	t.byID[id] = c
	return c
}

func (t *askedTable) close(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.byID, id)
}

// came hands an answer to who waits for it, if anybody does.
func (t *askedTable) came(id string, a answer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.byID[id]; c != nil {
		select {
		case c <- a:
		default: // more than anybody counts
		}
	}
}

// replyName is where answers for one request go.
func (p *pubsub) replyName() string {
	return fmt.Sprintf("%s.%d", p.process(), p.asks.Add(1))
}

// ask asks the process of a channel to change a membership.
func (p *pubsub) ask(ctx context.Context, channel, verb, group string) error {
	limited, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	id := p.replyName()
	answers := p.asked.open(id)
	defer p.asked.close(id)
	heard, err := p.request(limited, nonLocal(channel)+".ask", request{verb, group, channel, id})
	switch {
	case err != nil:
		return ended(ctx, err)
	case heard == 0:
		return driver.ErrNoChannel
	}
	select {
	case a := <-answers:
		switch a.text {
		case answerDone:
			return nil
		case answerGone:
			return driver.ErrNoChannel
		}
		return errors.New("the process of the channel answers: " + a.text)
	case <-limited.Done():
		return ended(ctx, fmt.Errorf("no answer of the process of the channel for %v", answerTime))
	}
}

// request publishes a request.
func (p *pubsub) request(ctx context.Context, to string, r request) (heard int64, err error) {
	fields := map[string]string{"verb": r.verb, "group": r.group, "channel": r.channel, "reply": r.reply}
	data, err := payload.Marshal(askType, &fields)
	if err != nil {
		return 0, err
	}
	return p.publish(ctx, to, data)
}

// control takes a request or an answer. It runs on a connection's goroutine.
func (p *pubsub) control(name string, data []byte) {
	typ, err := payload.Check(data)
	if err != nil {
		p.complain(name, err)
		return
	}
	fields, err := payload.Fields(data)
	if err != nil {
		p.complain(name, err)
		return
	}
	text := func(key string) string { s, _ := fields[key].(string); return s }
	switch typ {
	case answerType:
		p.asked.came(name, answer{text("text")})
	case askType:
		select {
		case p.requests <- request{text("verb"), text("group"), text("channel"), text("reply")}:
		default: // who asked hears nothing
		}
	}
}

// serve does what others ask, one after the other. It ends with life; Close waits for it.
func (p *pubsub) serve() {
	defer p.running.Done()
	for {
		select {
		case r := <-p.requests:
			p.obey(r)
		case <-p.life.Done():
			return
		}
	}
}

func (p *pubsub) obey(r request) {
	ctx, cancel := context.WithTimeout(p.life, answerTime)
	defer cancel()
	said := answerDone
	switch err := p.change(ctx, r); {
	case errors.Is(err, driver.ErrNoChannel):
		said = answerGone
	case err != nil:
		said, _, _ = strings.Cut(err.Error(), "\n")
	}
	if !strings.Contains(r.reply, "!.") {
		return
	}
	if data, err := payload.Marshal(answerType, &map[string]string{"text": said}); err == nil {
		_, _ = p.publish(ctx, r.reply, data) // without it the other side says so
	}
}

func (p *pubsub) change(ctx context.Context, r request) error {
	switch r.verb {
	case askJoin:
		return p.join(ctx, r.group, r.channel)
	case askLeave:
		if p.local.Leave(r.group, r.channel) {
			_ = p.unsubscribe(ctx, r.group) // if it fails the connection is lost
		}
		return nil
	case tidy:
		_ = p.unsubscribe(ctx, r.group)
		return nil
	case askFlush:
		p.flushed(ctx)
		return nil
	default:
		return fmt.Errorf("unknown verb %q", r.verb)
	}
}

// flushed drops what this process holds.
func (p *pubsub) flushed(ctx context.Context) {
	p.local.Flush()
	p.groups.mu.Lock()
	names := make([]string, 0, len(p.groups.byName))
	for name := range p.groups.byName {
		names = append(names, name)
	}
	p.groups.mu.Unlock()
	for _, name := range names {
		_ = p.unsubscribe(ctx, name) // if it fails the connection is lost
	}
}

// Flush implements driver.Flusher: it asks all Tideway processes of the prefix. Python processes keep what they have.
func (p *pubsub) Flush(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	id := p.replyName()
	answers := p.asked.open(id)
	defer p.asked.close(id)
	heard, err := p.request(limited, p.keys.all(), request{verb: askFlush, reply: id})
	if err != nil {
		return ended(ctx, err)
	}
	for n := int64(0); n < heard; n++ {
		select {
		case <-answers:
		case <-limited.Done():
			return ended(ctx, fmt.Errorf("%d of %d processes have not answered for %v", heard-n, heard, answerTime))
		}
	}
	return nil
}
