package redislayer_test

import (
	"context"
	"fmt"
	"time"

	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/redislayer"
)

type said struct {
	Text string `json:"text"`
}

const chatMessage layers.Type[said] = "chat.message"

// Django code that calls group_send("chat.lobby", {"type": "chat.message", "text": "hello"}) reaches this channel.
func ExampleCore() {
	ctx := context.Background()
	layer, err := redislayer.Core(ctx, &redislayer.Options{
		Options:     layers.Options{Expiry: time.Minute, Capacities: []layers.Capacity{layers.Glob("thumbnails", 1000)}},
		Hosts:       []string{"redis://:password@10.0.0.1:6379/0", "redis://:password@10.0.0.2:6379/0"},
		Prefix:      "asgi",
		GroupExpiry: 24 * time.Hour,
		Keys:        []string{"the newest secret", "the one before"},
	})
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
	if err := layer.GroupAdd(ctx, "chat.lobby", channel); err != nil {
		fmt.Println(err)
		return
	}
	m, err := layer.Receive(ctx, channel)
	if err != nil {
		fmt.Println(err)
		return
	}
	v, err := chatMessage.Decode(m)
	fmt.Println(v.Text, err)
}

// serializer_format "json" of channels_redis is the option Serializer.
func ExamplePubSub() {
	ctx := context.Background()
	layer, err := redislayer.PubSub(ctx, &redislayer.Options{
		Hosts:      []string{"unix:///run/redis/redis.sock?db=1"},
		Serializer: redislayer.JSON,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer layer.Close(ctx)
	if err := layer.GroupSend(ctx, "chat.lobby", chatMessage.With(said{"hello"})); err != nil {
		fmt.Println(err)
	}
}
