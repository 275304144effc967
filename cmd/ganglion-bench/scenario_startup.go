package main

import (
	"context"
	"fmt"
	"os"
	"time"
)

// startup is what a server costs before anybody uses it.
func startup() scenario {
	return scenario{
		name:  "startup",
		about: "time from exec to the first INFO, RSS when empty, size of the binary (median of 11)",
		kind:  footprint,
		pairs: 11,
		floors: []floor{
			// Single starts scatter too much for ratios within a pair.
			atMost("m.start ms", 1).as("ratio of medians"),
			atMost("m.empty RSS MiB", 1).as("ratio of medians"),
			atMost("g.binary MB", 20),
		},
		run: func(ctx context.Context, st *stage) (leg, error) {
			srv, err := st.product.start(ctx, st.env, transport{})
			if err != nil {
				return leg{}, err
			}
			st.servers = append(st.servers, srv)
			took, err := srv.ready(ctx)
			if err != nil {
				return leg{}, err
			}
			select { // lets it finish what it does after listening
			case <-time.After(time.Second):
			case <-ctx.Done():
				return leg{}, ctx.Err()
			}
			rss, err := srv.rss()
			if err != nil {
				return leg{}, err
			}
			bin, err := os.Stat(srv.path)
			if err != nil {
				return leg{}, fmt.Errorf("size of binary: %w", err)
			}
			return leg{RSS: rss, Extra: map[string]float64{
				"start ms":      float64(took) / 1e6,
				"empty RSS MiB": float64(rss) / (1 << 20),
				"binary MB":     float64(bin.Size()) / 1e6,
			}}, nil
		},
	}
}
