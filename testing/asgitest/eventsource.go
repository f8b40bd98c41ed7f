package asgitest

import (
	"context"
	"errors"
	"mime"
	"net/http"
	"time"

	"github.com/tideway-go/tideway/consumers"
)

// An EventSource is the client's end of a stream of server-sent events, read as a browser reads it.
type EventSource struct {
	site *Site
	path string
	x    *Exchange

	parser eventParser
	ready  []consumers.SSE
}

// EventSource opens a stream of server-sent events. It demands what a browser demands: status 200 and the type of content
// text/event-stream.
func (s *Site) EventSource(path string) *EventSource {
	s.t.Helper()
	return s.eventSource(path, "")
}

func (s *Site) eventSource(path, lastID string) *EventSource {
	s.t.Helper()
	header := http.Header{"Accept": {"text/event-stream"}, "Cache-Control": {"no-store"}}
	if lastID != "" {
		header.Set("Last-Event-ID", lastID)
	}
	es := &EventSource{site: s, path: path, x: s.With(&Options{Header: header}).Stream("GET", path)}
	es.parser.id = lastID
	status, answer := es.x.Start()
	if typ, _, _ := mime.ParseMediaType(answer.Get("Content-Type")); status != http.StatusOK || typ != "text/event-stream" {
		es.x.fatalf("expected a stream of server-sent events, got status %d and Content-Type %q", status, answer.Get("Content-Type"))
	}
	return es
}

// Header is that of the response.
func (es *EventSource) Header() http.Header { return es.x.res.Header }

// Next waits for the next event until ctx ends, whose cause it then returns; nothing is lost. What only sets the id or
// the time to wait, and comments, are no events. ID is the last one that was set, by this event or before, as in a browser; Event is "" for
// "message". After a complete response it returns [asgi.ErrClosed], and another error where it was cut. It never fails
// the test.
func (es *EventSource) Next(ctx context.Context) (consumers.SSE, error) {
	for len(es.ready) == 0 {
		chunk, err := es.x.Next(ctx)
		if err != nil {
			return consumers.SSE{}, err
		}
		es.ready = es.parser.feed(chunk)
	}
	event := es.ready[0]
	es.ready = es.ready[1:]
	return event, nil
}

// Event returns the next event. It fails the test at the end of the response.
func (es *EventSource) Event() consumers.SSE {
	es.x.t.Helper()
	return es.event("an event")
}

// ExpectData demands that the next event has this data.
func (es *EventSource) ExpectData(want string) {
	es.x.t.Helper()
	expected := "an event (" + showText(want) + ")"
	if got := es.event(expected).Data; got != want {
		es.x.fatalf("expected %s, got %s%s", expected, showText(got), difference(want, got))
	}
}

func (es *EventSource) event(expected string) consumers.SSE {
	es.x.t.Helper()
	ctx, cancel := es.x.limit()
	defer cancel()
	event, err := es.Next(ctx)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		es.x.missing(expected, err)
	case errors.Is(err, errCut):
		es.x.fatalf("expected %s, but %v", expected, errCut)
	default:
		es.x.fatalf("expected %s, got the end of the response", expected)
	}
	return event
}

// ExpectNothing is like [WebSocket.ExpectNothing]: it demands that no event waits to be read. What waits and is none, such as a
// heartbeat, is read.
func (es *EventSource) ExpectNothing() {
	es.x.t.Helper()
	inBubble()
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if event, err := es.Next(ended); err == nil {
		es.x.fatalf("expected nothing, got an event (%s)", showText(event.Data))
	}
	es.x.nothing()
}

// ExpectEnd demands that the response is complete, and that no event came before its end.
func (es *EventSource) ExpectEnd() {
	es.x.t.Helper()
	if len(es.ready) > 0 {
		es.x.fatalf("expected the end of the response, got an event (%s)", showText(es.ready[0].Data))
	}
	for {
		chunk, more := es.x.read("the end of the response")
		if !more {
			return
		}
		if es.ready = es.parser.feed(chunk); len(es.ready) > 0 {
			es.x.fatalf("expected the end of the response, got an event (%s)", showText(es.ready[0].Data))
		}
	}
}

// Retry is how long the server has told the client to wait before it comes back; 0 if it has not.
func (es *EventSource) Retry() time.Duration { return es.parser.retry }

// Comments counts the comments that have been read, such as heartbeats.
func (es *EventSource) Comments() int { return es.parser.comments }

// Close makes the client go away, without a word, as a closed tab does. It does not wait for the app; see Wait.
func (es *EventSource) Close() { es.x.Abandon() }

// Wait waits for the app to end and returns the error with which it failed; what counts as failing is in the package
// comment.
func (es *EventSource) Wait() error {
	es.x.t.Helper()
	return es.x.Wait()
}

// Reconnect closes the stream if it is open, waits for its app and opens it anew, with the last id as Last-Event-ID, as a
// browser does when the connection breaks.
func (es *EventSource) Reconnect() *EventSource {
	es.x.t.Helper()
	es.Close()
	_ = es.Wait()
	return es.site.eventSource(es.path, es.parser.id)
}
