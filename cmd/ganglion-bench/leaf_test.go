package main

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ganglion/cmd/ganglion/config"
	"ganglion/core/leaf"
)

func TestWisherModel(t *testing.T) {
	t.Parallel()
	w := &wisher{name: 1}
	live, wanted := map[string]string{}, map[string]bool{} // subject by sid; subjects less their last letter
	for _, n := range []int{1, 7, interestLive, 3, interestChoice + 11, 1} {
		for line := range bytes.Lines(w.ops(n)) {
			f := strings.Fields(string(line))
			switch f[0] {
			case "SUB":
				subj := f[1][:len(f[1])-1]
				if wanted[subj] {
					t.Fatalf("%s is wanted already: no change of interest", f[1])
				}
				if len(f[2]) != len(w.sid(0)) || len(f[1]) != len(w.subject(0)) {
					t.Fatalf("SUB %s %s is not as long as the others", f[1], f[2])
				}
				wanted[subj], live[f[2]] = true, subj
			case "UNSUB":
				if live[f[1]] == "" {
					t.Fatalf("UNSUB of %s, which is not there", f[1])
				}
				delete(wanted, live[f[1]])
				delete(live, f[1])
			default:
				t.Fatalf("%q is neither SUB nor UNSUB", line)
			}
		}
		if int64(len(live)) != w.live() {
			t.Fatalf("after %d more: %d subscriptions, the model says %d", n, len(live), w.live())
		}
	}
	for n := w.n - interestLive; n < w.n; n++ {
		if subj := w.subject(n); !wanted[subj[:len(subj)-1]] {
			t.Errorf("nobody wants %s", subj)
		}
	}
}

func TestFeedChunks(t *testing.T) {
	t.Parallel()
	n := 0
	for i, c := range feedChunks() {
		if got := bytes.Count(c.b, []byte("PUB "+feedSubject+" ")); got != c.n {
			t.Errorf("chunk %d has %d messages and says %d", i, got, c.n)
		}
		if one := len(fmt.Sprintf("PUB %s %d\r\n\r\n", feedSubject, feedBytes)) + feedBytes; len(c.b) != c.n*one {
			t.Errorf("chunk %d has %d bytes, want %d messages of %d", i, len(c.b), c.n, one)
		}
		n += c.n
	}
	if n != leafFeedChoice {
		t.Errorf("%d messages, want %d", n, leafFeedChoice)
	}
}

func TestLeafConfig(t *testing.T) {
	t.Parallel()
	web, leafs := netip.MustParseAddrPort("127.0.0.1:8001"), netip.MustParseAddrPort("127.0.0.1:8002")
	load := func(text string) *config.Config {
		t.Helper()
		file := filepath.Join(t.TempDir(), "server.conf")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c := config.Default()
		if err := c.Load(file); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		return c
	}
	for _, tt := range []struct {
		spec leafSpec
		want leaf.Compression
	}{
		{leafSpec{}, leaf.Off},
		{leafSpec{compression: "s2_fast"}, leaf.Fast},
	} {
		if l := load(tt.spec.hubConfig(web, leafs)).LeafNodes; l.Host != "127.0.0.1" || l.Port != 8002 || l.Compression != tt.want {
			t.Errorf("%+v: the hub listens on %s:%d with %s", tt.spec, l.Host, l.Port, l.Compression)
		}
		l := load(tt.spec.edgeConfig(web, leafs)).LeafNodes
		if len(l.Remotes) != 1 || !slices.Equal(l.Remotes[0].URLs, []string{"nats-leaf://127.0.0.1:8002"}) || l.Remotes[0].Compression != tt.want {
			t.Errorf("%+v: the edge has remotes %+v", tt.spec, l.Remotes)
		}
	}
}
