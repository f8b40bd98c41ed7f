package layers

import (
	"errors"
	"time"

	"github.com/tideway-go/tideway/layers/driver"
)

// Message is one message: a type and an encoded payload. It is a small value around a pointer; it does not change and
// may be used from any goroutine, sent any number of times and to several layers. Make one with [Type.With]. The zero
// value is no message: Send says so.
//
// All receivers of a process share what is derived from a message ([Type.Decode], [Type.JSON], [Message.Once]).
type Message struct {
	m   *driver.Message
	err error // why there is none
}

var errNoMessage = errors.New("the message is the zero value: make one with Type.With")

// problem is why the message cannot be sent, or nil.
func (m Message) problem() error {
	switch {
	case m.err != nil:
		return m.err
	case m.m == nil:
		return errNoMessage
	default:
		return nil
	}
}

// Type is the message's type, "chat.message"; empty for the zero value.
func (m Message) Type() string {
	if m.m == nil {
		return ""
	}
	return m.m.Type()
}

// Size is the length of the encoded message in bytes, what Options.MaxMessageSize bounds.
func (m Message) Size() int {
	if m.m == nil {
		return 0
	}
	return len(m.m.Bare())
}

// Expired says whether the message has waited unread for Options.Expiry at now, counted from its arrival in this
// process, or from the sender's stamp where the backend's format has one (L6). Whoever takes messages from an inbox
// asks when it handles them.
func (m Message) Expired(now time.Time) bool { return m.m != nil && m.m.Expired(now) }

// Local is true for [Down] and [Up]: made by the layer of this process, not sent by anyone.
func (m Message) Local() bool { return m.m != nil && m.m.Local() }

// Fields decodes the payload without a Go type: a map of string, []byte, int64 (uint64 above its range), float64,
// bool, nil, []any and map[string]any, without "type". Every call returns a new map.
func (m Message) Fields() (map[string]any, error) {
	if err := m.problem(); err != nil {
		return nil, &opError{op: "fields of message", cause: err}
	}
	fields, err := decodeFields(m.m.Bare())
	if err != nil {
		return nil, &opError{op: "fields of message", name: m.Type(), cause: err}
	}
	return fields, nil
}

// Once returns what make returned for key, and calls make for the first receiver of a process only: a frame rendered
// for a broadcast is rendered once, whatever the number of members. What it returns is shared, so it must not be
// changed. key is comparable and of a type of the caller's package, as for context values. When make panics, the
// next caller tries again. make must not ask for its own key.
func (m Message) Once(key any, make func() (any, error)) (any, error) {
	if err := m.problem(); err != nil {
		return nil, err
	}
	return m.m.Once(key, make)
}
