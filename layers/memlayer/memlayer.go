package memlayer

import "github.com/tideway-go/tideway/layers"

// New makes a layer of its own, which shares nothing with others. Nil options are the defaults.
func New(opts *layers.Options) *layers.Layer {
	return NewBus(opts).Layer()
}
