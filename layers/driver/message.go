package driver

import (
	"sync"
	"sync/atomic"
	"time"
)

// Message is one message in one process: what was sent, encoded, with the moment of its arrival. All receivers of a
// process share one Message by pointer, and so share what they derive from it. It does not change, and may be used
// from any goroutine.
type Message struct {
	content *content
	arrived time.Time     // zero: on its way
	expiry  time.Duration // how long it may wait from then
	local   bool
}

// content is what several sendings of one message have in common.
type content struct {
	typ  string
	data []byte
	with *traced              // nil where no trace context travels in data
	mu   sync.Mutex           // held to add to memos
	memo atomic.Pointer[memo] // a list: few keys, read by every receiver without a lock
}

// NewMessage is for the layer: data is the encoded map, whose "type" is typ. Drivers get their messages as arguments
// and from [Host.Message].
func NewMessage(typ string, data []byte) *Message {
	w := &struct { // one allocation for both
		m Message
		c content
	}{c: content{typ: typ, data: data}}
	w.m.content = &w.c
	return &w.m
}

// traced is what data is made of where it carries a trace context.
type traced struct {
	bare  []byte // data without it
	trace string
}

// NewTracedMessage is for the layer, too: data is bare and a trace context, which travels under a reserved key of the map.
func NewTracedMessage(typ string, data, bare []byte, trace string) *Message {
	m := NewMessage(typ, data)
	m.content.with = &traced{bare, trace}
	return m
}

// Copy returns a message of its own with the same bytes, which has arrived at the same moment: as another process would get
// it. Nothing that was derived from m is shared.
func (m *Message) Copy() *Message {
	copied := NewMessage(m.content.typ, m.content.data)
	copied.content.with = m.content.with
	copied.arrived, copied.expiry, copied.local = m.arrived, m.expiry, m.local
	return copied
}

// Type is the message's type, "chat.message".
func (m *Message) Type() string { return m.content.typ }

// Data is the encoded message: a msgpack map, "type" first, without channels_redis's reserved field. Read-only.
func (m *Message) Data() []byte { return m.content.data }

// Bare is Data without the trace context: what the layer decodes.
func (m *Message) Bare() []byte {
	if m.content.with != nil {
		return m.content.with.bare
	}
	return m.content.data
}

// Trace is the trace context that travels in Data, as text; empty where there is none.
func (m *Message) Trace() string {
	if m.content.with != nil {
		return m.content.with.trace
	}
	return ""
}

// Arrived is the moment from which the expiry counts: the arrival in this process, or the sender's stamp where the
// format has one.
func (m *Message) Arrived() time.Time { return m.arrived }

// Expired says whether the message has waited too long at now. A message on its way has not.
func (m *Message) Expired(now time.Time) bool {
	return m.expiry > 0 && !m.arrived.IsZero() && now.Sub(m.arrived) >= m.expiry
}

// Local says that the message was made in this process to tell of the layer itself, and must never be sent.
func (m *Message) Local() bool { return m.local }

// Arrive returns the message as it arrives at a time, once per process and sending, so that one Message value can be
// sent again later. What was derived from it stays shared.
func (m *Message) Arrive(at time.Time, expiry time.Duration) *Message {
	return &Message{content: m.content, arrived: at, expiry: expiry, local: m.local}
}

// MakeLocal is for the layer: the same message, marked as [Message.Local].
func (m *Message) MakeLocal() *Message {
	return &Message{content: m.content, arrived: m.arrived, expiry: m.expiry, local: true}
}
