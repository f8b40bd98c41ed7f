package consumers

import (
	"context"
	"errors"

	"github.com/tideway-go/tideway/asgi"
)

// ErrStop, returned by a handler, ends the connection quietly: a WebSocket closes with 1000, a worker's instance is
// replaced by a fresh one, nothing is logged.
var ErrStop = errors.New("consumers: stop")

// quiet reports whether err, returned by a handler of a connection whose ctx is given, says only that the connection
// has ended or is to end.
func quiet(ctx context.Context, err error) bool {
	if err == nil || errors.Is(err, ErrStop) || errors.Is(err, asgi.ErrClosed) {
		return true
	}
	if ctx.Err() == nil {
		return false
	}
	return errors.Is(err, ctx.Err()) || errors.Is(err, context.Cause(ctx))
}
