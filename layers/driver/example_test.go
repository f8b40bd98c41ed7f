package driver_test

import (
	"context"
	"fmt"

	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/driver"
)

// loop is a whole backend: a process that can reach nobody but itself.
type loop struct {
	names *driver.Namer
	local *driver.Local
}

func (l *loop) Start(h driver.Host, _ driver.Limits) {
	l.names, l.local = driver.NewNamer(), driver.NewLocal(h)
}

func (l *loop) Open(_ context.Context, in driver.Inbox) (string, error) {
	channel := l.names.Next()
	l.local.Open(channel, in)
	return channel, nil
}

func (l *loop) Shut(_ context.Context, channel string) error {
	l.local.Shut(channel)
	return nil
}

func (l *loop) Send(_ context.Context, channel string, m *driver.Message) error {
	return l.local.Deliver(channel, m) // ErrNoChannel for what is not ours
}

func (l *loop) Close(context.Context) error { return nil }

func (l *loop) GroupAdd(_ context.Context, group, channel string) error {
	_, err := l.local.Join(group, channel)
	return err
}

func (l *loop) GroupDiscard(_ context.Context, group, channel string) error {
	l.local.Leave(group, channel)
	return nil
}

func (l *loop) GroupSend(_ context.Context, group string, m *driver.Message) error {
	l.local.DeliverGroup(group, m)
	return nil
}

// A driver says with its methods what it can do: this one has groups and no queues.
func Example() {
	ctx := context.Background()
	layer := layers.New(&loop{}, nil)
	channel, err := layer.NewChannel(ctx)
	if err != nil {
		fmt.Println(err)
	}
	if err := layer.GroupAdd(ctx, "room", channel); err != nil {
		fmt.Println(err)
	}
	const hello layers.Type[struct{ To string }] = "hello"
	if err := layer.GroupSend(ctx, "room", hello.With(struct{ To string }{"all"})); err != nil {
		fmt.Println(err)
	}
	m, err := layer.Receive(ctx, channel)
	if err != nil {
		fmt.Println(err)
	}
	fmt.Println(m.Type(), layer.Require(ctx, driver.FeatureGroups))
	fmt.Println(layer.Require(ctx, driver.FeatureQueues, driver.FeatureFlush))
	// Output:
	// hello <nil>
	// layers: this backend (*driver_test.loop) has no queues: unsupported operation
}
