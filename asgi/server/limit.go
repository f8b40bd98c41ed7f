package server

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/tideway-go/tideway/asgi"
)

// retryAfter is what clients are told that come while there are too many, in seconds.
const retryAfter = 1

// full answers 503.
func full(w http.ResponseWriter) {
	w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
	http.Error(w, http.StatusText(http.StatusServiceUnavailable), http.StatusServiceUnavailable)
}

// tooMany reports whether a header has more lines than Options.MaxHeaders.
func (s *Server) tooMany(h http.Header) bool {
	n := 0
	for _, values := range h {
		n += len(values)
	}
	return s.opts.MaxHeaders > 0 && n > s.opts.MaxHeaders
}

// limitBody returns the request with what holds for its body, or nil where it has been answered: one that is too large before a
// byte of it is asked for, so that "Expect: 100-continue" gets no 100.
func (s *Server) limitBody(w http.ResponseWriter, r *http.Request) *http.Request {
	if r.Body == nil || r.Body == http.NoBody {
		return r
	}
	if limit := int64(s.opts.MaxBody); limit > 0 {
		if r.ContentLength > limit {
			if r.ProtoMajor == 1 {
				w.Header().Set("Connection", "close") // nobody will read the rest
			}
			s.refuseRequest(r, http.StatusRequestEntityTooLarge, "the body is larger than Options.MaxBody", zap.Int64("length", r.ContentLength), zap.Int("Options.MaxBody", s.opts.MaxBody))
			http.Error(w, http.StatusText(http.StatusRequestEntityTooLarge), http.StatusRequestEntityTooLarge)
			return nil
		}
		r = withBody(r, http.MaxBytesReader(w, r.Body, limit))
	}
	if limit := s.opts.BodyTimeout; limit > 0 {
		r = withBody(r, &timedBody{ReadCloser: r.Body, rc: http.NewResponseController(w), limit: limit, left: limit})
	}
	return r
}

// withBody is a copy, because the request is its sender's.
func withBody(r *http.Request, body io.ReadCloser) *http.Request {
	changed := *r
	changed.Body = body
	return &changed
}

// bodyPiece is what has to come within one Options.BodyTimeout.
const bodyPiece = 64 << 10

// A timedBody gives the client limit for each piece of a request's body. Only the time counts in which somebody reads.
type timedBody struct {
	io.ReadCloser
	rc    *http.ResponseController
	limit time.Duration
	left  time.Duration // of the piece's
	piece int           // bytes of it that have come
	late  atomic.Bool
}

// errLateBody is matched by what a Read returns that took too long.
var errLateBody = errors.New("the request's body comes too slowly")

// Read implements [io.Reader]. Others end a read that waits by a deadline in the past, so this does no more than that: a
// deadline in the future, set after theirs, would undo it.
func (b *timedBody) Read(p []byte) (int, error) {
	if b.late.Load() {
		return 0, b.lateEnd()
	}
	begun := time.Now()
	timer := time.AfterFunc(b.left, func() {
		b.late.Store(true)
		if b.rc.SetReadDeadline(time.Unix(1, 0)) != nil {
			b.ReadCloser.Close()
		}
	})
	n, err := b.ReadCloser.Read(p)
	timer.Stop()
	b.left -= time.Since(begun)
	if b.piece += n; b.piece >= bodyPiece {
		b.piece, b.left = b.piece%bodyPiece, b.limit
	}
	if err != nil && err != io.EOF && b.late.Load() {
		err = b.lateEnd()
	}
	return n, err
}

func (b *timedBody) lateEnd() error {
	return fmt.Errorf("%w: 64 KiB took longer than %v: %w", errLateBody, b.limit, asgi.Deny{Status: http.StatusRequestTimeout})
}

// A countedBody counts what has been read.
type countedBody struct {
	io.ReadCloser
	n int64
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.n += int64(n)
	return n, err
}

// maxRest is how much of a body that nobody has read is read after the response; net/http has the same limit.
const maxRest = 256 << 10

// settle reads what the application has left of a body, so that the connection can serve the next request. net/http would do it
// by itself, but wait for ever for a client that does not send the rest, and with a deadline it would take the rest for the next
// request. Where it closes the connection in any case, the deadline is enough.
func settle(w http.ResponseWriter, r *http.Request, body *countedBody) {
	if body == nil {
		return
	}
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Now().Add(lingerTime))
	if r.ContentLength-body.n > maxRest || r.Header.Get("Expect") != "" || w.Header().Get("Connection") == "close" {
		return
	}
	if r.ContentLength != body.n {
		_ = rc.Flush() // a client that has gone shows itself below
	}
	_, err := io.CopyN(io.Discard, body, maxRest+1)
	if err != io.EOF && err != http.ErrBodyReadAfterClose { // the latter: net/http has seen to it, before the header
		panic(http.ErrAbortHandler)
	}
	_ = rc.SetReadDeadline(time.Time{})
}
