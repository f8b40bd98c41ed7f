// Package payload encodes the payloads of layer messages as channels_redis does: one msgpack map with text keys, text as
// str, bytes as bin, integers in their shortest form, floats as float64, no extension types. Which keys and values
// a Go value has is what encoding/json would show, save that bytes stay bytes and numbers keep their kind:
//
//   - struct fields by json tags, with omitempty, omitzero, string, "-", and the same rules for embedded structs;
//     names match exactly;
//   - types with MarshalText are text, types with MarshalJSON are the value that they write, also where the method is
//     the pointer's and the value has no address; time.Time is text;
//   - keys of maps are text: integers and text marshalers are written as encoding/json writes them;
//   - []byte and byte arrays are bin; invalid UTF-8 in text becomes U+FFFD;
//   - NaN and infinities are floats like others.
//
// No msgpack library was found that keeps the middle two and writes no extension types; the tests compare with one
// where both agree.
//
// What comes from the wire is hostile until [Check] has passed it: a map, text keys, valid UTF-8, known forms, at most
// [MaxDepth] levels, nothing behind it. Decoding takes memory in proportion to the input and never panics, checked or not.
package payload

// The keys that belong to the message and not to its payload.
const (
	TypeKey     = "type"
	ReservedKey = "__asgi_channel__" // channels_redis's: the local channels a message is for
	TraceKey    = "__trace__"        // ours: the trace context of the sender
)

// MaxDepth is how deep maps and lists may be nested, the message itself included. Python's msgpack stops at 511.
const MaxDepth = 500
