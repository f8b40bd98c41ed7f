package natslayer

import (
	"context"
	"testing"

	"github.com/tideway-go/tideway/layers"
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

// TestTraceContext: a trace goes with a message to another process, by each way, and shows in no payload. So it does from a NATS
// client that knows the page on the wire format.
func TestTraceContext(t *testing.T) {
	const said = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	b := newBroker(t)
	opts := &Options{Options: layers.Options{Propagator: carried{}, Durables: []layers.Durable{{Queues: "jobs"}}}}
	here, there := b.process(opts), b.process(opts)
	channel, queue := there.channel(), "queue"
	there.join("room", channel)
	ctx := context.WithValue(t.Context(), wordKey{}, said)
	m := note.With(text{"hello"})
	ways := map[string]struct {
		send func(ctx context.Context) error
		at   string
	}{
		"Send":      {func(ctx context.Context) error { return here.Send(ctx, channel, m) }, channel},
		"GroupSend": {func(ctx context.Context) error { return here.GroupSend(ctx, "room", m) }, channel},
		"queue":     {func(ctx context.Context) error { return here.Send(ctx, queue, m) }, queue},
		"job":       {func(ctx context.Context) error { return here.Send(ctx, "jobs", m) }, "jobs"},
	}
	want := func(way, at, trace string) {
		t.Helper()
		limited, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		m, err := there.Receive(limited, at)
		there.must(err)
		fields, err := m.Fields()
		there.must(err)
		if len(fields) != 1 || fields["text"] != "hello" {
			t.Errorf("%s: the payload is %v", way, fields)
		}
		if got, _ := there.TraceContext(t.Context(), m).Value(wordKey{}).(string); got != trace {
			t.Errorf("%s: the trace is %q, want %q", way, got, trace)
		}
	}
	for way, w := range ways {
		here.must(w.send(ctx))
		want(way, w.at, said)
		here.must(w.send(t.Context()))
		want(way+" without a trace", w.at, "")
	}

	client, _ := b.connect()
	here.must(client.Publish("tideway.group.room", []byte("\x83\xA4type\xA4note\xA4text\xA5hello\xA9__trace__\xA3abc")))
	want("a NATS client", channel, "abc")
}
