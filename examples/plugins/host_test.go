package plugins_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"ganglion/plugins/abi"
	"ganglion/plugins/plugintest"
)

// TestInHost sends the tables' messages through the broker's own host, with fuel
// and limits as they are by default: each comes to the same verdict.
func TestInHost(t *testing.T) {
	for _, tt := range tables {
		t.Run(tt.plugin+"/"+tt.name, func(t *testing.T) {
			p := plugintest.Load(t, file(tt.plugin), plugintest.Config{JSON: tt.config, AsWanted: true})
			boundary := abi.ParseBoundary(p.Manifest().Bindings[0].Boundary)
			for i, m := range tt.messages {
				msg := plugintest.Message{Boundary: boundary, Subject: m.subject, Payload: m.payload}
				if msg.Subject == "" {
					msg.Subject = "a.b"
				}
				if m.headers != "" {
					lines := strings.Split(strings.TrimSuffix(m.headers, "\r\n\r\n"), "\r\n")
					msg.Headers = lines[1:]
				}
				if m.facts != "" {
					if err := json.Unmarshal([]byte(m.facts), &msg.Facts); err != nil {
						t.Fatal(err)
					}
				}
				r := p.Send(msg)
				if errors.Is(r.Err, plugintest.ErrRefused) && strings.Contains(m.want, "subject=") {
					continue // the manifest does not say where to
				}
				if r.Err != nil {
					t.Fatalf("message %d: %v", i, r.Err)
				}
				verb, _, _ := strings.Cut(m.want, " ")
				want := abi.Replace
				switch verb {
				case "pass":
					want = abi.Pass
				case "drop":
					want = abi.Drop
				case "reject":
					want = abi.Reject
				}
				if r.Verdict != want {
					t.Errorf("message %d %q: %s, want %s", i, m.payload, r.Verdict, m.want)
				}
			}
		})
	}
}
