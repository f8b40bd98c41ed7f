package main

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/memlayer"
	"github.com/tideway-go/tideway/testing/asgitest"
)

func TestOnlyTheRoomHears(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site := asgitest.New(t, app())
		ann, bob := site.Dial("/ws/chat/lobby/"), site.Dial("/ws/chat/lobby/")
		eve := site.Dial("/ws/chat/elsewhere/")
		ann.SendJSON(saying{Text: " hello <b>Bob</b> ", User: "Ann", ID: "1"})
		now := time.Now().UTC().Format(time.RFC3339)
		for _, member := range []*asgitest.WebSocket{ann, bob} {
			member.ExpectJSON(said{Text: "hello <b>Bob</b>", User: "Ann", ID: "1", Time: now})
		}
		eve.SendJSON(saying{Text: "marker"})
		eve.ExpectJSON(said{Text: "marker", User: "anonymous", Time: now})
	})
}

func TestARefusedMessageIsHeardByItsSenderAlone(t *testing.T) {
	for _, c := range []struct {
		name string
		in   saying
		want string
	}{
		{"nothing", saying{}, "This message is empty."},
		{"space", saying{Text: " \n\t "}, "This message is empty."},
		{"too long", saying{Text: strings.Repeat("é", maxText+1)}, "A message has at most 2000 characters; this one has 2001."},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				site := asgitest.New(t, app())
				ann, bob := site.Dial("/ws/chat/lobby/"), site.Dial("/ws/chat/lobby/")
				c.in.ID = strings.Repeat("i", maxID+1)
				ann.SendJSON(c.in)
				ann.ExpectJSON(refusal{Error: c.want, ID: c.in.ID[:maxID]})
				ann.SendJSON(saying{Text: strings.Repeat("é", maxText), User: "Ann"})
				var heard said
				bob.ReceiveJSON(&heard)
				if heard.User != "Ann" {
					t.Errorf("the room heard %+v first, want the message that was not refused", heard)
				}
			})
		})
	}
}

func TestAMessageThatTheLayerDoesNotTake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		layer := memlayer.New(&layers.Options{MaxMessageSize: 200})
		defer layer.Close(t.Context())
		ann := asgitest.New(t, app()).With(&asgitest.Options{Layer: layer}).Dial("/ws/chat/lobby/")
		ann.SendJSON(saying{Text: strings.Repeat("x", 200), ID: "1"})
		ann.ExpectJSON(refusal{Error: "This message did not reach the room. Try again.", ID: "1"})
		ann.SendJSON(saying{Text: "short"})
		var heard said
		if ann.ReceiveJSON(&heard); heard.Text != "short" {
			t.Errorf("Ann heard %+v, want what she said after the refusal", heard)
		}
	})
}

func TestRoomsOutOfReach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := memlayer.NewBus(nil)
		layer := bus.Layer()
		defer layer.Close(t.Context())
		site := asgitest.New(t, app()).With(&asgitest.Options{Layer: layer})
		bus.Cut(layer, errors.New("the broker has gone"))
		if refused := site.Refused("/ws/chat/lobby/"); refused.Status != http.StatusServiceUnavailable {
			t.Errorf("status %d, want 503", refused.Status)
		}
		bus.Mend(layer)
		site.Dial("/ws/chat/lobby/")
	})
}

func TestBadJSONEndsThatConnectionOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site := asgitest.New(t, app())
		ann, bob := site.Dial("/ws/chat/lobby/"), site.Dial("/ws/chat/lobby/")
		ann.SendText("{")
		if got := ann.ReceiveClose().Code; got != 1007 {
			t.Errorf("bad JSON closes with %d, want 1007", got)
		}
		bob.SendJSON(saying{Text: "still here"})
		var heard said
		bob.ReceiveJSON(&heard)
		if heard.Text != "still here" {
			t.Errorf("Bob heard %+v", heard)
		}
	})
}

func TestRoomsThatAreNone(t *testing.T) {
	for _, room := range []string{strings.Repeat("r", 65), "a.b", "caf%C3%A9", "a%2Fb", "", "a/b"} {
		synctest.Test(t, func(t *testing.T) {
			site := asgitest.New(t, app())
			refused := site.Refused("/ws/chat/" + room + "/")
			if refused.Status != http.StatusNotFound {
				t.Errorf("room %q: status %d, want 404", room, refused.Status)
			}
		})
	}
}

func TestNames(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"Ann", "Ann"},
		{"  Ann \t of \n the sea ", "Ann of the sea"},
		{"", "anonymous"},
		{"\u202e\x00\x1b", "anonymous"},
		{"a\u202eb", "a b"},
		{"Zoë 🌊", "Zoë 🌊"},
		{strings.Repeat("ü", maxName+5), strings.Repeat("ü", maxName)},
		{strings.Repeat("n", maxName-1) + " and more", strings.Repeat("n", maxName-1)},
	} {
		if got := nameOf(c.in); got != c.want {
			t.Errorf("nameOf(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}
