package layertest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tideway-go/tideway/layers"
)

// A limited backend keeps all promises but those that an exception or a delay names.
type limited struct {
	name   string
	wrap   func() func(int, node) node
	except func(*Harness)
	breaks []int // the promises that it breaks when nothing is excepted
}

var limitedBackends = []limited{
	{"full mailboxes are not seen", each(unseen), func(h *Harness) { h.Exceptions.FullUnseen = true }, []int{5, 11}},
	{"messages overtake", each(scatters), func(h *Harness) { h.Exceptions.Unordered = true }, []int{3}},
	{"no queues", each(queueless), func(h *Harness) {
		h.Exceptions.NoQueues, h.Exceptions.NoJobs = true, true
	}, []int{1, 5, 11, 18}},
	{"no durable queues", each(jobless), func(h *Harness) { h.Exceptions.NoJobs = true }, []int{18}},
	{"missing channels are not seen", each(func(s *spoiled) {
		s.send = func(ctx context.Context, channel string, m layers.Message) error {
			return forgive(s.node.Send(ctx, channel, m), layers.ErrNoChannel)
		}
	}), func(h *Harness) { h.Exceptions.NoErrNoChannel = true }, []int{10, 12}},
	{"JSON, all numbers as floats", jsonOnly(false), func(h *Harness) { h.Exceptions.JSON = true }, []int{17}},
	{"JSON, whole numbers as integers", jsonOnly(true), func(h *Harness) { h.Exceptions.JSON = true }, []int{17}},
	{"interest takes 50 ms", cluster(func() *interest { return &interest{since: map[[2]string]time.Time{}} }, slowInterest),
		func(h *Harness) { h.InterestDelay = 50 * time.Millisecond }, []int{8}},
}

// TestLimited shows that a backend passes the whole suite once it has named what it cannot promise, and that it does
// not pass without.
func TestLimited(t *testing.T) {
	for _, l := range limitedBackends {
		t.Run(l.name, func(t *testing.T) {
			for i := range rules {
				r := &rules[i]
				if slices.Contains(l.breaks, r.number) && len(l.failures(t, r, func(*Harness) {})) == 0 {
					t.Errorf("without its exception it does not break %s", r.name())
				}
				for name, output := range l.failures(t, r, l.except) {
					t.Errorf("with its exception it fails %q: %s", name, output)
				}
			}
		})
	}
}

// failures runs the checks of a promise and returns what failed.
func (l limited) failures(t *testing.T, r *rule, except func(*Harness)) map[string]string {
	failed := map[string]string{}
	for _, c := range r.checks {
		b := breakage{wrap: l.wrap, harness: except}
		if output := b.try(t, r, c, 3); output != "" {
			failed[c.name] = output
		}
	}
	return failed
}

// unseen tells no sender that a channel is full: the drop is counted.
func unseen(s *spoiled) {
	layer := s.node.(layerNode).Layer
	s.send = func(ctx context.Context, channel string, m layers.Message) error {
		err := layer.Send(ctx, channel, m)
		if _, durable := layer.Durable(channel); errors.Is(err, layers.ErrChannelFull) && !durable {
			layer.Dropped(layers.Drop{Channel: channel, Type: m.Type(), Reason: layers.DropFull})
			return nil
		}
		return err
	}
}

// scatters sends every third group message 10 ms late.
func scatters(s *spoiled) {
	var n atomic.Int64
	s.groupSend = func(ctx context.Context, group string, m layers.Message) error {
		if n.Add(1)%3 != 0 || m.Type() != noteType.String() || group != "room" || m.Size() > 1000 { // sizes are checked at once
			return s.node.GroupSend(ctx, group, m)
		}
		time.AfterFunc(10*time.Millisecond, func() { _ = s.node.GroupSend(context.Background(), group, m) })
		return nil
	}
	s.close = func(ctx context.Context) error {
		pause(20 * time.Millisecond) // until the late ones are sent
		return s.node.Close(ctx)
	}
}

// queueless has no channels without "!".
func queueless(s *spoiled) {
	refused := func(ctx context.Context, channel string) error {
		if err := s.node.GroupDiscard(ctx, "group", channel); err != nil || !isQueue(channel) {
			return err // a bad name, or the layer is closed
		}
		return errors.ErrUnsupported
	}
	s.send = func(ctx context.Context, channel string, m layers.Message) error {
		if err := refused(ctx, channel); err != nil {
			return err
		}
		return s.node.Send(ctx, channel, m)
	}
	s.receive = func(ctx context.Context, channel string) (layers.Message, error) {
		if err := refused(ctx, channel); err != nil {
			return layers.Message{}, err
		}
		return s.node.Receive(ctx, channel)
	}
	s.groupAdd = func(ctx context.Context, group, channel string) error {
		if err := refused(ctx, channel); err != nil {
			return err
		}
		return s.node.GroupAdd(ctx, group, channel)
	}
	s.take = func(ctx context.Context, queue string) (job, error) {
		if err := refused(ctx, queue); err != nil {
			return nil, err
		}
		return s.node.Take(ctx, queue)
	}
}

// jsonOnly passes untyped payloads through JSON, and reads its whole numbers as integers or as floats.
func jsonOnly(integers bool) func() func(int, node) node {
	through := func(m layers.Message) (layers.Message, error) {
		if m.Type() != valueType.String() {
			return m, nil
		}
		fields, err := m.Fields()
		if err != nil {
			return m, err
		}
		text, err := json.Marshal(fields)
		if err != nil {
			return m, err
		}
		d := json.NewDecoder(bytes.NewReader(text))
		if integers {
			d.UseNumber() // which is written as an integer where it is one
		}
		var back map[string]any
		err = d.Decode(&back)
		return valueType.With(back), err
	}
	return each(func(s *spoiled) {
		s.send = func(ctx context.Context, channel string, m layers.Message) error {
			m, err := through(m)
			if err != nil {
				return err
			}
			return s.node.Send(ctx, channel, m)
		}
		s.groupSend = func(ctx context.Context, group string, m layers.Message) error {
			m, err := through(m)
			if err != nil {
				return err
			}
			return s.node.GroupSend(ctx, group, m)
		}
	})
}

// interest is when group members joined, and which instance knew at once.
type interest struct {
	mu    sync.Mutex
	since map[[2]string]time.Time // group and channel
}

// slowInterest keeps the group sends of other instances from members that joined less than 40 ms ago.
func slowInterest(known *interest, _ int, s *spoiled) {
	own := map[string]bool{}
	opened := func(channel string, err error) (string, error) {
		known.mu.Lock()
		defer known.mu.Unlock()
		own[channel] = true
		return channel, err
	}
	s.newChannel = func(ctx context.Context) (string, error) { return opened(s.node.NewChannel(ctx)) }
	s.listen = func(ctx context.Context, in layers.Inbox) (string, error) { return opened(s.node.Listen(ctx, in)) }
	s.groupAdd = func(ctx context.Context, group, channel string) error {
		known.mu.Lock()
		defer known.mu.Unlock()
		if key := [2]string{group, channel}; known.since[key].IsZero() {
			known.since[key] = time.Now()
		}
		return s.node.GroupAdd(ctx, group, channel)
	}
	s.groupDiscard = func(ctx context.Context, group, channel string) error {
		known.mu.Lock()
		defer known.mu.Unlock()
		delete(known.since, [2]string{group, channel})
		return s.node.GroupDiscard(ctx, group, channel)
	}
	s.groupSend = func(ctx context.Context, group string, m layers.Message) error {
		known.mu.Lock()
		defer known.mu.Unlock()
		for key, since := range known.since {
			if key[0] == group && !own[key[1]] && !isQueue(key[1]) && time.Since(since) < 40*time.Millisecond {
				if s.node.GroupDiscard(ctx, group, key[1]) == nil {
					defer func() { _ = s.node.GroupAdd(ctx, group, key[1]) }()
				}
			}
		}
		return s.node.GroupSend(ctx, group, m)
	}
}
