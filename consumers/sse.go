package consumers

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tideway-go/tideway/asgi"
)

// An SSE is a server-sent event: one message of a stream that a browser reads by EventSource
// (https://html.spec.whatwg.org/multipage/server-sent-events.html). [Conn.SendSSE] sends one, [RenderSSE] makes one of a
// layer message, and in a table of server-sent events SendText and SendJSON send one that has data only.
//
// The zero value is a comment, which browsers ignore. One without Data and without Event sets ID and Retry only: no event
// is fired.
type SSE struct {
	// ID is what a browser that comes back sends as Last-Event-ID; see [Conn.LastEventID]. An event without one leaves the
	// last one in force. It must not have a line break or a NUL.
	ID string
	// Event is the name that the page listens for by addEventListener; "" is "message", for which onmessage is called. It
	// must not have a line break.
	Event string
	// Data is the text of the event, of any number of lines: each CR, LF or CR LF arrives as LF.
	Data string
	// Retry, if not 0, tells the browser how long to wait before it comes back. It is rounded to milliseconds.
	Retry time.Duration
}

var errLineBreak = errors.New("it has a line break, and the stream ends fields there")

// check says why an event cannot be written.
func (e SSE) check() error {
	switch {
	case strings.ContainsAny(e.ID, "\r\n"):
		return fmt.Errorf("field ID is %q: %w", e.ID, errLineBreak)
	case strings.Contains(e.ID, "\x00"):
		return fmt.Errorf("field ID is %q: browsers ignore an id that has a NUL", e.ID)
	case strings.ContainsAny(e.Event, "\r\n"):
		return fmt.Errorf("field Event is %q: %w", e.Event, errLineBreak)
	case e.Retry < 0:
		return fmt.Errorf("field Retry is %v: it cannot be negative", e.Retry)
	case !utf8.ValidString(e.ID) || !utf8.ValidString(e.Event) || !utf8.ValidString(e.Data):
		return errors.New("it is not UTF-8: encode what is binary, as base64 for example")
	}
	return nil
}

// encode is the event as it is written.
func (e SSE) encode() ([]byte, error) {
	if err := e.check(); err != nil {
		return nil, err
	}
	b := make([]byte, 0, len("id: \nevent: \nretry: 1000000\ndata: \n\n")+len(e.ID)+len(e.Event)+len(e.Data)+len(e.Data)/8)
	if e.ID != "" {
		b = appendField(b, "id: ", e.ID)
	}
	if e.Event != "" {
		b = appendField(b, "event: ", e.Event)
	}
	if e.Retry > 0 {
		b = append(strconv.AppendInt(append(b, "retry: "...), max(1, e.Retry.Round(time.Millisecond).Milliseconds()), 10), '\n')
	}
	switch {
	case e.Data != "" || e.Event != "":
		b = appendData(b, e.Data)
	case len(b) == 0:
		b = append(b, ":\n"...)
	}
	return append(b, '\n'), nil
}

func appendField(b []byte, name, value string) []byte {
	return append(append(append(b, name...), value...), '\n')
}

// appendData writes a line of data for each line of s, an empty one for an empty s.
func appendData(b []byte, s string) []byte {
	for {
		i := strings.IndexAny(s, "\r\n")
		if i < 0 {
			return appendField(b, "data: ", s)
		}
		b = appendField(b, "data: ", s[:i])
		if s[i] == '\r' && i+1 < len(s) && s[i+1] == '\n' {
			i++
		}
		s = s[i+1:]
	}
}

// heartbeat is a comment: bytes that mean nothing, to show that the connection lives.
var heartbeat = []byte(":\n\n")

// frameSSE is a WebSocket's message as an event. An empty text is an event, too.
func frameSSE(f asgi.Frame) ([]byte, error) {
	if f.Binary {
		return nil, errors.New("a binary message cannot be a server-sent event, which is text: send text, or base64")
	}
	if len(f.Data) == 0 {
		return []byte("data: \n\n"), nil
	}
	return SSE{Data: string(f.Data)}.encode()
}
