package layertest

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/tideway-go/tideway/layers"
)

func brokenErrors() []breakage {
	return []breakage{
		{number: 12, name: "a missing channel is no error", wrap: each(func(s *spoiled) {
			s.send = func(ctx context.Context, channel string, m layers.Message) error {
				return forgive(s.node.Send(ctx, channel, m), layers.ErrNoChannel)
			}
		}), catches: []string{"a channel that never was", "a channel that has ended", "a channel whose Inbox", "a channel of an instance"}},
		{number: 13, name: "the wrong error for a large message", wrap: each(func(s *spoiled) {
			s.groupSend = func(ctx context.Context, group string, m layers.Message) error {
				if err := s.node.GroupSend(ctx, group, m); err != nil {
					return errors.New(err.Error())
				}
				return nil
			}
		}), catches: []string{"a message above", "the default limit"}},
		{number: 13, name: "no limit", harness: withOptions(func(o *layers.Options) { o.MaxMessageSize = 1 << 30 }),
			catches: []string{"a message above", "the default limit"}},
		{number: 13, name: "a limit below 1,000,000 bytes", harness: withOptions(func(o *layers.Options) { o.MaxMessageSize = 999_999 }),
			catches: []string{"a message of 1,000,000"}},
		{number: 14, name: "a send waits for room", wrap: each(func(s *spoiled) {
			s.send = func(ctx context.Context, channel string, m layers.Message) error {
				for {
					err := s.node.Send(ctx, channel, m)
					if !errors.Is(err, layers.ErrChannelFull) {
						return err
					}
					pause(time.Second)
				}
			}
		}), catches: []string{"sends to a full channel"}},
		{number: 14, name: "a send waits for an answer for a minute", wrap: each(func(s *spoiled) {
			s.send = func(ctx context.Context, channel string, m layers.Message) error {
				err := s.node.Send(ctx, channel, m)
				if errors.Is(err, layers.ErrUncertain) {
					pause(time.Minute)
				}
				return err
			}
		}), catches: []string{"a direct send that nobody"}},
		{number: 14, name: "what was not answered is sent twice later", wrap: each(func(s *spoiled) {
			s.send = func(ctx context.Context, channel string, m layers.Message) error {
				err := s.node.Send(ctx, channel, m)
				if errors.Is(err, layers.ErrUncertain) {
					time.AfterFunc(straggler/2, func() {
						_ = s.node.Send(context.Background(), channel, m)
						_ = s.node.Send(context.Background(), channel, m)
					})
				}
				return err
			}
		}), catches: []string{"a direct send that nobody"}},
		{number: 14, name: "a group send waits for the readers", wrap: each(func(s *spoiled) {
			s.groupSend = func(ctx context.Context, group string, m layers.Message) error {
				defer pause(time.Second)
				return s.node.GroupSend(ctx, group, m)
			}
		}), catches: []string{"sends to a channel that nobody", "sends to a group"}},
	}
}

// deaf is an Inbox that is not told of outages.
type deaf struct{ layers.Inbox }

func (d deaf) Deliver(m layers.Message) error {
	if m.Local() {
		return nil
	}
	return d.Inbox.Deliver(m)
}

// alarm is an Inbox that calls a function when the link is lost.
type alarm struct {
	layers.Inbox
	lost func()
}

func (a alarm) Deliver(m layers.Message) error {
	if m.Local() && m.Type() == layers.Down.String() {
		a.lost()
	}
	return a.Inbox.Deliver(m)
}

func brokenOutages() []breakage {
	return []breakage{
		{number: 15, name: "nobody is told", wrap: each(func(s *spoiled) {
			s.listen = func(ctx context.Context, in layers.Inbox) (string, error) { return s.node.Listen(ctx, deaf{in}) }
		}), catches: []string{"a channel is told", "other instances", "a Receive that waits", "memberships are restored", "joins and leaves"}},
		{number: 15, name: "everybody is told", wrap: each(func(s *spoiled) {}), harness: func(h *Harness) {
			all := map[*layers.Layer][]*layers.Layer{}
			made, cut, mend := h.New, h.Break, h.Mend
			h.New = func(tb testing.TB, opts layers.Options, n int) []*layers.Layer {
				cluster := made(tb, opts, n)
				for _, l := range cluster {
					all[l] = cluster
				}
				return cluster
			}
			h.Break = func(tb testing.TB, l *layers.Layer) {
				for _, l := range all[l][:2] {
					cut(tb, l)
				}
			}
			h.Mend = func(tb testing.TB, l *layers.Layer) {
				for _, l := range all[l][:2] {
					mend(tb, l)
				}
			}
		}, catches: []string{"other instances"}},
		{number: 15, name: "an outage ends every Receive", wrap: each(func(s *spoiled) {
			lost := make(chan struct{})
			ends := sync.OnceFunc(func() { close(lost) })
			s.listen = func(ctx context.Context, in layers.Inbox) (string, error) { return s.node.Listen(ctx, alarm{in, ends}) }
			s.receive = func(ctx context.Context, channel string) (layers.Message, error) {
				ctx, cancel := context.WithCancel(ctx)
				defer cancel()
				go func() { // ends with the Receive
					select {
					case <-lost:
						cancel()
					case <-ctx.Done():
					}
				}()
				return s.node.Receive(ctx, channel)
			}
		}), catches: []string{"a Receive that waits"}},
	}
}

func brokenRestoration() []breakage {
	return []breakage{
		{number: 15, name: "memberships are lost with the link", harness: func(h *Harness) {
			cut := h.Break
			h.Break = func(tb testing.TB, l *layers.Layer) {
				if err := l.Flush(context.Background()); err != nil {
					tb.Errorf("Flush: %v", err)
				}
				cut(tb, l)
			}
		}, catches: []string{"memberships are restored", "joins and leaves"}},
		{number: 15, name: "the link does not come back", harness: func(h *Harness) { h.Mend = func(testing.TB, *layers.Layer) {} },
			catches: []string{"a channel is told", "memberships are restored", "joins and leaves"}},
		{number: 15, name: "Down and Up can be sent", wrap: each(func(s *spoiled) {
			s.send = func(ctx context.Context, channel string, m layers.Message) error {
				if m.Type() == layers.Down.String() {
					return nil
				}
				return s.node.Send(ctx, channel, m)
			}
		}), catches: []string{"Down and Up cannot"}},
	}
}

func brokenClose() []breakage {
	return []breakage{
		{number: 16, name: "Close forgets what is buffered", wrap: each(func(s *spoiled) {
			var buffered []func() error
			s.groupSend = func(ctx context.Context, group string, m layers.Message) error {
				buffered = append(buffered, func() error { return s.node.GroupSend(ctx, group, m) })
				if len(buffered) < 7 {
					return nil
				}
				first := buffered[0]
				buffered = buffered[1:]
				return first()
			}
		}), catches: []string{"what was sent before"}},
		{number: 16, name: "Close closes nothing", wrap: each(func(s *spoiled) {
			s.close = func(context.Context) error { return nil }
		}), catches: []string{"a Receive that waits", "every method"}},
		{number: 16, name: "Close is seen as a lost link", wrap: each(func(s *spoiled) {
			s.groupSend = func(ctx context.Context, group string, m layers.Message) error {
				if err := s.node.GroupSend(ctx, group, m); err != nil {
					return errors.New("no link")
				}
				return nil
			}
		}), catches: []string{"every method", "what runs during"}},
		{number: 16, name: "Close closes everybody", wrap: cluster(func() *[]node { return new([]node) },
			func(all *[]node, _ int, s *spoiled) {
				*all = append(*all, s.node)
				s.close = func(ctx context.Context) error {
					for _, n := range *all {
						_ = n.Close(ctx)
					}
					return nil
				}
			}), catches: []string{"the members of a closed"}},
		{number: 16, name: "a goroutine outlives Close", wrap: each(func(s *spoiled) {
			s.close = func(ctx context.Context) error {
				go pause(3 * patience)
				return s.node.Close(ctx)
			}
		}), catches: []string{"no goroutine"}},
	}
}

// distort changes the fields of every message on its way.
func distort(change func(map[string]any)) func() func(int, node) node {
	return each(func(s *spoiled) {
		distorted := func(m layers.Message) layers.Message {
			fields, err := m.Fields()
			if err != nil {
				return m
			}
			change(fields)
			return layers.Type[map[string]any](m.Type()).With(fields)
		}
		s.send = func(ctx context.Context, channel string, m layers.Message) error {
			return s.node.Send(ctx, channel, distorted(m))
		}
		s.groupSend = func(ctx context.Context, group string, m layers.Message) error {
			return s.node.GroupSend(ctx, group, distorted(m))
		}
	})
}

func brokenPayloads() []breakage {
	return []breakage{
		{number: 17, name: "payloads travel as JSON", wrap: distort(func(fields map[string]any) {
			text, err := json.Marshal(fields)
			clear(fields)
			if err == nil {
				_ = json.Unmarshal(text, &fields)
			}
		}), catches: []string{"every kind of value comes", "every kind of value passes", "a struct comes back", "NaN and"}},
		{number: 17, name: "a JSON format loses the last digits of integers", harness: func(h *Harness) { h.Exceptions.JSON = true },
			wrap: distort(func(fields map[string]any) {
				if n, ok := fields["v"].(int64); ok && n > 1<<53 {
					fields["v"] = n - n%1024
				}
			}), catches: []string{"every kind of value comes"}},
		{number: 17, name: "keys are lost", wrap: distort(func(fields map[string]any) { delete(fields, "name") }),
			catches: []string{"a struct comes back", "the JSON of a payload"}},
		{number: 17, name: "NaN is 0", hooks: func(b *backend) {
			b.fields = func(m layers.Message) (map[string]any, error) {
				fields, err := m.Fields()
				if f, ok := fields["v"].(float64); ok && math.IsNaN(f) {
					fields["v"] = 0.0
				}
				return fields, err
			}
		}, catches: []string{"NaN and"}},
		{number: 17, name: "the type is a field", hooks: func(b *backend) {
			b.fields = func(m layers.Message) (map[string]any, error) {
				fields, err := m.Fields()
				fields["type"] = m.Type()
				return fields, err
			}
		}, catches: []string{"the fields of a message"}},
		{number: 17, name: "every message has one type", wrap: each(func(s *spoiled) {
			s.send = func(ctx context.Context, channel string, m layers.Message) error {
				return s.node.Send(ctx, channel, noteType.With(note{}))
			}
		}), catches: []string{"a message of another type"}},
	}
}
