package asgi

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
)

// earlyHint writes a 103 response that has the links and nothing else (RFC 8297).
func (x *exchange) earlyHint(ctx context.Context, e HTTPResponseEarlyHint) error {
	if x.phase > started {
		return errors.New("the response has begun: send hints before the first HTTPResponseBody")
	}
	for _, link := range e.Links {
		if !validValue(link) {
			return fmt.Errorf("link %q has a control character", link)
		}
	}
	if len(e.Links) == 0 || !x.hints {
		return nil
	}
	if ctx.Err() != nil {
		return ErrFull
	}
	return x.guard(ctx, func() error {
		header := x.w.Header()
		final := maps.Clone(header) // what handlers in front have set is for the final response
		clear(header)
		header["Link"] = e.Links
		err := x.within(func() error {
			x.w.WriteHeader(http.StatusEarlyHints) // it keeps its error to itself
			if x.overdue() {
				return os.ErrDeadlineExceeded
			}
			return nil
		})
		clear(header)
		maps.Copy(header, final)
		return err
	})
}

// push asks for a server push (RFC 9113 section 8.4).
func (x *exchange) push(e HTTPResponsePush) error {
	pusher, ok := x.w.(http.Pusher)
	switch {
	case !ok:
		return fmt.Errorf(`this connection cannot push: look for scope.Extension("http.response.push") first: %w`,
			errors.ErrUnsupported)
	case x.phase >= trailing:
		return errors.New("the body is complete: push before its last part")
	}
	if err := checkHeader(e.Header); err != nil {
		return err
	}
	if err := pusher.Push(e.Path, &http.PushOptions{Header: e.Header}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err // the client may have switched pushes off: that is no failure
	}
	return nil
}
