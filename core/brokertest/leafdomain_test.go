package brokertest_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"ganglion/core/broker"
	"ganglion/core/brokertest/natstest"
	"ganglion/core/leaf"
)

// TestLeafDomains: which subjects of JetStream cross a link goes by the hub's
// domain, as with a nats-server for a leaf.
func TestLeafDomains(t *testing.T) {
	for name, conf := range map[string]string{
		"no streams": "", "no domain": "jetstream { store_dir: %q }", "a domain": "jetstream { domain: HD, store_dir: %q }",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			outcomes := func(edge func(leafs string) string) string {
				if strings.Contains(conf, "%q") {
					conf = fmt.Sprintf(conf, t.TempDir())
				}
				core, leafs := hub(t, "", conf)
				at, far := dial(t, tcpAt(edge(leafs))), dial(t, tcpAt(core))
				reaches(t, at, far)
				reaches(t, far, at)
				var out []string
				for _, subj := range []string{"$JS.API.INFO", "$JS.HD.API.INFO"} {
					_, err := at.Request(subj, nil, time.Second)
					out = append(out, fmt.Sprintf("%s: %v", subj, err))
				}
				for _, subj := range []string{"$JS.API.X", "$KV.B.x", "$OBJ.B.x", "$JS.HD.API.X", "$JS.ACK.S.C.1"} {
					up, err := far.SubscribeSync(subj)
					must(t, err)
					must(t, far.Flush())
					reaches(t, at, far)
					must(t, at.Publish(subj, nil))
					reaches(t, at, far)
					n, _, _ := up.Pending()
					must(t, up.Unsubscribe())
					if strings.HasPrefix(subj, "$JS.HD.") { // with which a nats-server for a leaf gets its link closed
						out = append(out, fmt.Sprintf("%s: up %d", subj, n))
						continue
					}
					down, err := at.SubscribeSync(subj)
					must(t, err)
					must(t, at.Flush())
					reaches(t, far, at)
					must(t, far.Publish(subj, nil))
					reaches(t, far, at)
					m, _, _ := down.Pending()
					must(t, down.Unsubscribe())
					out = append(out, fmt.Sprintf("%s: up %d, down %d", subj, n, m))
				}
				return strings.Join(out, "\n")
			}
			theirs := outcomes(func(leafs string) string { return natstest.StartNATS(t, leafOf(leafs, "LEAF", "")) })
			ours := outcomes(func(leafs string) string {
				_, addr := edgeOf(t, broker.Options{Leaf: broker.LeafOptions{Remotes: []*leaf.Remote{remoteTo(t, leafs)}}})
				return addr
			})
			if ours != theirs {
				t.Errorf("a nats-server for a leaf:\n%s\nGanglion:\n%s", theirs, ours)
			}
		})
	}
}
