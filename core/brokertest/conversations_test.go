package brokertest_test

import (
	"bufio"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ganglion/core/brokertest"
	"ganglion/core/brokertest/natstest"
)

const conversations = "testdata/conversations/*.txt"

// load returns the scripts by file, with what they may name defined.
func load(t *testing.T) map[string][]*brokertest.Script {
	t.Helper()
	files, err := filepath.Glob(conversations)
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts in %s: %v", conversations, err)
	}
	scripts := make(map[string][]*brokertest.Script)
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		list, err := brokertest.ParseFile(filepath.Base(file), data)
		if err != nil {
			t.Fatal(err)
		}
		scripts[strings.TrimSuffix(filepath.Base(file), ".txt")] = list
	}
	return scripts
}

// Every script holds for nats-server and for Ganglion, and both say the same.
func TestConversations(t *testing.T) {
	for file, scripts := range load(t) {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			for _, s := range scripts {
				t.Run(s.Name, func(t *testing.T) {
					t.Parallel()
					define(t, s)
					var theirs string
					t.Run("nats", func(t *testing.T) {
						theirs = s.Play(t, func(config string) string { return natstest.StartNATS(t, config) })
					})
					if why := notYet(t, s); why != "" {
						t.Logf("for nats-server alone: %s", why)
						return
					}
					t.Run("ganglion", func(t *testing.T) {
						ours := s.Play(t, func(config string) string { return startGanglion(t, config) })
						if ours != theirs {
							t.Errorf("nats-server said\n%s\nGanglion said\n%s", theirs, ours)
						}
					})
				})
			}
		})
	}
}

// Every line of the wire reference has a script, and every script a line.
func TestCoverage(t *testing.T) {
	f, err := os.Open("testdata/coverage.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var known []string
	for sc := bufio.NewScanner(f); sc.Scan(); {
		line := sc.Text()
		if line == "" || line[0] == '#' {
			continue
		}
		id, _, _ := strings.Cut(line, "  ")
		known = append(known, id)
	}
	covered := make([]bool, len(known))
	n := 0
	for file, scripts := range load(t) {
		for _, s := range scripts {
			n++
			if len(s.IDs) == 0 {
				t.Errorf("%s: %s covers nothing; give it an # id", file, s.Name)
			}
			for _, id := range s.IDs {
				i := slices.Index(known, id)
				if i < 0 {
					t.Errorf("%s: %s covers %q, which coverage.txt does not know", file, s.Name, id)
					continue
				}
				covered[i] = true
			}
		}
	}
	for i, id := range known {
		if !covered[i] {
			t.Errorf("no script covers %q", id)
		}
	}
	t.Logf("%d scripts cover %d lines", n, len(known))
}
