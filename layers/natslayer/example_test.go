package natslayer_test

import (
	"context"
	"fmt"

	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/natslayer"
	"github.com/tideway-go/tideway/layers/natslayer/embedded"
)

// One binary, a broker inside: layers of other processes would be opened with its URL.
func Example() {
	ctx := context.Background()
	srv, err := embedded.Start(ctx, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer srv.Close(ctx)
	layer, err := natslayer.New(ctx, srv.Conn(), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer layer.Close(ctx)

	channel, err := layer.NewChannel(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := layer.GroupAdd(ctx, "lobby", channel); err != nil {
		fmt.Println(err)
	}
	const hello layers.Type[struct{ To string }] = "hello"
	if err := layer.GroupSend(ctx, "lobby", hello.With(struct{ To string }{"all"})); err != nil {
		fmt.Println(err)
	}
	m, err := layer.Receive(ctx, channel)
	fmt.Println(m.Type(), err)
	// Output: hello <nil>
}

// A command that tells a room something and exits: Close sends what is buffered.
func ExampleOpen() {
	ctx := context.Background()
	layer, err := natslayer.Open(ctx, "nats://ops:secret@10.0.0.1:4222,nats://10.0.0.2:4222", &natslayer.Options{
		Options: layers.Options{Capacity: 200},
		Prefix:  "shop",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	const notice layers.Type[struct{ Text string }] = "notice"
	if err := layer.GroupSend(ctx, "everybody", notice.With(struct{ Text string }{"back at noon"})); err != nil {
		fmt.Println(err)
	}
	if err := layer.Close(ctx); err != nil { // what could not be sent
		fmt.Println(err)
	}
}
