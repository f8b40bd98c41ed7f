package memlayer_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/memlayer"
)

// One line at start.
func ExampleNew() {
	layers.Register(layers.Default, memlayer.New(nil))
	defer layers.Register(layers.Default, nil)
	fmt.Println(layers.Get(layers.Default).Capacity("chat"))
	// Output: 100
}

type order struct{ Table int }

const ordered layers.Type[order] = "kitchen.ordered"

// Two layers over one bus behave as two processes on one broker.
func ExampleNewBus() {
	ctx := context.Background()
	bus := memlayer.NewBus(nil)
	waiter, kitchen := bus.Layer(), bus.Layer()

	cook, err := kitchen.NewChannel(ctx)
	if err != nil {
		fmt.Println(err)
	}
	if err := kitchen.GroupAdd(ctx, "cooks", cook); err != nil {
		fmt.Println(err)
	}
	if err := waiter.GroupSend(ctx, "cooks", ordered.With(order{Table: 4})); err != nil {
		fmt.Println(err)
	}
	m, err := kitchen.Receive(ctx, cook)
	if err != nil {
		fmt.Println(err)
	}
	v, err := ordered.Decode(m)
	fmt.Println(v.Table, err)
	// Output: 4 <nil>
}

// watch prints the state of its layer.
type watch struct{}

func (watch) Deliver(m layers.Message) error {
	if m.Type() == layers.Down.String() {
		o, err := layers.Down.Decode(m)
		fmt.Println("down:", o.Cause, err)
	} else if m.Type() == layers.Up.String() {
		fmt.Println("up")
	}
	return nil
}

// A test of what an application does while its broker is away.
func ExampleBus_Cut() {
	ctx := context.Background()
	bus := memlayer.NewBus(nil)
	layer := bus.Layer()
	if _, err := layer.Listen(ctx, watch{}); err != nil {
		fmt.Println(err)
	}
	bus.Cut(layer, errors.New("broker restarts"))
	fmt.Println(layer.Send(ctx, "kitchen", ordered.With(order{Table: 4})))
	bus.Mend(layer)
	fmt.Println(layer.Send(ctx, "kitchen", ordered.With(order{Table: 4})))
	// Output:
	// down: broker restarts <nil>
	// layers: send to "kitchen": cut off from the bus: broker restarts
	// up
	// <nil>
}
