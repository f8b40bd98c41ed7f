package layers

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/tideway-go/tideway/layers/driver"
)

var (
	// ErrChannelFull is returned by Send when the channel holds as many unread messages as its capacity, or 2 MiB of
	// them. Nothing was stored. An [Inbox] returns it when it has no room.
	ErrChannelFull = errors.New("layers: channel is full")

	// ErrMessageTooLarge is returned by Send and GroupSend for a message above Options.MaxMessageSize. Nothing was
	// stored.
	ErrMessageTooLarge = errors.New("layers: message is too large")

	// ErrNoChannel is returned by Send, where the backend can know, and by GroupAdd and Receive for a process-local
	// channel that does not exist or has ended: its connection is gone for good, so a stored name can be deleted. Over a
	// network it may also be that its process has lost the broker for a moment, which nobody else can tell apart.
	ErrNoChannel = errors.New("layers: no such channel")

	// ErrNoLayer is returned by every method of a nil *Layer.
	ErrNoLayer = errors.New("layers: there is no layer; register one at start: layers.Register(layers.Default, memlayer.New(nil))")

	// ErrClosed is returned by every method after Close.
	ErrClosed = errors.New("layers: layer is closed")

	// ErrUncertain is returned by Send when the process that owns the channel did not answer in time: the message
	// may have arrived. It is never sent again by the layer.
	ErrUncertain = errors.New("layers: no answer, the message may have arrived")

	// ErrNotHeld is returned by Retry, Bury and Extend of a [Job] whose hold has run out, where the backend can know:
	// another worker has the job, or will have it. Extend jobs more often than their Lease.
	ErrNotHeld = errors.New("layers: the hold of the job has run out")

	// ErrInvalidName is returned for a channel or group name that breaks the rule, which the error states.
	ErrInvalidName = errors.New("layers: invalid name")
)

// translated are a driver's signals in the layer's words.
var translated = []struct{ from, to error }{
	{driver.ErrFull, ErrChannelFull},
	{driver.ErrNoChannel, ErrNoChannel},
	{driver.ErrUncertain, ErrUncertain},
	{driver.ErrClosed, ErrClosed},
	{driver.ErrTooLarge, ErrMessageTooLarge},
	{driver.ErrNotHeld, ErrNotHeld},
}

// opError is an error of one method: what was tried, on what, and why it failed.
type opError struct {
	op    string // "send to"
	name  string
	cause error
}

func (e *opError) Error() string {
	text := e.cause.Error()
	if len(text) > 8 && text[:8] == "layers: " {
		text = text[8:]
	}
	if e.name == "" {
		return "layers: " + e.op + ": " + text
	}
	return fmt.Sprintf("layers: %s %s: %s", e.op, quote(e.name), text)
}

func (e *opError) Unwrap() error { return e.cause }

// failed wraps a driver's error. An error of ctx stays as it is.
func (l *Layer) failed(op, name string, err error) error {
	switch {
	case err == nil:
		return nil
	case l.closed.Load():
		err = ErrClosed
	case err == context.Canceled || err == context.DeadlineExceeded:
		return err
	}
	for _, t := range translated {
		if err == t.from {
			return &opError{op, name, t.to}
		}
		if errors.Is(err, t.from) {
			return &opError{op, name, &translatedError{err, t.from, t.to}}
		}
	}
	if _, out := l.Outage(); out {
		return &awayError{opError{op, name, err}}
	}
	return &opError{op, name, err}
}

// awayError is an error of the time when the broker is away. Servers that ask an error for its status answer a request, or
// the handshake of a WebSocket, with it: the client may come back.
type awayError struct{ opError }

// StatusCode is 503, Service Unavailable.
func (e *awayError) StatusCode() int { return 503 }

// translatedError keeps a driver's words, but for those of its signal, and matches the layer's sentinel.
type translatedError struct {
	error
	from, as error
}

func (e *translatedError) Error() string {
	return strings.ReplaceAll(e.error.Error(), e.from.Error(), strings.TrimPrefix(e.as.Error(), "layers: "))
}

func (e *translatedError) Unwrap() []error { return []error{e.as, e.error} }

// tooLargeError says by how much.
type tooLargeError struct{ size, limit int }

func (e *tooLargeError) Error() string {
	return fmt.Sprintf("message is too large: %d bytes, the limit is %d (Options.MaxMessageSize)", e.size, e.limit)
}

func (e *tooLargeError) Is(target error) bool { return target == ErrMessageTooLarge }

// quote shows a name in an error, cut where it is hopelessly long.
func quote(name string) string {
	if len(name) > 120 {
		return fmt.Sprintf("%q... (%d bytes)", name[:120], len(name))
	}
	return fmt.Sprintf("%q", name)
}
