package subject_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"ganglion/core/subject"
)

// startNATS runs a real nats-server with mappings in its global account.
func startNATS(t *testing.T, mappings string) (*server.Server, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "nats.conf")
	if err := os.WriteFile(file, []byte("listen: \"127.0.0.1:-1\"\nmappings {\n"+mappings+"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	o, err := server.ProcessConfigFile(file)
	if err != nil {
		return nil, err
	}
	o.NoLog, o.NoSigs = true, true
	s, err := server.NewServer(o)
	if err != nil {
		return nil, err
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("nats-server does not start")
	}
	return s, nil
}

// published returns the subjects that a subscriber to ">" sees, by payload, of
// messages that carry their own number.
func published(t *testing.T, s *server.Server, subjs []string) map[string]string {
	t.Helper()
	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	var b strings.Builder
	b.WriteString("CONNECT {\"verbose\":false,\"pedantic\":false}\r\nSUB > 1\r\n")
	for i, subj := range subjs {
		payload := fmt.Sprint(i)
		fmt.Fprintf(&b, "PUB %s %d\r\n%s\r\n", subj, len(payload), payload)
	}
	b.WriteString("PING\r\n")
	if _, err := c.Write([]byte(b.String())); err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	r := bufio.NewReader(c)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		f := strings.Fields(line)
		switch f[0] {
		case "PONG":
			return seen
		case "-ERR":
			t.Fatal(line)
		case "MSG":
			payload, err := r.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			seen[strings.TrimSpace(payload)] = f[1]
		}
	}
}

// Every row of transforms holds in nats-server.
func TestTransformAsNATS(t *testing.T) {
	for _, tc := range transforms {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s, err := startNATS(t, fmt.Sprintf("%q: %q\n", tc.src, tc.dest))
			if err != nil {
				t.Fatal(err)
			}
			want := tc.want
			if want == "" {
				want = tc.subj
			}
			if got := published(t, s, []string{tc.subj})["0"]; got != want {
				t.Errorf("%q -> %q: nats-server makes %q of %q, the table says %q", tc.src, tc.dest, got, tc.subj, want)
			}
		})
	}
}

// Every row of badTransforms is a configuration error in nats-server.
func TestTransformErrorsAsNATS(t *testing.T) {
	for _, tc := range badTransforms {
		if tc.dest == "" {
			continue // nats-server's config takes it for no mapping
		}
		t.Run(tc.name, func(t *testing.T) {
			if _, err := startNATS(t, fmt.Sprintf("%q: %q\n", tc.src, tc.dest)); err == nil {
				t.Errorf("nats-server accepts %q -> %q", tc.src, tc.dest)
			}
		})
	}
}

// Weights, the rest that stays and the rest that is lost, in shares of 1,000.
func TestMappingAsNATS(t *testing.T) {
	const n = 1000
	for _, tc := range []struct {
		name, config string
		dests        []subject.Dest
	}{
		{"the rest stays", `[{destination: b, weight: 30%}, {destination: c, weight: 20%}]`,
			[]subject.Dest{{Subject: "b", Weight: 30}, {Subject: "c", Weight: 20}}},
		{"the rest is lost", `[{destination: a, weight: 30%}, {destination: c, weight: 20%}]`,
			[]subject.Dest{{Subject: "a", Weight: 30}, {Subject: "c", Weight: 20}}},
		{"cluster of its own", `[{destination: b, weight: 60%, cluster: X}, {destination: c, weight: 50%}]`,
			[]subject.Dest{{Subject: "b", Weight: 60, Cluster: "X"}, {Subject: "c", Weight: 50}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s, err := startNATS(t, "a: "+tc.config+"\n")
			if err != nil {
				t.Fatal(err)
			}
			m, err := subject.NewMapping("a", tc.dests...)
			if err != nil {
				t.Fatal(err)
			}
			ours := share(m, "a")
			theirs := map[string]int{"": n}
			subjs := make([]string, n)
			for i := range subjs {
				subjs[i] = "a"
			}
			for _, subj := range published(t, s, subjs) {
				theirs[subj]++
				theirs[""]--
			}
			for _, subj := range []string{"", "a", "b", "c"} {
				if d := theirs[subj] - ours[subj]*n/100; d < -n/12 || d > n/12 || theirs[subj] == 0 != (ours[subj] == 0) {
					t.Errorf("%q: nats-server %d of %d, ours %d percent", subj, theirs[subj], n, ours[subj])
				}
			}
		})
	}
}
