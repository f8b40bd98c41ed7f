package layers

import (
	"errors"

	"github.com/tideway-go/tideway/layers/driver"
)

// Drop is a message that a channel did not get.
type Drop struct {
	Channel string // whose; may be empty where it is not known
	Group   string // the group it was sent to; empty for a direct message, and where it is not known
	Type    string // the message's type; empty when it could not be read
	Reason  DropReason
	Err     error // what happened, where there is more to say; else nil
}

// DropReason says why a message was dropped.
type DropReason string

// The reasons. A consumer may report reasons of its own with [Layer.Dropped].
const (
	DropFull     DropReason = "full"     // a member of a group had no room
	DropExpired  DropReason = "expired"  // it waited unread for longer than Options.Expiry
	DropUnlisted DropReason = "unlisted" // the consumer has no handler for its type
	DropInvalid  DropReason = "invalid"  // it could not be decoded, is of a reserved type, or came from outside too large
	DropPanic    DropReason = "panic"    // the inbox panicked
	DropFailed   DropReason = "failed"   // the inbox or the backend returned another error
)

// Dropped counts a message that a consumer dropped after its inbox had taken it, and tells Options.OnDrop. On a nil
// layer it does nothing.
func (l *Layer) Dropped(d Drop) {
	if l == nil {
		return
	}
	l.count.drop(d.Reason)
	if l.opts.OnDrop != nil {
		l.opts.OnDrop(d)
	}
}

// dropped is the driver's way to say it.
func (l *Layer) dropped(channel, group string, m *driver.Message, cause error) {
	d := Drop{Channel: channel, Group: group, Type: m.Type()}
	var p *panicError
	switch {
	case errors.Is(cause, driver.ErrFull):
		d.Reason = DropFull
	case errors.Is(cause, driver.ErrExpired):
		d.Reason = DropExpired
	case errors.As(cause, &p):
		d.Reason, d.Err = DropPanic, cause
	default:
		d.Reason, d.Err = DropFailed, cause
	}
	l.Dropped(d)
}
