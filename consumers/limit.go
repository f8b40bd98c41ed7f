package consumers

import (
	"context"
	"fmt"
)

// A Limit bounds how many blocking handlers run at once among all tables that name it, such as the size of a
// database's pool. The Disconnect hook has a slot of its own.
type Limit struct {
	slots chan struct{}
}

// NewLimit makes a Limit of n handlers. It panics unless n is positive.
func NewLimit(n int) *Limit {
	if n <= 0 {
		panic(fmt.Sprintf("consumers: NewLimit(%d): give the number of handlers that may run at once, at least 1", n))
	}
	return &Limit{slots: make(chan struct{}, n)}
}

// run calls f in a slot. Waiting for one ends with ctx. A nil Limit bounds nothing.
func (l *Limit) run(ctx context.Context, f func() error) error {
	if l == nil {
		return f()
	}
	select {
	case l.slots <- struct{}{}: // first, so that the end of ctx does not keep a handler from a free slot
	default:
		select {
		case l.slots <- struct{}{}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	defer func() { <-l.slots }()
	return f()
}
