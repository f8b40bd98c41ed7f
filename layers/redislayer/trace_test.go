package redislayer

import (
	"context"
	"testing"

	"github.com/tideway-go/tideway/layers/internal/payload"
)

// carried is a propagator of a word in the ctx.
type carried struct{}

type wordKey struct{}

func (carried) Inject(ctx context.Context) string {
	word, _ := ctx.Value(wordKey{}).(string)
	return word
}

func (carried) Extract(ctx context.Context, trace string) context.Context {
	return context.WithValue(ctx, wordKey{}, trace)
}

// A trace context is one more key of the event in Python, in every format, and Python may send one. Another process of Go, with
// a Propagator or without, shows it in no payload.
func TestTraceContext(t *testing.T) {
	const said = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	for _, d := range deployments() {
		t.Run(d.String(), func(t *testing.T) {
			t.Parallel()
			b := newBed(t, d.hosts)
			traced := func(o *Options) { o.Propagator = carried{} }
			here, there, off, python := d.process(b, traced), d.process(b, traced), d.process(b, nil), d.peer(b, nil)
			theirs := python.channel()
			python.join("room", theirs)
			if d.layer == "PubSub" {
				b.subscribed(theirs, 1)
				b.subscribed(b.prefix+"__group__room", 1)
			}
			ctx := context.WithValue(t.Context(), wordKey{}, said)
			members := map[*process]string{here: here.channel(), there: there.channel(), off: off.channel()}
			for p, channel := range members {
				p.join("room", channel)
			}
			if d.layer == "PubSub" {
				b.subscribed(b.prefix+"__group__room", 4)
			}
			wantInPython := func(want string) {
				t.Helper()
				if got := python.receive(theirs); len(got) != 3 || got["text"] != want || got["type"] != "note" || got["__trace__"] != said {
					t.Errorf("Python got %v, want %q with the trace", got, want)
				}
			}
			must(t, here.GroupSend(ctx, "room", note.With(text{"to all"})))
			wantInPython("to all")
			must(t, here.Send(ctx, theirs, note.With(text{"to Python"})))
			wantInPython("to Python")
			for p, channel := range members {
				trace := said
				if p == off {
					trace = ""
				}
				wantTraced(t, p, channel, "to all", trace)
			}

			data, err := payload.MarshalWire("note", &map[string]any{"text": "from Python", "__trace__": said})
			must(t, err)
			python.sendData(members[there], data)
			wantTraced(t, there, members[there], "from Python", said)
			python.do(order{Op: "group_send", Args: []any{"room"}, Message: data})
			wantTraced(t, here, members[here], "from Python", said)
			wantTraced(t, off, members[off], "from Python", "")
		})
	}
}

// wantTraced receives a message with a trace that only ctx shows.
func wantTraced(t *testing.T, p *process, channel, said, trace string) {
	t.Helper()
	m, err := p.Receive(t.Context(), channel)
	must(t, err)
	fields, err := m.Fields()
	must(t, err)
	if len(fields) != 1 || fields["text"] != said {
		t.Errorf("Go got %v, want %q", fields, said)
	}
	if got, _ := p.TraceContext(t.Context(), m).Value(wordKey{}).(string); got != trace {
		t.Errorf("the trace of %q is %q, want %q", said, got, trace)
	}
}

// A consumer of Django Channels, which takes what it wants out of its event, is not disturbed.
func TestTraceContextInDaphne(t *testing.T) {
	b := newBed(t, 1)
	p := b.process(func(o *Options) { o.Propagator = carried{} })
	browser := b.daphne(pythonCore)
	ctx := context.WithValue(t.Context(), wordKey{}, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	must(t, p.GroupSend(ctx, "chat.lobby", chatMessage.With(text{"hello"})))
	browser.want("hello")
}
