package asgitest

import (
	"strconv"
	"strings"
	"time"

	"github.com/tideway-go/tideway/consumers"
)

// An eventParser interprets a stream as HTML says in "Interpreting an event stream".
type eventParser struct {
	text     []byte // of a line that has not ended
	cr       bool   // the last byte was a CR: an LF that follows belongs to it
	begun    bool   // more than a byte order mark has come
	id       string
	pending  string // the id that the next blank line puts in force
	idSet    bool
	event    string
	data     strings.Builder
	hasData  bool
	retry    time.Duration
	comments int
}

// feed takes bytes, and returns the events that they complete.
func (p *eventParser) feed(chunk []byte) (events []consumers.SSE) {
	for _, b := range chunk {
		switch {
		case b == '\n' && p.cr:
			p.cr = false
			continue
		case b != '\n' && b != '\r':
			p.cr = false
			p.text = append(p.text, b)
			continue
		}
		p.cr = b == '\r'
		line := string(p.text)
		p.text = p.text[:0]
		if !p.begun {
			line = strings.TrimPrefix(line, "\ufeff")
			p.begun = true
		}
		if event, ok := p.line(strings.ToValidUTF8(line, "\ufffd")); ok {
			events = append(events, event)
		}
	}
	return events
}

// line takes one line, and reports whether it completes an event.
func (p *eventParser) line(line string) (consumers.SSE, bool) {
	if line == "" {
		return p.dispatch()
	}
	name, value, _ := strings.Cut(line, ":")
	value = strings.TrimPrefix(value, " ")
	switch name {
	case "":
		p.comments++
	case "event":
		p.event = value
	case "data":
		if p.hasData {
			p.data.WriteByte('\n')
		}
		p.data.WriteString(value)
		p.hasData = true
	case "id":
		if !strings.Contains(value, "\x00") {
			p.pending, p.idSet = value, true
		}
	case "retry":
		if ms, err := strconv.ParseUint(value, 10, 31); err == nil {
			p.retry = time.Duration(ms) * time.Millisecond
		}
	}
	return consumers.SSE{}, false
}

func (p *eventParser) dispatch() (consumers.SSE, bool) {
	if p.idSet {
		p.id, p.idSet = p.pending, false
	}
	event, whole := consumers.SSE{ID: p.id, Event: p.event, Data: p.data.String()}, p.hasData
	p.event, p.hasData = "", false
	p.data.Reset()
	return event, whole
}
