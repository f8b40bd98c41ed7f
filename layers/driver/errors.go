package driver

import "errors"

// What a driver and an inbox signal. The layer turns them into its own errors, once.
var (
	// ErrFull: the channel has no room, and nothing was stored.
	ErrFull = errors.New("driver: channel is full")
	// ErrNoChannel: there is no such process-local channel, or it has ended.
	ErrNoChannel = errors.New("driver: no such channel")
	// ErrUncertain: the message may have arrived; the answer did not come. Never returned for something that was
	// refused, and never a reason to send again.
	ErrUncertain = errors.New("driver: no answer, the message may have arrived")
	// ErrTooLarge: the broker takes no message of this size. (The layer's own limit is checked before.)
	ErrTooLarge = errors.New("driver: message is too large")
	// ErrExpired: the message waited for longer than Limits.Expiry. Only an argument of Host.Dropped.
	ErrExpired = errors.New("driver: message has expired")
	// ErrNotHeld: the hold of a job has run out, and it cannot be given back, buried or extended any more.
	ErrNotHeld = errors.New("driver: the hold of the job has run out")
	// ErrClosed: the driver is closed.
	ErrClosed = errors.New("driver: closed")
)
