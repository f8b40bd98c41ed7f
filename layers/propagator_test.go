package layers_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/driver"
	"github.com/tideway-go/tideway/layers/memlayer"
)

// carrier is a propagator of a word in the ctx.
type carrier struct{}

type wordKey struct{}

func (carrier) Inject(ctx context.Context) string {
	word, _ := ctx.Value(wordKey{}).(string)
	return word
}

func (carrier) Extract(ctx context.Context, trace string) context.Context {
	return context.WithValue(ctx, wordKey{}, trace)
}

func saying(ctx context.Context, word string) context.Context {
	return context.WithValue(ctx, wordKey{}, word)
}

// anyJSON keeps the JSON that a payload decodes from.
type anyJSON struct{ text string }

func (v *anyJSON) UnmarshalJSON(text []byte) error {
	v.text = string(text)
	return nil
}

func (v anyJSON) MarshalJSON() ([]byte, error) { return []byte(v.text), nil }

// TestPropagator sends in all ways, within a process and to another, and looks at what arrives.
func TestPropagator(t *testing.T) {
	const greeting layers.Type[map[string]any] = "greeting"
	options := &layers.Options{Propagator: carrier{}, Durables: []layers.Durable{{Queues: "jobs"}}}
	synctest.Test(t, func(t *testing.T) {
		bus := memlayer.NewBus(options)
		here, there := bus.Layer(), bus.Layer()
		ctx := t.Context()
		sent := greeting.With(map[string]any{"to": "all"})
		for name, process := range map[string]*layers.Layer{"this process": here, "another process": there} {
			channel, err := process.NewChannel(ctx)
			if err == nil {
				err = process.GroupAdd(ctx, "room", channel)
			}
			if err != nil {
				t.Fatal(err)
			}
			send := func(ctx context.Context) error { return here.Send(ctx, channel, sent) }
			group := func(ctx context.Context) error { return here.GroupSend(ctx, "room", sent) }
			queue := func(ctx context.Context) error { return here.Send(ctx, "queue", sent) }
			job := func(ctx context.Context) error { return here.Send(ctx, "jobs", sent) }
			for way, tc := range map[string]struct {
				send func(context.Context) error
				from string
			}{"Send": {send, channel}, "GroupSend": {group, channel}, "queue": {queue, "queue"}, "job": {job, "jobs"}} {
				for _, word := range []string{"a trace", "another", ""} {
					if err := tc.send(saying(ctx, word)); err != nil {
						t.Fatal(err)
					}
					m, err := process.Receive(ctx, tc.from)
					if err != nil {
						t.Fatal(err)
					}
					if got, _ := process.TraceContext(ctx, m).Value(wordKey{}).(string); got != word {
						t.Errorf("%s to %s: the trace is %q, want %q", way, name, got, word)
					}
					looksBare(t, m, sent)
				}
			}
			if err := errors.Join(process.EndChannel(ctx, channel)); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// looksBare fails when the trace shows in what a receiver sees of a message.
func looksBare(t *testing.T, m, sent layers.Message) {
	t.Helper()
	if m.Size() != sent.Size() {
		t.Errorf("the size is %d, was %d", m.Size(), sent.Size())
	}
	var seen []map[string]any
	fields, err := m.Fields()
	seen = append(seen, fields)
	v, err2 := layers.Type[map[string]any](m.Type()).Decode(m)
	seen = append(seen, v)
	w, err3 := layers.Type[any](m.Type()).Decode(m)
	asMap, _ := w.(map[string]any)
	seen = append(seen, asMap)
	text, err4 := layers.Type[map[string]any](m.Type()).JSON(m)
	x, err5 := layers.Type[anyJSON](m.Type()).Decode(m)
	for _, text := range []string{string(text), x.text} {
		var v map[string]any
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			t.Errorf("JSON %q: %v", text, err)
		}
		seen = append(seen, v)
	}
	if err := errors.Join(err, err2, err3, err4, err5); err != nil {
		t.Error(err)
	}
	for i, v := range seen {
		if keys := slices.Collect(maps.Keys(v)); len(keys) != 1 || keys[0] != "to" {
			t.Errorf("way %d to look at the payload shows the keys %q", i, keys)
		}
	}
}

// TestTraceOfAResentMessage: a message that is passed on has the trace of who passes it on, or none.
func TestTraceOfAResentMessage(t *testing.T) {
	const hello layers.Type[map[string]any] = "hello"
	ctx := t.Context()
	for name, tc := range map[string]struct {
		propagator layers.Propagator
		word, want string
	}{
		"with a trace":          {carrier{}, "second", "second"},
		"without":               {carrier{}, "", ""},
		"without a propagator":  {nil, "second", ""},
		"one that is too large": {carrier{}, strings.Repeat("x", layers.DefaultMaxMessageSize), ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := &started{}
			layers.New(d, nil)
			old, ok := d.host.Message("x", []byte("\x82\xa4type\xa5hello\xa9__trace__\xa5first"), time.Time{})
			if !ok || old.Trace() != "first" {
				t.Fatalf("from the wire: %v, trace %q", ok, old.Trace())
			}
			box := &keeper{}
			passOn := layers.New(box, &layers.Options{Propagator: tc.propagator})
			if err := passOn.Send(ctx, "queue", hello.With(map[string]any{})); err != nil || box.got.Trace() != "" {
				t.Errorf("a ctx without a trace: %v, trace %q", err, box.got.Trace())
			}
			if err := passOn.Send(saying(ctx, tc.word), "queue", arrived(t, old)); err != nil {
				t.Fatal(err)
			}
			if box.got.Trace() != tc.want || strings.Contains(string(box.got.Data()), "first") {
				t.Errorf("it was passed on with the trace %q, want %q, as %q", box.got.Trace(), tc.want, box.got.Data())
			}
			if carried := strings.Contains(string(box.got.Data()), "__trace__"); carried != (tc.want != "") {
				t.Errorf("what travels is %q", box.got.Data())
			}
		})
	}
}

// arrived makes a layer's message of a driver's.
func arrived(t *testing.T, m *driver.Message) (got layers.Message) {
	d := &listening{}
	l := layers.New(d, nil)
	if _, err := l.Listen(t.Context(), inboxFunc(func(m layers.Message) error { got = m; return nil })); err != nil {
		t.Fatal(err)
	}
	if err := d.in.Deliver(m); err != nil {
		t.Fatal(err)
	}
	return got
}

type inboxFunc func(layers.Message) error

func (f inboxFunc) Deliver(m layers.Message) error { return f(m) }

// listening keeps the inbox that is opened.
type listening struct {
	plain
	in driver.Inbox
}

func (d *listening) Open(_ context.Context, in driver.Inbox) (string, error) {
	d.in = in
	return "specific.x!1", nil
}

// keeper keeps what is sent, and takes no message of more than limit bytes.
type keeper struct {
	plain
	got   *driver.Message
	limit int
	tries int
}

func (k *keeper) Send(_ context.Context, _ string, m *driver.Message) error {
	k.tries++
	if k.limit > 0 && len(m.Data()) > k.limit {
		return driver.ErrTooLarge
	}
	k.got = m
	return nil
}

// TestTraceDoesNotMakeTooLarge: a broker whose own limit only the trace exceeds gets the message without it.
func TestTraceDoesNotMakeTooLarge(t *testing.T) {
	const hello layers.Type[map[string]any] = "hello"
	k := &keeper{limit: 20}
	l := layers.New(k, &layers.Options{Propagator: carrier{}})
	if err := l.Send(saying(t.Context(), "a trace"), "queue", hello.With(noFields())); err != nil || k.got.Trace() != "" || k.tries != 2 {
		t.Errorf("after %d tries: %v, trace %q", k.tries, err, k.got.Trace())
	}
	k.tries = 0
	long := hello.With(map[string]any{"text": "longer than the limit"})
	if err := l.Send(t.Context(), "queue", long); !errors.Is(err, layers.ErrMessageTooLarge) || k.tries != 1 {
		t.Errorf("after %d tries: %v, want layers.ErrMessageTooLarge", k.tries, err)
	}
}

func noFields() map[string]any { return map[string]any{} }

// TestTraceContextOfNothing: where there is nothing to extract, the ctx stays.
func TestTraceContextOfNothing(t *testing.T) {
	ctx := t.Context()
	const hello layers.Type[map[string]any] = "hello"
	for _, l := range []*layers.Layer{nil, layers.New(&plain{}, nil), layers.New(&plain{}, &layers.Options{Propagator: carrier{}})} {
		for _, m := range []layers.Message{{}, hello.With(noFields())} {
			if l.TraceContext(ctx, m) != ctx {
				t.Errorf("a layer %v made a ctx of its own", l)
			}
		}
	}
}

// TestTraceKeyIsReserved: a payload that has the key does not pass.
func TestTraceKeyIsReserved(t *testing.T) {
	mustPanic(t, `"__trace__"`, func() { layers.Type[map[string]any]("t").With(map[string]any{"__trace__": 1}) })
	mustPanic(t, `"__trace__"`, func() {
		type payload struct {
			Trace string `json:"__trace__"`
		}
		layers.Type[payload]("t").With(payload{})
	})
}
