package consumers

import (
	"fmt"
	"unicode/utf8"

	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/layers"
)

// A Forwarder is one line of a table's Forward: a message type whose frame needs no handler and no state, so that it
// is made once for all receivers of a message in this process, and usually sent on the sender's goroutine. [Types],
// [Render] and [RenderSSE] make them. The same list may stand in tables of WebSockets and of server-sent events.
type Forwarder struct {
	name   string
	frame  func(layers.Message) (asgi.Frame, error)
	sse    func(layers.Message) (SSE, error) // of RenderSSE; else nil
	events bool                              // it stands in a table of server-sent events
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
		list[i] = Forwarder{name: t.String(), frame: func(m layers.Message) (asgi.Frame, error) {
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
	return Forwarder{name: typ.String(), frame: func(m layers.Message) (asgi.Frame, error) {
		v, err := typ.Decode(m)
		if err != nil {
			return asgi.Frame{}, err
		}
		return render(v)
	}}
}

// RenderSSE is [Render] for a message type that has more to say to the readers of server-sent events: an id to resume from,
// the name of an event. A WebSocket gets its Data as a text message.
func RenderSSE[T any](typ layers.Type[T], render func(v T) (SSE, error)) Forwarder {
	if render == nil {
		panic(fmt.Sprintf("consumers: RenderSSE: the function for message type %q is nil", typ.String()))
	}
	event := func(m layers.Message) (SSE, error) {
		v, err := typ.Decode(m)
		if err != nil {
			return SSE{}, err
		}
		return render(v)
	}
	return Forwarder{name: typ.String(), sse: event, frame: func(m layers.Message) (asgi.Frame, error) {
		ev, err := event(m)
		if err == nil && !utf8.ValidString(ev.Data) {
			err = errNotUTF8
		}
		return asgi.TextFrame(ev.Data), err
	}}
}

// event is the frame of m as the event that every receiver's server is given: one value for all of them.
func (f *Forwarder) event(m layers.Message) (asgi.Event, error) {
	ev, err := m.Once(f, func() (ev any, err error) {
		defer recovered(&err)
		if f.events {
			return f.bodyPart(m)
		}
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

// bodyPart is the server-sent event of m.
func (f *Forwarder) bodyPart(m layers.Message) (asgi.Event, error) {
	var data []byte
	var err error
	if f.sse != nil {
		var ev SSE
		if ev, err = f.sse(m); err == nil {
			data, err = ev.encode()
		}
	} else {
		var frame asgi.Frame
		if frame, err = f.frame(m); err == nil {
			data, err = frameSSE(frame)
		}
	}
	return asgi.HTTPResponseBody{Body: data, MoreBody: true}, err
}

// heldWith is what a message holds besides its own bytes as long as it waits, once its frame is made: the decoded payload,
// the frame, and the form in which the server has encoded it for other receivers.
func heldWith(m layers.Message, frame asgi.Event) int {
	switch ev := frame.(type) {
	case asgi.WebSocketSend:
		return m.Size() + 2*len(ev.Frame.Data)
	case asgi.HTTPResponseBody:
		return m.Size() + len(ev.Body)
	}
	return m.Size()
}
