package layers_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/tideway-go/tideway/layers"
	"github.com/tideway-go/tideway/layers/memlayer"
)

// Cases 84, 86.
func TestRegistry(t *testing.T) {
	const alias = "registry_test"
	if l := layers.Get(alias); l != nil {
		t.Fatal("case 86: an unknown alias is nil")
	}
	first, second := memlayer.New(nil), memlayer.New(nil)
	if old := layers.Register(alias, first); old != nil {
		t.Errorf("Register returned %v", old)
	}
	if old := layers.Register(alias, second); old != first || layers.Get(alias) != second {
		t.Error("case 84: Register replaces the layer and returns the old one")
	}
	if layers.Get(alias+"2") != nil {
		t.Error("aliases are apart")
	}
	if old := layers.Register(alias, nil); old != second || layers.Get(alias) != nil {
		t.Error("nil removes an alias")
	}
}

// TestNoLayer calls every method of a layer that nobody registered. Case 86.
func TestNoLayer(t *testing.T) {
	ctx := t.Context()
	l := layers.Get("nobody registered it")
	m := note.With(text{})
	_, newErr := l.NewChannel(ctx)
	_, listenErr := l.Listen(ctx, nil)
	_, receiveErr := l.Receive(ctx, "a")
	for op, err := range map[string]error{
		"NewChannel": newErr, "Listen": listenErr, "Receive": receiveErr, "Send": l.Send(ctx, "a", m),
		"GroupAdd": l.GroupAdd(ctx, "g", "a"), "GroupDiscard": l.GroupDiscard(ctx, "g", "a"), "GroupSend": l.GroupSend(ctx, "g", m),
		"EndChannel": l.EndChannel(ctx, "a"), "Flush": l.Flush(ctx), "Close": l.Close(ctx), "Require": l.Require(ctx, layers.Groups),
	} {
		if !errors.Is(err, layers.ErrNoLayer) || !strings.Contains(err.Error(), "layers.Register(layers.Default, memlayer.New(nil))") {
			t.Errorf("case 86: %s of a nil layer: %v; it must say the line to write", op, err)
		}
	}
	l.Dropped(layers.Drop{})
	if l.Capacity("a") != 0 || l.Stats().Sent != 0 {
		t.Error("Capacity and Stats of a nil layer are zero")
	}
}
