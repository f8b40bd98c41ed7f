package memlayer_test

import (
	"context"
	"errors"
	"testing"

	"go.uber.org/goleak"

	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/memlayer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type said struct {
	User string `json:"user"`
	Text string `json:"message"`
}

const chatMessage layers.Type[said] = "chat.message"

func TestSendAndReceive(t *testing.T) {
	ctx := t.Context()
	l := memlayer.New(nil)
	ch, err := l.NewChannel(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.GroupAdd(ctx, "room", ch); err != nil {
		t.Fatal(err)
	}
	if err := l.GroupSend(ctx, "room", chatMessage.With(said{"ann", "hi"})); err != nil {
		t.Fatal(err)
	}
	if err := l.Send(ctx, ch, chatMessage.With(said{"ann", "two"})); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"hi", "two"} {
		m, err := l.Receive(ctx, ch)
		if err != nil {
			t.Fatal(err)
		}
		v, err := chatMessage.Decode(m)
		if err != nil || v.Text != want {
			t.Fatalf("got %+v, %v; want %q", v, err, want)
		}
		if text, err := chatMessage.JSON(m); err != nil || string(text) != `{"user":"ann","message":"`+want+`"}` {
			t.Fatalf("JSON: %s, %v", text, err)
		}
	}
	if err := l.EndChannel(ctx, ch); err != nil {
		t.Fatal(err)
	}
	if err := l.Send(ctx, ch, chatMessage.With(said{})); !errors.Is(err, layers.ErrNoChannel) {
		t.Fatalf("after EndChannel: %v", err)
	}
	if err := l.Send(ctx, "jobs", chatMessage.With(said{Text: "job"})); err != nil {
		t.Fatal(err)
	}
	if m, err := l.Receive(ctx, "jobs"); err != nil || m.Type() != "chat.message" {
		t.Fatal(m, err)
	}
	if err := l.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}
