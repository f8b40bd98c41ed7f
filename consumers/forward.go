package consumers

import (
	"fmt"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/layers"
)

// A Forwarder is one line of a table's Forward: a message type whose frame needs no handler and no state, so that it
// is made once for all receivers of a message in this process, and usually sent on the sender's goroutine. [Types] and
// [Render] make them.
type Forwarder struct {
	name  string
	frame func(layers.Message) (asgi.Frame, error)
}

// A PayloadType is a [layers.Type] of any payload.
type PayloadType interface {
	String() string
	JSON(layers.Message) ([]byte, error)
}

// Types lists message types whose payload goes to the client as it is, as JSON in a text message. What JSON cannot
// say (NaN, infinities) is dropped and counted.
func Types(types ...PayloadType) []Forwarder {
	list := make([]Forwarder, len(types))
	for i, t := range types {
		if t == nil {
			panic("consumers: Types: a type is nil: pass layers.Type constants")
		}
		list[i] = Forwarder{t.String(), func(m layers.Message) (asgi.Frame, error) {
			data, err := t.JSON(m)
			return asgi.Frame{Data: data}, err
		}}
	}
	return list
}

// Render lists a message type whose frame is made by render: a function of the payload alone. It runs once per message
// and process, on any goroutine. An error or a panic of its drops the message and counts it.
func Render[T any](typ layers.Type[T], render func(v T) (asgi.Frame, error)) Forwarder {
	if render == nil {
		panic(fmt.Sprintf("consumers: Render: the function for message type %q is nil", typ.String()))
	}
	return Forwarder{typ.String(), func(m layers.Message) (asgi.Frame, error) {
		v, err := typ.Decode(m)
		if err != nil {
			return asgi.Frame{}, err
		}
		return render(v)
	}}
}

// event is the frame of m as the event that every receiver's server is given: one value for all of them.
func (f *Forwarder) event(m layers.Message) (asgi.Event, error) {
	ev, err := m.Once(f, func() (ev any, err error) {
		defer recovered(&err)
		frame, err := f.frame(m)
		if err != nil {
			return nil, err
		}
		return asgi.Event(asgi.WebSocketSend{Frame: frame, Prepared: asgi.Prepare(frame)}), nil
	})
	if err != nil {
		return nil, err
	}
	return ev.(asgi.Event), nil
}

// heldWith is what a message holds besides its own bytes as long as it waits, once its frame is made: the decoded payload,
// the frame, and the form in which the server has encoded it for other receivers.
func heldWith(m layers.Message, frame asgi.Event) int {
	return m.Size() + 2*len(frame.(asgi.WebSocketSend).Frame.Data)
}
