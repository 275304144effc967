package plugintest

import "ganglion/plugins/wasm"

// NewStore returns a KV of at most limit bytes, and how a plugin uses it.
func NewStore(limit int64) (*KV, wasm.Store) {
	k := &KV{limit: limit}
	return k, (*store)(k)
}

// Judge is what Send makes sure of.
var Judge = judge
