package consumers

import (
	"github.com/tideway-go/tideway/asgi"
	"github.com/tideway-go/tideway/layers"
)

// LayerKey holds the channel layer of a connection. A consumer uses the layer that it finds here; else the one that its
// table names; else the one registered as [layers.Default]. Tests and hosts of several applications set it.
var LayerKey = asgi.NewKey[*layers.Layer]("channel layer")

// layerOf finds the layer of a connection, nil if there is none. It looks at connect and not at declaration, because
// tables are package variables, made before main registers anything.
func layerOf(scope *asgi.Scope, alias string) *layers.Layer {
	if l, ok := LayerKey.Get(scope); ok {
		return l
	}
	if alias == "" {
		alias = layers.Default
	}
	return layers.Get(alias)
}
