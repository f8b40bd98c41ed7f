package layertest

import (
	"context"
	"strings"

	"github.com/tideway-go/tideway/layers"
)

// spoiled is a node with some methods replaced; the replacements call the embedded node's.
type spoiled struct {
	node
	newChannel   func(ctx context.Context) (string, error)
	listen       func(ctx context.Context, in layers.Inbox) (string, error)
	endChannel   func(ctx context.Context, channel string) error
	receive      func(ctx context.Context, channel string) (layers.Message, error)
	take         func(ctx context.Context, queue string) (job, error)
	send         func(ctx context.Context, channel string, m layers.Message) error
	groupAdd     func(ctx context.Context, group, channel string) error
	groupDiscard func(ctx context.Context, group, channel string) error
	groupSend    func(ctx context.Context, group string, m layers.Message) error
	flush        func(ctx context.Context) error
	close        func(ctx context.Context) error
}

// each wraps every node alike.
func each(spoil func(s *spoiled)) func() func(int, node) node {
	return func() func(int, node) node {
		return func(_ int, n node) node {
			s := &spoiled{node: n}
			spoil(s)
			return s
		}
	}
}

// cluster wraps nodes with a state that they share; it is made anew for each cluster of a check.
func cluster[T any](fresh func() T, spoil func(state T, i int, s *spoiled)) func() func(int, node) node {
	return func() func(int, node) node {
		var state T
		return func(i int, n node) node {
			if i == 0 {
				state = fresh()
			}
			s := &spoiled{node: n}
			spoil(state, i, s)
			return s
		}
	}
}

func isQueue(channel string) bool { return !strings.Contains(channel, "!") }

func (s *spoiled) NewChannel(ctx context.Context) (string, error) {
	if s.newChannel != nil {
		return s.newChannel(ctx)
	}
	return s.node.NewChannel(ctx)
}

func (s *spoiled) Listen(ctx context.Context, in layers.Inbox) (string, error) {
	if s.listen != nil {
		return s.listen(ctx, in)
	}
	return s.node.Listen(ctx, in)
}

func (s *spoiled) EndChannel(ctx context.Context, channel string) error {
	if s.endChannel != nil {
		return s.endChannel(ctx, channel)
	}
	return s.node.EndChannel(ctx, channel)
}

func (s *spoiled) Receive(ctx context.Context, channel string) (layers.Message, error) {
	if s.receive != nil {
		return s.receive(ctx, channel)
	}
	return s.node.Receive(ctx, channel)
}

func (s *spoiled) Take(ctx context.Context, queue string) (job, error) {
	if s.take != nil {
		return s.take(ctx, queue)
	}
	return s.node.Take(ctx, queue)
}

func (s *spoiled) Send(ctx context.Context, channel string, m layers.Message) error {
	if s.send != nil {
		return s.send(ctx, channel, m)
	}
	return s.node.Send(ctx, channel, m)
}

func (s *spoiled) GroupAdd(ctx context.Context, group, channel string) error {
	if s.groupAdd != nil {
		return s.groupAdd(ctx, group, channel)
	}
	return s.node.GroupAdd(ctx, group, channel)
}

func (s *spoiled) GroupDiscard(ctx context.Context, group, channel string) error {
	if s.groupDiscard != nil {
		return s.groupDiscard(ctx, group, channel)
	}
	return s.node.GroupDiscard(ctx, group, channel)
}

func (s *spoiled) GroupSend(ctx context.Context, group string, m layers.Message) error {
	if s.groupSend != nil {
		return s.groupSend(ctx, group, m)
	}
	return s.node.GroupSend(ctx, group, m)
}

func (s *spoiled) Flush(ctx context.Context) error {
	if s.flush != nil {
		return s.flush(ctx)
	}
	return s.node.Flush(ctx)
}

func (s *spoiled) Close(ctx context.Context) error {
	if s.close != nil {
		return s.close(ctx)
	}
	return s.node.Close(ctx)
}
