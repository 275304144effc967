package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// pluginFile is a plugin that lets the load's messages on.
const pluginFile = "plugins/wasm/testdata/guest.wasm"

// pluginPass is 1:1 with a plugin that looks at every message, beside a
// nats-server without any.
func pluginPass() scenario {
	return scenario{
		name:   "plugin",
		about:  "1:1/128 with a plugin that sees each message's payload and lets it on; nats-server has none",
		floors: []floor{atMost("x.cpu", 1.0)},
		run: func(ctx context.Context, st *stage) (leg, error) {
			over := transport{}
			if st.product.name == "ganglion" {
				code, err := os.ReadFile(pluginFile)
				if errors.Is(err, fs.ErrNotExist) {
					err = fmt.Errorf("no %s here; run this in the module's root", pluginFile)
				}
				if err != nil {
					return leg{}, err
				}
				dir, err := os.MkdirTemp("", "bench-plugin")
				if err != nil {
					return leg{}, err
				}
				defer os.RemoveAll(dir)
				if err := os.WriteFile(filepath.Join(dir, "guest.wasm"), code, 0o600); err != nil {
					return leg{}, err
				}
				over.conf = fmt.Sprintf("plugins { dir: %q, configure { guest { bindings: [ { boundary: publish, subjects: [\"one.>\"] } ] } } }\n", dir)
			}
			return st.over(ctx, over, func(s *session) (leg, error) { return s.pairsLeg(st.opts, 1, 128) })
		},
	}
}
