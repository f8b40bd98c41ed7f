package asgi

import (
	"errors"
	"fmt"
	"net/http"
)

// ErrUnflushed is matched by what [Handler.OnError] hears when an App sends a response in parts through a ResponseWriter that cannot
// flush: mostly one of a middleware that counts or logs, and lacks a method Unwrap. What is sent waits in net/http's buffer, until that is full
// or the response ends, so the client of a stream sees nothing. It is no failure of the App, whose Send returns nil, and harmless where
// nobody waits for the parts, such as those of a large file.
var ErrUnflushed = errors.New("asgi: the response cannot be flushed")

// heldBack tells once that a part of the response waits for more.
func (x *exchange) heldBack() {
	if x.onError == nil || x.head {
		return
	}
	x.onError(x.scope, fmt.Errorf("%w: the ResponseWriter is a %T, without Flush and Unwrap, so a part that is sent waits until the response ends: "+
		"give it a method Unwrap() http.ResponseWriter that returns the one it wraps, or leave it out where responses are streams",
		ErrUnflushed, innermost(x.w)))
	x.onError = nil
}

// innermost is the ResponseWriter at which [http.ResponseController] ends its search.
func innermost(w http.ResponseWriter) http.ResponseWriter {
	for {
		wrapper, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return w
		}
		w = wrapper.Unwrap()
	}
}
