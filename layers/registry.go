package layers

import "sync"

// Default is the alias of the layer that consumers use unless they name another.
const Default = "default"

var registry struct {
	sync.RWMutex
	layers map[string]*Layer
}

// Register makes l known under an alias, for [Get] and for consumers, and returns the layer that it replaces, or nil.
// A nil l removes the alias. It closes nothing.
func Register(alias string, l *Layer) (old *Layer) {
	registry.Lock()
	defer registry.Unlock()
	old = registry.layers[alias]
	if l == nil {
		delete(registry.layers, alias)
		return old
	}
	if registry.layers == nil {
		registry.layers = make(map[string]*Layer)
	}
	registry.layers[alias] = l
	return old
}

// Get returns the layer of an alias, or nil, whose methods return [ErrNoLayer].
func Get(alias string) *Layer {
	registry.RLock()
	defer registry.RUnlock()
	return registry.layers[alias]
}
