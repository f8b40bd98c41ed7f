package natslayer

import (
	"errors"
	"fmt"
	"sync"

	"github.com/tideway-go/tideway/layers/driver"
)

// outboxBytes bounds the group messages that are kept during an outage, with their subjects.
const outboxBytes = 8 << 20

// outbox keeps the messages that are sent to groups during an outage. The client would keep them too, but behind its lock,
// which it holds while it tries a server that does not answer.
type outbox struct {
	mu      sync.Mutex
	kept    []letter
	bytes   int
	sending int // messages that are sent on now
}

type letter struct {
	subject string
	data    []byte
}

var errOutboxFull = errors.New("what may wait for it is used up")

// keep takes a message if there is an outage. A message that is sent after its end is not kept, and is behind those that were.
func (b *outbox) keep(l *link, subject string, m *driver.Message) (kept bool, err error) {
	if l.lost.Load() == nil {
		return false, nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	o := l.lost.Load()
	switch size := len(subject) + len(m.Data()); {
	case o == nil:
		return false, nil
	case o.final:
		return false, o.err
	case b.bytes+size > outboxBytes:
		return false, fmt.Errorf("%w, and %w", o.err, errOutboxFull)
	default:
		b.bytes += size
		b.kept = append(b.kept, letter{subject, m.Data()})
		return true, nil
	}
}

// take empties the outbox. When there is nothing in it, it ends the outage instead, so that nobody is kept any more.
func (b *outbox) take(end func()) []letter {
	b.mu.Lock()
	defer b.mu.Unlock()
	kept := b.kept
	b.kept, b.bytes, b.sending = nil, 0, len(kept)
	if len(kept) == 0 {
		end()
	}
	return kept
}

// giveBack puts first what could not be sent.
func (b *outbox) giveBack(kept []letter) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range kept {
		b.bytes += len(l.subject) + len(l.data)
	}
	b.kept, b.sending = append(kept, b.kept...), 0
}

// len is how many messages have not been sent on.
func (b *outbox) len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.kept) + b.sending
}
