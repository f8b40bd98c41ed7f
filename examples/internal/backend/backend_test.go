package backend_test

import (
	"context"
	"flag"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tideway-go/tideway/examples/internal/backend"
	"github.com/tideway-go/tideway/layers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open opens what the flags say, within half a minute.
func open(t *testing.T, flags ...string) (*backend.Backend, error) {
	t.Helper()
	fs := flag.NewFlagSet("example", flag.ContinueOnError)
	jobs := fs.Bool("jobs", false, "")
	choice := backend.Flags(fs)
	if err := fs.Parse(flags); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var opts layers.Options
	if *jobs {
		opts.Durables = []layers.Durable{{Queues: "jobs"}}
	}
	b, err := choice.Open(ctx, opts)
	if err == nil {
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			defer cancel()
			if err := b.Close(ctx); err != nil {
				t.Errorf("close: %v", err)
			}
		})
	}
	return b, err
}

const hello layers.Type[struct{ To string }] = "hello"

func TestChoices(t *testing.T) {
	node, err := open(t, "-cluster", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(node.URL, "nats://127.0.0.1:") {
		t.Errorf("a node's URL is %q, want one that other programs can use", node.URL)
	}
	for name, flags := range map[string][]string{
		"default":        nil,
		"embedded":       {"-layer", "embedded"},
		"node":           {"-layer", "embedded", "-cluster", "127.0.0.1:0"},
		"NATS elsewhere": {"-layer", node.URL},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := open(t, flags...)
			if err != nil {
				t.Fatal(err)
			}
			channel, err := b.Layer.NewChannel(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := b.Layer.Send(t.Context(), channel, hello.With(struct{ To string }{"me"})); err != nil {
				t.Fatal(err)
			}
			if m, err := b.Layer.Receive(t.Context(), channel); err != nil || m.Type() != "hello" {
				t.Errorf("received %q, %v", m.Type(), err)
			}
		})
	}
}

func TestMistakes(t *testing.T) {
	for _, c := range []struct {
		flags []string
		want  string
	}{
		{[]string{"-layer", "redis"}, "-layer redis: it is memory, embedded, or a URL"},
		{[]string{"-layer", "nats://127.0.0.1:1", "-cluster", "127.0.0.1:0"}, "leave one of them out"},
		{[]string{"-routes", "127.0.0.1:7002"}, "name this one's own address with -cluster too"},
		{[]string{"-cluster", "nowhere"}, "nowhere"},
		{[]string{"-jobs", "-cluster", "127.0.0.1:0"}, "name the 2 or 4 others"},
		{[]string{"-jobs", "-cluster", "127.0.0.1:0", "-routes", "127.0.0.1:7002"}, "name the 2 or 4 others"},
	} {
		if _, err := open(t, c.flags...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: got error %v, want one with %q", c.flags, err, c.want)
		}
	}
}
