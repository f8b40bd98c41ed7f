package layertest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tideway-go/tideway/layers"
)

// breakages are the broken backends, at least one for each promise.
func breakages() []breakage {
	return slices.Concat(brokenNames(), brokenOwnership(), brokenDelivery(), brokenCapacity(), brokenExpiry(), brokenSnapshots(),
		brokenJoins(), brokenForgiveness(), brokenMembership(), brokenQueues(), brokenErrors(), brokenOutages(),
		brokenRestoration(), brokenClose(), brokenPayloads(), brokenJobs())
}

func brokenNames() []breakage {
	return []breakage{
		{number: 1, name: "invalid names are ignored", wrap: each(func(s *spoiled) {
			s.send = func(ctx context.Context, channel string, m layers.Message) error {
				return forgive(s.node.Send(ctx, channel, m), layers.ErrInvalidName)
			}
			s.groupAdd = func(ctx context.Context, group, channel string) error {
				return forgive(s.node.GroupAdd(ctx, group, channel), layers.ErrInvalidName)
			}
		}), catches: []string{"an invalid channel name", "an invalid group name", "a refused send"}},
		{number: 1, name: "names are trimmed", wrap: each(func(s *spoiled) {
			s.send = func(ctx context.Context, channel string, m layers.Message) error {
				err := s.node.Send(ctx, channel, m)
				if errors.Is(err, layers.ErrInvalidName) {
					_ = s.node.Send(ctx, strings.TrimSpace(channel), m)
				}
				return err
			}
		}), catches: []string{"a refused send"}},
		{number: 1, name: "an underscore is invalid", wrap: each(func(s *spoiled) {
			refuse := func(name string) error {
				if strings.Contains(name, "_") {
					return layers.ErrInvalidName
				}
				return nil
			}
			s.send = func(ctx context.Context, channel string, m layers.Message) error {
				return errors.Join(refuse(channel), s.node.Send(ctx, channel, m))
			}
			s.groupSend = func(ctx context.Context, group string, m layers.Message) error {
				return errors.Join(refuse(group), s.node.GroupSend(ctx, group, m))
			}
		}), catches: []string{"a valid channel name", "a valid group name"}},
	}
}

func brokenOwnership() []breakage {
	return []breakage{
		{number: 2, name: "every instance counts its channels from 1", wrap: each(func(s *spoiled) {
			var n atomic.Int64
			s.newChannel = func(ctx context.Context) (string, error) {
				return "specific.process!" + strings.Repeat("1", int(n.Add(1)%90)), nil
			}
		}), catches: []string{"all channel names", "a message reaches the owner"}},
		{number: 2, name: "anybody may receive", wrap: cluster(func() *sync.Map { return new(sync.Map) },
			func(owners *sync.Map, _ int, s *spoiled) {
				s.newChannel = func(ctx context.Context) (string, error) {
					channel, err := s.node.NewChannel(ctx)
					owners.Store(channel, s.node)
					return channel, err
				}
				s.receive = func(ctx context.Context, channel string) (layers.Message, error) {
					if owner, ok := owners.Load(channel); ok {
						return owner.(node).Receive(ctx, channel)
					}
					return s.node.Receive(ctx, channel)
				}
			}), catches: []string{"another instance cannot receive"}},
		{number: 2, name: "one receiver at a time", wrap: each(func(s *spoiled) {
			turn := make(chan struct{}, 1)
			s.receive = func(ctx context.Context, channel string) (layers.Message, error) {
				select {
				case turn <- struct{}{}:
				case <-ctx.Done():
					return layers.Message{}, ctx.Err()
				}
				defer func() { <-turn }()
				return s.node.Receive(ctx, channel)
			}
		}), catches: []string{"two goroutines receive"}},
		{number: 2, name: "a cancelled Receive swallows a message", wrap: each(swallows), catches: []string{"a cancelled Receive"}},
	}
}

// swallows makes a Receive that was cancelled take the next message with it.
func swallows(s *spoiled) {
	s.receive = func(ctx context.Context, channel string) (layers.Message, error) {
		m, err := s.node.Receive(ctx, channel)
		if errors.Is(err, context.Canceled) {
			late, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
			defer cancel()
			_, _ = s.node.Receive(late, channel)
		}
		return m, err
	}
}

func brokenDelivery() []breakage {
	return []breakage{
		{number: 3, name: "every second message overtakes the one before", wrap: each(overtakes),
			catches: []string{"three messages", "10,000 messages", "each of several"}},
		{number: 4, name: "a direct message is sent twice", wrap: each(func(s *spoiled) {
			s.send = func(ctx context.Context, channel string, m layers.Message) error {
				return errors.Join(s.node.Send(ctx, channel, m), s.node.Send(ctx, channel, m))
			}
		}), catches: []string{"a direct message"}},
		{number: 4, name: "a group message is sent twice", wrap: each(func(s *spoiled) {
			s.groupSend = func(ctx context.Context, group string, m layers.Message) error {
				return errors.Join(s.node.GroupSend(ctx, group, m), s.node.GroupSend(ctx, group, m))
			}
		}), catches: []string{"three members", "a member of two", "with every instance", "a broken link"}},
	}
}

// overtakes holds back every second note until the next message has been sent.
func overtakes(s *spoiled) {
	var mu sync.Mutex
	var held func() error
	swap := func(m layers.Message, send func() error) error {
		mu.Lock()
		defer mu.Unlock()
		if held == nil && m.Type() == noteType.String() {
			held = send
			return nil
		}
		err := send()
		if held != nil {
			err = errors.Join(err, held())
			held = nil
		}
		return err
	}
	s.send = func(ctx context.Context, channel string, m layers.Message) error {
		return swap(m, func() error { return s.node.Send(ctx, channel, m) })
	}
	s.groupSend = func(ctx context.Context, group string, m layers.Message) error {
		return swap(m, func() error { return s.node.GroupSend(ctx, group, m) })
	}
}

// withOptions changes what the backend is given.
func withOptions(change func(*layers.Options)) func(*Harness) {
	return func(h *Harness) {
		inner := h.New
		h.New = func(tb testing.TB, opts layers.Options, n int) []*layers.Layer {
			change(&opts)
			return inner(tb, opts, n)
		}
	}
}

func brokenCapacity() []breakage {
	return []breakage{
		{number: 5, name: "a full channel is no error", wrap: each(func(s *spoiled) {
			s.send = func(ctx context.Context, channel string, m layers.Message) error {
				return forgive(s.node.Send(ctx, channel, m), layers.ErrChannelFull)
			}
		}), catches: []string{"a direct send to a full", "a full channel takes", "an Inbox without room", "the bound is", "the default is 100",
			"patterns override", "2 MiB of payload"}},
		{number: 5, name: "what was refused arrives later", wrap: each(func(s *spoiled) {
			s.send = func(ctx context.Context, channel string, m layers.Message) error {
				err := s.node.Send(ctx, channel, m)
				if errors.Is(err, layers.ErrChannelFull) {
					time.AfterFunc(0, func() {
						for range 100 {
							if s.node.Send(context.Background(), channel, m) == nil {
								return
							}
							pause(time.Second)
						}
					})
					pause(0)
				}
				return err
			}
			s.receive = func(ctx context.Context, channel string) (layers.Message, error) {
				pause(2 * time.Second)
				return s.node.Receive(ctx, channel)
			}
		}), catches: []string{"a direct send to a full"}},
		{number: 5, name: "the default is 50", harness: withOptions(func(o *layers.Options) {
			if o.Capacity == 0 {
				o.Capacity = 50
			}
		}), catches: []string{"the default is 100"}},
		{number: 5, name: "a negative capacity is the default", harness: withOptions(func(o *layers.Options) {
			o.Capacity = max(0, o.Capacity)
		}), catches: []string{"a negative capacity"}},
		{number: 5, name: "a group send fails for full members", wrap: each(func(s *spoiled) {
			sends := 0
			s.groupSend = func(ctx context.Context, group string, m layers.Message) error {
				if sends++; sends%3 == 0 {
					return errors.Join(layers.ErrChannelFull, s.node.GroupSend(ctx, group, m))
				}
				return s.node.GroupSend(ctx, group, m)
			}
		}), catches: []string{"a group send skips", "a group whose members"}},
		{number: 5, name: "drops are not counted", harness: withOptions(func(o *layers.Options) { o.OnDrop = nil }),
			catches: []string{"a group send skips", "a group whose members"}},
	}
}

func brokenExpiry() []breakage {
	return []breakage{
		{number: 6, name: "messages do not expire", harness: withOptions(func(o *layers.Options) { o.Expiry = 24 * time.Hour }),
			catches: []string{"of messages sent", "of group messages", "an expired message", "after the expiry", "after one was read",
				"a message that an Inbox", "the default is 60 s"}},
		{number: 6, name: "a member whose message expired leaves", wrap: each(func(s *spoiled) {
			var last time.Time
			var members []string
			s.groupAdd = func(ctx context.Context, group, channel string) error {
				members = append(members, channel)
				return s.node.GroupAdd(ctx, group, channel)
			}
			s.groupSend = func(ctx context.Context, group string, m layers.Message) error {
				if !last.IsZero() && time.Since(last) >= 3*time.Second {
					for _, channel := range members {
						_ = s.node.GroupDiscard(ctx, group, channel)
					}
				}
				last = time.Now()
				return s.node.GroupSend(ctx, group, m)
			}
		}), catches: []string{"a member whose message expired"}},
	}
}

func brokenSnapshots() []breakage {
	return []breakage{
		{number: 7, name: "a message is encoded when it is sent", wrap: each(func(s *spoiled) {
			s.send = func(ctx context.Context, channel string, m layers.Message) error {
				if v, ok := late.Load(m); ok {
					m = baggageType.With(v.(baggage))
				}
				return s.node.Send(ctx, channel, m)
			}
		}), hooks: func(b *backend) {
			b.with = func(v baggage) layers.Message {
				m := baggageType.With(v)
				late.Store(m, v)
				return m
			}
		}, catches: []string{"a change by the sender"}},
		{number: 7, name: "receivers share what was decoded", hooks: func(b *backend) {
			b.decode = func(m layers.Message) (baggage, error) {
				v, err := m.Once("baggage", func() (any, error) { return baggageType.Decode(m) })
				return v.(baggage), err
			}
			b.fields = func(m layers.Message) (map[string]any, error) {
				v, err := m.Once("fields", func() (any, error) { return m.Fields() })
				return v.(map[string]any), err
			}
		}, catches: []string{"a change by one receiver", "a change to the fields"}},
	}
}

// late holds the payloads of messages that are encoded too late.
var late sync.Map
