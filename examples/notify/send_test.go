package main

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/memlayer"
	"github.com/tideway-go/tideway/testing/asgitest"
)

func TestSend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		web := asgitest.New(t, site("nats://127.0.0.1:4222"))
		ann, bob := web.Dial("/ws/"), web.Dial("/ws/")
		var hers, his greeting
		ann.ReceiveJSON(&hers)
		bob.ReceiveJSON(&his)
		if hers.Channel == "" || hers.Channel == his.Channel {
			t.Errorf("the tabs are called %q and %q", hers.Channel, his.Channel)
		}
		want := []string{
			"go run ./examples/notify send -layer nats://127.0.0.1:4222 -channel '" + hers.Channel + "' Hello, you",
			"go run ./examples/notify send -layer nats://127.0.0.1:4222 -group everyone Hello, all",
		}
		if strings.Join(hers.Commands, "\n") != strings.Join(want, "\n") {
			t.Errorf("the commands are %q, want %q", hers.Commands, want)
		}
		for _, c := range []struct {
			channel string
			group   string
			text    string
			heardBy []*asgitest.WebSocket
		}{
			{hers.Channel, "", "for Ann", []*asgitest.WebSocket{ann}},
			{"", everyone, "for all", []*asgitest.WebSocket{ann, bob}},
		} {
			n := notice{Text: c.text, Time: "2001-02-03T04:05:06Z"}
			if err := send(t.Context(), web.Layer(), c.channel, c.group, n); err != nil {
				t.Fatal(err)
			}
			for _, tab := range c.heardBy {
				tab.ExpectJSON(n)
			}
		}
	})
}

func TestSendSaysWhy(t *testing.T) {
	layer := memlayer.New(&layers.Options{Capacity: 1})
	defer layer.Close(t.Context())
	full, err := layer.NewChannel(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := send(t.Context(), layer, full, "", notice{Text: "first"}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		channel, group string
		cause          error
		want           string
	}{
		{full, "", layers.ErrChannelFull, "try again later"},
		{full + "0", "", layers.ErrNoChannel, "nobody is there"},
		{"every one", "", layers.ErrInvalidName, "letters"},
		{"", "every one", layers.ErrInvalidName, "letters"},
		{"", "nobody", nil, ""},
	} {
		err := send(t.Context(), layer, c.channel, c.group, notice{Text: "second"})
		if !errors.Is(err, c.cause) || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("send to %q%q: %v, want %q and the cause %v", c.channel, c.group, err, c.want, c.cause)
		}
	}
}

// TestThePasswordStaysHere shows that browsers do not hear what is in the URL of the NATS server.
func TestThePasswordStaysHere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ann := asgitest.New(t, site("nats://tideway:s3cret@127.0.0.1:4222")).Dial("/ws/")
		if text := ann.ReceiveText(); strings.Contains(text, "s3cret") || !strings.Contains(text, "USER:PASSWORD@HOST") {
			t.Errorf("the tab hears %s", text)
		}
	})
}
