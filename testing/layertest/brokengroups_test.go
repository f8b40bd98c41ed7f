package layertest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/tideway-go/tideway/layers"
)

// registry is what wrappers of one cluster remember of memberships.
type registry struct {
	mu     sync.Mutex
	joined map[[2]string]int // group and channel
	last   map[string]layers.Message
}

func newRegistry() *registry {
	return &registry{joined: map[[2]string]int{}, last: map[string]layers.Message{}}
}

func (r *registry) add(group, channel string, by int) (before, after int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := [2]string{group, channel}
	before = r.joined[key]
	r.joined[key] = max(0, before+by)
	return before, r.joined[key]
}

func (r *registry) members(group string) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, count := range r.joined {
		if key[0] == group && count > 0 {
			n++
		}
	}
	return n
}

func brokenJoins() []breakage {
	return []breakage{
		{number: 8, name: "a discard is forgotten", wrap: each(func(s *spoiled) {
			s.groupDiscard = func(context.Context, string, string) error { return nil }
		}), catches: []string{"members hear", "an instance may add", "no group message", "joining and leaving"}},
		{number: 8, name: "a join takes a second", wrap: each(func(s *spoiled) {
			s.groupAdd = func(ctx context.Context, group, channel string) error {
				time.AfterFunc(time.Second, func() { _ = s.node.GroupAdd(context.Background(), group, channel) })
				return nil
			}
		}), catches: []string{"members hear", "a group of 1", "the first group message", "an instance may add", "joining and leaving"}},
	}
}

func brokenForgiveness() []breakage {
	return []breakage{
		{number: 9, name: "joins are counted", wrap: cluster(newRegistry, func(r *registry, _ int, s *spoiled) {
			s.groupAdd = func(ctx context.Context, group, channel string) error {
				r.add(group, channel, 1)
				return s.node.GroupAdd(ctx, group, channel)
			}
			s.groupDiscard = func(ctx context.Context, group, channel string) error {
				if _, left := r.add(group, channel, -1); left > 0 {
					return nil
				}
				return s.node.GroupDiscard(ctx, group, channel)
			}
		}), catches: []string{"a member that was added twice"}},
		{number: 9, name: "strangers and empty groups are errors", wrap: cluster(newRegistry, func(r *registry, _ int, s *spoiled) {
			s.groupAdd = func(ctx context.Context, group, channel string) error {
				r.add(group, channel, 1)
				return s.node.GroupAdd(ctx, group, channel)
			}
			s.groupDiscard = func(ctx context.Context, group, channel string) error {
				if before, _ := r.add(group, channel, -1); before == 0 {
					return errors.New("not a member")
				}
				return s.node.GroupDiscard(ctx, group, channel)
			}
			s.groupSend = func(ctx context.Context, group string, m layers.Message) error {
				if r.members(group) == 0 {
					return errors.New("no such group")
				}
				return s.node.GroupSend(ctx, group, m)
			}
		}), catches: []string{"discarding a stranger", "sending to a group without"}},
		{number: 9, name: "a group remembers its last message", wrap: cluster(newRegistry, func(r *registry, _ int, s *spoiled) {
			s.groupSend = func(ctx context.Context, group string, m layers.Message) error {
				r.mu.Lock()
				r.last[group] = m
				r.mu.Unlock()
				return s.node.GroupSend(ctx, group, m)
			}
			s.groupAdd = func(ctx context.Context, group, channel string) error {
				r.mu.Lock()
				m, ok := r.last[group]
				r.mu.Unlock()
				if ok {
					_ = s.node.Send(ctx, channel, m)
				}
				return s.node.GroupAdd(ctx, group, channel)
			}
		}), catches: []string{"sending to a group without"}},
	}
}

func brokenMembership() []breakage {
	return []breakage{
		{number: 10, name: "channels do not end", wrap: each(func(s *spoiled) {
			s.endChannel = func(context.Context, string) error { return nil }
		}), catches: []string{"a channel that has ended", "a Receive that waits"}},
		{number: 10, name: "ending an unknown channel is an error", wrap: cluster(func() *sync.Map { return new(sync.Map) },
			func(known *sync.Map, _ int, s *spoiled) {
				s.newChannel = func(ctx context.Context) (string, error) {
					channel, err := s.node.NewChannel(ctx)
					known.Store(channel, true)
					return channel, err
				}
				s.endChannel = func(ctx context.Context, channel string) error {
					if _, ok := known.LoadAndDelete(channel); !ok {
						return layers.ErrNoChannel
					}
					return s.node.EndChannel(ctx, channel)
				}
			}), catches: []string{"ending an unknown"}},
		{number: 10, name: "a dead process is not noticed", harness: func(h *Harness) { h.Crash = h.Break },
			catches: []string{"a process that died", "a queue leaves"}},
		{number: 10, name: "memberships end after a day", wrap: each(func(s *spoiled) {
			s.groupAdd = func(ctx context.Context, group, channel string) error {
				time.AfterFunc(24*time.Hour, func() { _ = s.node.GroupDiscard(context.Background(), group, channel) })
				return s.node.GroupAdd(ctx, group, channel)
			}
		}), catches: []string{"a live member"}},
	}
}

func brokenQueues() []breakage {
	toQueue := func(s *spoiled, f func(ctx context.Context, channel string, m layers.Message) error) {
		s.send = func(ctx context.Context, channel string, m layers.Message) error {
			if !isQueue(channel) {
				return s.node.Send(ctx, channel, m)
			}
			return f(ctx, channel, m)
		}
	}
	return []breakage{
		{number: 11, name: "a queue does not keep", wrap: each(func(s *spoiled) {
			toQueue(s, func(context.Context, string, layers.Message) error { return nil })
		}), catches: []string{"a message waits", "one receiver", "of several", "a queue that is a member", "a receiver that waits"}},
		{number: 11, name: "a queue stores twice", wrap: each(func(s *spoiled) {
			toQueue(s, func(ctx context.Context, channel string, m layers.Message) error {
				return errors.Join(s.node.Send(ctx, channel, m), s.node.Send(ctx, channel, m))
			})
			s.groupSend = func(ctx context.Context, group string, m layers.Message) error {
				return errors.Join(s.node.GroupSend(ctx, group, m), forgive(s.node.Send(ctx, "jobs", m), layers.ErrChannelFull))
			}
		}), catches: []string{"a message waits", "one receiver", "of several", "a queue that is a member"}},
		{number: 11, name: "a full queue is no error", wrap: each(func(s *spoiled) {
			toQueue(s, func(ctx context.Context, channel string, m layers.Message) error {
				return forgive(s.node.Send(ctx, channel, m), layers.ErrChannelFull)
			})
		}), catches: []string{"a full queue"}},
		{number: 11, name: "messages do not expire", harness: withOptions(func(o *layers.Options) { o.Expiry = 24 * time.Hour }),
			catches: []string{"an expired message"}},
		{number: 11, name: "a cancelled Receive swallows a message", wrap: each(swallows), catches: []string{"a cancelled Receive"}},
		{number: 11, name: "a Flush flushes nothing", wrap: each(func(s *spoiled) {
			s.flush = func(context.Context) error { return nil }
		}), catches: []string{"a receiver that waits"}},
		{number: 11, name: "Receive does not look at its context", wrap: each(func(s *spoiled) {
			s.receive = func(ctx context.Context, channel string) (layers.Message, error) {
				deaf, cancel := context.WithTimeout(context.Background(), 3*patience)
				defer cancel()
				return s.node.Receive(deaf, channel)
			}
		}), catches: []string{"Receive obeys"}},
	}
}
