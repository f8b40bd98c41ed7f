package layers

import (
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/tideway-go/tideway/layers/driver"
)

// Inbox is the receiving end of a process-local channel that is pushed to: a consumer's mailbox. [Layer.Listen] gives
// it a channel.
//
// Deliver never blocks. It returns nil when it took m, [ErrChannelFull] when it has no room, [ErrNoChannel] when it
// has ended. It is called concurrently, by the goroutines of senders, which wait for it; what one goroutine
// sends is delivered in that order. The layer holds no lock meanwhile, and recovers a panic, which drops that message
// for that inbox alone. For a moment after EndChannel returned, a send that had begun before may still deliver.
//
// An inbox checks [Message.Expired] when it handles the message, bounds what it holds by [Layer.Capacity] messages
// and 2 MiB, and reports to [Layer.Dropped] what it drops after taking it. If it has a method Flush(), that is
// called by [Layer.Flush].
type Inbox interface {
	Deliver(m Message) error
}

// port stands between a driver and an inbox: it translates, and keeps a panic from the sender.
type port struct{ in Inbox }

// Deliver implements driver.Inbox.
func (p port) Deliver(m *driver.Message) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &panicError{v, debug.Stack()}
		}
	}()
	switch err := p.in.Deliver(Message{m: m}); {
	case err == nil:
		return nil
	case errors.Is(err, ErrChannelFull):
		return driver.ErrFull
	case errors.Is(err, ErrNoChannel):
		return driver.ErrNoChannel
	default:
		return err
	}
}

// Flush passes a flush on.
func (p port) Flush() {
	if f, ok := p.in.(interface{ Flush() }); ok {
		f.Flush()
	}
}

// panicError is what an inbox panicked with.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("inbox panicked: %v\n%s", e.value, e.stack) }
