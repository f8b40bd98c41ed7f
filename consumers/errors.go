package consumers

import (
	"context"
	"errors"
	"fmt"

	"github.com/tideway-go/tideway/asgi"
)

// ErrStop, returned by a handler, ends the connection quietly: a WebSocket closes with 1000, an HTTP request without a
// response is answered with 204, a worker's instance is replaced by a fresh one; nothing is logged.
var ErrStop = errors.New("consumers: stop")

// quiet reports whether err, returned by a handler, says only that this connection has ended or is to end. An
// [asgi.ErrClosed] of some other connection does not: returning that is a failure like any other.
func (c *Conn) quiet(err error) bool {
	switch {
	case err == nil || errors.Is(err, ErrStop):
		return true
	case errors.Is(err, asgi.ErrClosed) && (c.gone.Load() || c.over()):
		return true
	}
	return c.life.Err() != nil && (errors.Is(err, c.life.Err()) || errors.Is(err, context.Cause(&c.life)))
}

// failing is the error that ends the connection because a handler returned err, or nil. Of another connection's ErrClosed
// only the text is kept: to the server it would mean that this one is over.
func (c *Conn) failing(err error) error {
	switch {
	case errors.Is(err, ErrStop):
		return err
	case c.quiet(err):
		return nil
	case errors.Is(err, asgi.ErrClosed):
		return fmt.Errorf("consumers: %s: a handler returned an error of another connection: %v", c.table.name, err)
	}
	return err
}
