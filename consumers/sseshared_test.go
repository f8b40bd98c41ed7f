package consumers_test

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/tideway-go/tideway/consumers"
	"github.com/tideway-go/tideway/testing/asgitest"
)

// TestSSEBehindTogether: what is joined for a client that is behind is its own: others are behind, too, with the same event
// first and others after it.
func TestSSEBehindTogether(t *testing.T) {
	for filled := range 6 { // as many as are on the way, in one of them: then the shared event is the first of those that are joined
		t.Run(strconv.Itoa(filled), func(t *testing.T) { behindTogether(t, filled) })
	}
}

func behindTogether(t *testing.T, filled int) {
	synctest.Test(t, func(t *testing.T) {
		site, layer := site(t, stream{
			Groups: []string{"room"}, Forward: consumers.Types(ticked),
			Connect: func(_ *none, ctx context.Context, c *consumers.Conn) error {
				return c.GroupAdd(ctx, strings.Trim(c.Scope().Path(), "/"))
			},
		}.App())
		own := []string{"a", "b"}
		var all []*asgitest.Exchange
		for _, name := range own {
			x := site.With(&asgitest.Options{Queue: 1}).Stream("GET", "/"+name)
			x.Start()
			all = append(all, x)
		}
		synctest.Wait()
		for i := range filled {
			toRoom(t, layer, ticked.With(note{N: i}))
			synctest.Wait()
		}
		toRoom(t, layer, ticked.With(note{Text: "shared"}))
		for _, name := range own {
			if err := layer.GroupSend(t.Context(), name, ticked.With(note{Text: name})); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		got := make([]strings.Builder, len(own))
		for done := 0; done < len(own); { // by turns, so that each joins while the other's is on the way
			done = 0
			for i, x := range all {
				if strings.Count(got[i].String(), "data: ") == filled+2 {
					done++
					continue
				}
				got[i].Write(x.Chunk())
				synctest.Wait()
			}
		}
		for i, name := range own {
			want := "shared " + name + " "
			var texts strings.Builder
			for line := range strings.Lines(got[i].String()) {
				for _, word := range []string{"shared", "a", "b"} {
					if strings.Contains(line, `"text":"`+word+`"`) {
						texts.WriteString(word + " ")
					}
				}
			}
			if texts.String() != want {
				t.Errorf("%s got %q, want %q", name, &texts, want)
			}
			all[i].Abandon()
		}
	})
}
