package consumers

import (
	"fmt"
	"testing"

	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/memlayer"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// TestMaxKinds: types come from whoever shares the broker, so a table remembers, and logs, the first 1,000 that it does
// not list or cannot read. The later ones are counted like those.
func TestMaxKinds(t *testing.T) {
	const readable layers.Type[map[string]int] = "test.readable"
	for _, c := range []struct {
		name   string
		reason layers.DropReason
		drop   func(c *Conn, m layers.Message)
	}{
		{"unlisted", layers.DropUnlisted, (*Conn).dropUnlisted},
		{"invalid", layers.DropInvalid, func(c *Conn, m layers.Message) {
			c.drop(m, layers.DropInvalid, fmt.Errorf("not of type %s", readable))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			const sent = maxKinds + 50
			core, logs := observer.New(zapcore.WarnLevel)
			table := &table{name: "table", logger: zap.New(core)}
			conn := &Conn{table: table, layer: memlayer.New(nil)}
			for range 2 {
				for i := range sent {
					c.drop(conn, layers.Type[map[string]int](fmt.Sprint("stray.", i)).With(nil))
				}
			}
			remembered := 0
			table.logged.Range(func(any, any) bool { remembered++; return true })
			if remembered != 1000 || logs.Len() != 1000 {
				t.Errorf("%d types are remembered and %d lines logged, want 1000 of each", remembered, logs.Len())
			}
			if n := conn.layer.Stats().Dropped[c.reason]; n != 2*sent {
				t.Errorf("%d messages are counted as dropped, want all %d", n, 2*sent)
			}
		})
	}
}
