package main

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/testing/asgitest"
)

// TestNews talks over the layer in memory, which asgitest brings.
func TestNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		web := asgitest.New(t, app())
		ann, bob := web.Dial("/ws/news/"), web.Dial("/ws/news/")
		for _, said := range []string{"hello", "  with spaces\n", "<b>ünïcode</b> 🌊", strings.Repeat("ü", maxText)} {
			ann.SendJSON(typed{said})
			for _, member := range []*asgitest.WebSocket{ann, bob} {
				member.ExpectJSON(item{strings.TrimSpace(said), "Go"})
			}
		}
	})
}

// TestRefusals sends what nobody else may hear: the item that follows is the first that Bob gets.
func TestRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		web := asgitest.New(t, app())
		ann, bob := web.Dial("/ws/news/"), web.Dial("/ws/news/")
		for _, c := range []struct {
			text   string
			length int
		}{
			{"", 0},
			{" \n", 0},
			{strings.Repeat("ü", maxText+1), maxText + 1},
		} {
			ann.SendJSON(typed{c.text})
			ann.ExpectJSON(refusal{fmt.Sprintf("An item has 1 to %d characters; this one has %d.", maxText, c.length)})
		}
		ann.SendJSON(typed{"marker"})
		bob.ExpectJSON(item{"marker", "Go"})
	})
}

// TestDjangoItems sends what Django sends, in its words.
func TestDjangoItems(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		web := asgitest.New(t, app())
		ann := web.Dial("/ws/news/")
		const sent layers.Type[map[string]any] = "news.item"
		message := sent.With(map[string]any{"text": "from a form", "by": "Django"})
		if err := web.Layer().GroupSend(t.Context(), "news", message); err != nil {
			t.Fatal(err)
		}
		ann.ExpectJSON(item{"from a form", "Django"})
	})
}
