package middleware

import (
	"errors"
	"maps"
	"net/http"
	"slices"

	"github.com/tideway-go/tideway/asgi"
)

// begins reports whether event is the answer to a request or a handshake.
func begins(event asgi.Event) bool {
	switch event.(type) {
	case asgi.HTTPResponseStart, asgi.WebSocketAccept, asgi.WebSocketHTTPResponseStart:
		return true
	}
	return false
}

// withHeader returns event with more headers, if it is one that begins a response. join says how the two become one.
func withHeader(event asgi.Event, more http.Header, join joiner) asgi.Event {
	switch e := event.(type) {
	case asgi.HTTPResponseStart:
		e.Header = join(e.Header, more)
		return e
	case asgi.WebSocketAccept:
		e.Header = join(e.Header, more)
		return e
	case asgi.WebSocketHTTPResponseStart:
		e.Header = join(e.Header, more)
		return e
	}
	return event
}

// A joiner makes one header of an app's and of more. The result is a map of its own, since what an app has sent is read-only.
type joiner func(header, more http.Header) http.Header

// add sends what both have twice.
func add(header, more http.Header) http.Header {
	joined := maps.Clone(header)
	if joined == nil {
		joined = http.Header{}
	}
	for name, values := range more {
		joined[name] = slices.Concat(joined[name], values)
	}
	return joined
}

// keep lets the app's own values stand.
func keep(header, more http.Header) http.Header {
	kept := maps.Clone(more)
	for name, values := range header {
		delete(kept, http.CanonicalHeaderKey(name))
		kept[name] = values
	}
	return kept
}

// deniedWith adds headers to the refusal that an app has returned as an error. Of any other error it changes nothing.
func deniedWith(err error, more http.Header, join joiner) error {
	var deny asgi.Deny
	var panicked *asgi.PanicError
	if len(more) == 0 || errors.As(err, &panicked) || !errors.As(err, &deny) {
		return err
	}
	deny.Header = join(deny.Header, more)
	return &denied{error: err, deny: deny}
}

// denied is an error of an app with another Deny in it.
type denied struct {
	error
	deny asgi.Deny
}

func (d *denied) Unwrap() error { return d.error }

// As yields the changed Deny; everything else is found below.
func (d *denied) As(target any) bool {
	deny, ok := target.(*asgi.Deny)
	if ok {
		*deny = d.deny
	}
	return ok
}
