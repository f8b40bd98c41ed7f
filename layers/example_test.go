package layers_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/memlayer"
)

type said struct {
	User string `json:"user"`
	Text string `json:"message"`
}

// chatMessage is the one place where a message's name and its payload meet.
const chatMessage layers.Type[said] = "chat.message"

// Any code may send to connections: a form's handler, a command, a timer. It needs the registered layer and the name
// of a group.
func Example_sendFromOutside() {
	ctx := context.Background()
	layers.Register(layers.Default, memlayer.New(nil)) // once, at start
	defer layers.Register(layers.Default, nil)

	publish := func(text string) error { // a form's handler, say
		return layers.Get(layers.Default).GroupSend(ctx, "chat.lobby", chatMessage.With(said{"the site", text}))
	}

	// A connection's consumer does this by itself; here is what it comes to.
	layer := layers.Get(layers.Default)
	channel, err := layer.NewChannel(ctx)
	if err != nil {
		fmt.Println(err)
	}
	if err := layer.GroupAdd(ctx, "chat.lobby", channel); err != nil {
		fmt.Println(err)
	}
	if err := publish("maintenance at noon"); err != nil {
		fmt.Println(err)
	}
	m, err := layer.Receive(ctx, channel)
	if err != nil {
		fmt.Println(err)
	}
	v, err := chatMessage.Decode(m)
	fmt.Println(m.Type(), v.Text, err)
	// Output: chat.message maintenance at noon <nil>
}

// A connection stores its channel name when it connects, so that others can send to it alone. When it has gone without
// deleting its row, the first send finds out.
func Example_singleChannel() {
	ctx := context.Background()
	layer := memlayer.New(nil)
	rows := map[string]string{} // user to channel: a database table

	channel, err := layer.NewChannel(ctx) // in a consumer: conn.ChannelName()
	if err != nil {
		fmt.Println(err)
	}
	rows["ann"] = channel

	notify := func(user, text string) error {
		err := layer.Send(ctx, rows[user], chatMessage.With(said{"the site", text}))
		if errors.Is(err, layers.ErrNoChannel) {
			delete(rows, user) // a zombie
		}
		return err
	}
	fmt.Println(notify("ann", "your picture is ready"), len(rows))

	if err := layer.EndChannel(ctx, channel); err != nil { // the connection's process died before it deleted the row
		fmt.Println(err)
	}
	fmt.Println(errors.Is(notify("ann", "are you there?"), layers.ErrNoChannel), len(rows))
	// Output:
	// <nil> 1
	// true 0
}

// Two layers side by side: one for chat, one for jobs with limits of its own.
func ExampleRegister() {
	layers.Register(layers.Default, memlayer.New(nil))
	layers.Register("jobs", memlayer.New(&layers.Options{Capacity: 1000}))
	defer layers.Register(layers.Default, nil)
	defer layers.Register("jobs", nil)

	fmt.Println(layers.Get(layers.Default).Capacity("thumbnails"), layers.Get("jobs").Capacity("thumbnails"))
	fmt.Println(layers.Get("jbos").Capacity("thumbnails"))
	// Output:
	// 100 1000
	// 0
}

// A queue hands each message to one receiver, and holds it for a while when there is none.
func ExampleLayer_Receive() {
	ctx := context.Background()
	layer := memlayer.New(nil)
	type picture struct{ File string }
	const resize layers.Type[picture] = "thumbnails.resize"

	if err := layer.Require(ctx, layers.Queues); err != nil { // at start: not every backend has queues
		fmt.Println(err)
	}
	if err := layer.Send(ctx, "thumbnails", resize.With(picture{"cat.png"})); err != nil {
		fmt.Println(err)
	}
	m, err := layer.Receive(ctx, "thumbnails")
	if err != nil {
		fmt.Println(err)
	}
	v, err := resize.Decode(m)
	fmt.Println(v.File, err)
	// Output: cat.png <nil>
}

// A durable queue keeps a job until it is done. Code that is no consumer takes jobs by itself; consumers leave that to a
// consumers.Worker.
func ExampleLayer_Take() {
	ctx := context.Background()
	type picture struct{ File string }
	const resize layers.Type[picture] = "thumbnails.resize"
	layer := memlayer.New(&layers.Options{Durables: []layers.Durable{{Queues: "thumbnails"}}})

	if err := layer.Send(ctx, "thumbnails", resize.With(picture{"cat.png"})); err != nil { // layers.ErrChannelFull: slow down
		fmt.Println(err)
	}
	work := func(job *layers.Job) error {
		defer func() { _ = job.Retry(ctx, 0) }() // does nothing after Done or Bury
		v, err := resize.Decode(job.Message())
		if err != nil || job.Attempt() > 2 {
			return job.Bury(ctx, fmt.Sprint(v.File, " cannot be read"))
		}
		return fmt.Errorf("%s: attempt %d has failed", v.File, job.Attempt())
	}
	for range 3 {
		job, err := layer.Take(ctx, "thumbnails")
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(work(job))
	}

	letter, err := layer.Take(ctx, layers.DeadLetters("thumbnails"))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(letter.Queue(), letter.Reason(), letter.Done(ctx))
	// Output:
	// cat.png: attempt 1 has failed
	// cat.png: attempt 2 has failed
	// <nil>
	// thumbnails.dead cat.png cannot be read <nil>
}

// A capacity by pattern: the first that matches the full name counts.
func ExampleGlob() {
	layer := memlayer.New(&layers.Options{Capacities: []layers.Capacity{
		layers.Glob("thumbnails*", 5000),
		layers.Glob("specific.*!*", 50), // every connection
	}})
	channel, err := layer.NewChannel(context.Background())
	fmt.Println(layer.Capacity("thumbnails.large"), layer.Capacity(channel), layer.Capacity("mail"), err)
	// Output: 5000 50 100 <nil>
}

// printer is the mailbox of something that is no consumer.
type printer struct{}

func (printer) Deliver(m layers.Message) error {
	switch m.Type() {
	case chatMessage.String():
		text, err := chatMessage.JSON(m) // once per message, whatever the number of members
		fmt.Println(string(text), err)
	case layers.Down.String(), layers.Up.String():
		fmt.Println(m.Type())
	}
	return nil
}

// What is pushed to an Inbox costs no goroutine while nothing comes.
func ExampleLayer_Listen() {
	ctx := context.Background()
	layer := memlayer.New(&layers.Options{OnDrop: func(d layers.Drop) {
		fmt.Println("dropped", d.Type, d.Reason)
	}})
	channel, err := layer.Listen(ctx, printer{})
	if err != nil {
		fmt.Println(err)
	}
	if err := layer.GroupAdd(ctx, "chat.lobby", channel); err != nil {
		fmt.Println(err)
	}
	if err := layer.GroupSend(ctx, "chat.lobby", chatMessage.With(said{"ann", "hello"})); err != nil {
		fmt.Println(err)
	}
	fmt.Println(layer.Stats().Delivered)
	// Output:
	// {"user":"ann","message":"hello"} <nil>
	// 1
}
