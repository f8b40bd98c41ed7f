package asgi

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
)

// held is how much of a body waits for more before it is sent, as in net/http.
const held = 4 << 10

// responseWriter is an http.ResponseWriter that sends events.
type responseWriter struct {
	ctx      context.Context
	send     Send
	hints    bool // the server sends 103 responses
	trailers bool // the server and the client have trailers
	head     bool

	header    http.Header
	status    int         // 0 until WriteHeader
	final     http.Header // as it was at WriteHeader
	length    int64       // of the body that final declares, or -1
	excess    bool        // more than that was written
	announced []string    // the trailers that its Trailer header names
	begun     bool        // HTTPResponseStart was sent
	buf       []byte
	written   int64
	err       error // the first that send returned
}

func newResponseWriter(ctx context.Context, scope *Scope, send Send, te bool) *responseWriter {
	_, hints := scope.Extension("http.response.early_hint")
	_, trailers := scope.Extension("http.response.trailers")
	return &responseWriter{
		ctx:      ctx,
		send:     send,
		hints:    hints,
		trailers: trailers && te,
		head:     scope.Method() == http.MethodHead,
		header:   http.Header{},
	}
}

// Header returns the headers that WriteHeader will take.
func (w *responseWriter) Header() http.Header { return w.header }

// WriteHeader begins the response; 1xx come before it, any number of times.
func (w *responseWriter) WriteHeader(status int) {
	switch {
	case status < 100 || status > 999:
		panic(fmt.Sprintf("asgi: WriteHeader: status %d: it must be 100 to 999", status))
	case w.status != 0:
		return // as in net/http: the first one counts
	case status == http.StatusEarlyHints && w.hints:
		if links := w.header.Values("Link"); len(links) > 0 {
			w.emit(HTTPResponseEarlyHint{Links: links})
		}
		return
	case status == http.StatusSwitchingProtocols:
		w.fail(errors.New("asgi: WriteHeader: status 101: an http scope cannot change its protocol"))
	case status < 200:
		return // the server's own business
	}
	w.status = status
	w.final = w.header.Clone()
	if w.length, _ = contentLength(w.final); !bodyAllowed(status) {
		w.length = -1
	}
	for _, line := range w.final["Trailer"] {
		for name := range strings.SplitSeq(line, ",") {
			name = http.CanonicalHeaderKey(textproto.TrimString(name))
			w.announced = append(w.announced, name)
			delete(w.final, name)
		}
	}
	maps.DeleteFunc(w.final, func(name string, _ []string) bool { return strings.HasPrefix(name, http.TrailerPrefix) })
}

// Write sends p, at once or with what follows. p may change afterwards. Of more than Content-Length declares it sends what fits.
func (w *responseWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	switch {
	case w.err != nil:
		return 0, w.err
	case len(p) == 0:
		return 0, nil
	case !bodyAllowed(w.status):
		return 0, http.ErrBodyNotAllowed
	}
	if w.length >= 0 && int64(len(p)) > w.length-w.written {
		n, err := w.write(p[:w.length-w.written])
		if w.excess = true; err == nil {
			err = http.ErrContentLength
		}
		return n, err
	}
	return w.write(p)
}

func (w *responseWriter) write(p []byte) (int, error) {
	w.sniff(p)
	w.written += int64(len(p))
	if w.head {
		return len(p), nil
	}
	if w.buf = append(w.buf, p...); len(w.buf) > held {
		w.flush(true)
	}
	if w.err != nil {
		return 0, w.err
	}
	return len(p), nil
}

// sniff names the type of the content as net/http does: by its first bytes, where nobody has said anything.
func (w *responseWriter) sniff(p []byte) {
	if _, ok := w.final["Content-Type"]; ok || w.written > 0 || w.begun || w.final.Get("Content-Encoding") != "" {
		return
	}
	w.final.Set("Content-Type", http.DetectContentType(p))
}

// Flush sends what is held.
func (w *responseWriter) Flush() { _ = w.FlushError() }

// FlushError is Flush for [http.ResponseController].
func (w *responseWriter) FlushError() error {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if !w.begun || len(w.buf) > 0 {
		w.flush(true)
	}
	return w.err
}

// flush sends the start, if it was not sent, and what is held.
func (w *responseWriter) flush(more bool) {
	if !w.begun {
		w.begun = true
		w.emit(HTTPResponseStart{Status: w.status, Header: w.final, Trailers: w.trailers})
	}
	w.emit(HTTPResponseBody{Body: w.buf, MoreBody: more})
	w.buf = nil // it belongs to the server now
}

// finish completes the response.
func (w *responseWriter) finish() error {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	late := w.lateHeader()
	if !w.begun {
		w.trailers = w.trailers && len(late) > 0
		_, said := w.final["Content-Length"]
		if !said && !w.trailers && bodyAllowed(w.status) && (!w.head || w.written > 0) {
			w.final.Set("Content-Length", strconv.FormatInt(w.written, 10))
		}
	}
	w.flush(false)
	if w.trailers {
		w.emit(HTTPResponseTrailers{Header: late})
	}
	if w.err == nil && w.excess {
		return fmt.Errorf("asgi: handler wrote more than the %d bytes that its Content-Length declares; the rest was left out: %w",
			w.length, http.ErrContentLength)
	}
	return w.err
}

// lateHeader is the trailers: headers that were announced, or that have the prefix of net/http.
func (w *responseWriter) lateHeader() http.Header {
	late := http.Header{}
	for _, name := range w.announced {
		if values := w.header[name]; len(values) > 0 {
			late[name] = values
		}
	}
	for name, values := range w.header {
		if name, ok := strings.CutPrefix(name, http.TrailerPrefix); ok {
			late[http.CanonicalHeaderKey(name)] = values
		}
	}
	return late
}

// emit sends an event unless an earlier one failed.
func (w *responseWriter) emit(event Event) {
	if w.err == nil {
		w.err = w.send(w.ctx, event)
	}
}

func (w *responseWriter) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}
