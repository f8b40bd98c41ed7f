package asgi

import (
	"sync/atomic"
	"unsafe"
)

// A Frame is one WebSocket message: text (the zero value is an empty text) or binary. A message has exactly one of
// the two, which the specification's pair of nullable fields can only ask for.
type Frame struct {
	Binary bool
	Data   []byte // UTF-8 if it is text; read-only once sent or received
}

// TextFrame makes a text message.
func TextFrame(text string) Frame { return Frame{Data: []byte(text)} }

// BinaryFrame makes a binary message. It keeps data.
func BinaryFrame(data []byte) Frame { return Frame{Binary: true, Data: data} }

// Settings of an encoded form: one per way in which a server may encode the same frame.
const (
	Plain      = iota // as it is
	Compressed        // by permessage-deflate without context takeover (RFC 7692)
	settings
)

// Prepared is a Frame on its way to many connections, with a slot for each encoded form, so that a server encodes it
// once whatever the number of receivers. It is safe for concurrent use and never changes what it has shown.
type Prepared struct {
	frame Frame
	slots [settings]atomic.Pointer[[]byte]
}

// Prepare makes a Prepared of a frame whose bytes will not change any more.
func Prepare(f Frame) *Prepared { return &Prepared{frame: f} }

// Frame is the frame that was prepared.
func (p *Prepared) Frame() Frame { return p.frame }

// Holds reports whether p was made of f itself: same kind, same bytes in memory. A nil p holds nothing.
func (p *Prepared) Holds(f Frame) bool {
	return p != nil && p.frame.Binary == f.Binary && len(p.frame.Data) == len(f.Data) &&
		unsafe.SliceData(p.frame.Data) == unsafe.SliceData(f.Data)
}

// Encoded returns the form of one setting ([Plain] or [Compressed]), calling encode for it the first time. Two first
// times may coincide; all callers get the same bytes, which they must not change.
func (p *Prepared) Encoded(setting int, encode func(Frame) []byte) []byte {
	slot := &p.slots[setting]
	if b := slot.Load(); b != nil {
		return *b
	}
	b := encode(p.frame)
	if !slot.CompareAndSwap(nil, &b) {
		return *slot.Load()
	}
	return b
}
