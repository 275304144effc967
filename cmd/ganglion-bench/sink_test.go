package main

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
)

// stream is what a server sends, in a test: lines and messages.
func stream(parts ...string) string { return strings.Join(parts, "") }

const (
	testHead = "MSG a.b 1 5\r\n"
	testMsg  = testHead + "MSG\r\n\r\n" // a payload that looks like a message
	testInfo = "INFO {\"connect_info\":true} \r\n"
)

type seen struct {
	messages, pings, pongs int
}

func (s *seen) control() *control {
	return &control{
		onPing: func() error { s.pings++; return nil },
		onPong: func() { s.pongs++ },
	}
}

func TestSinksCountExactly(t *testing.T) {
	tests := []struct {
		name string
		in   string
		want seen
		err  string
	}{
		{"nothing", "", seen{}, ""},
		{"one", testMsg, seen{messages: 1}, ""},
		{"many", strings.Repeat(testMsg, 100), seen{messages: 100}, ""},
		{"between lines", stream("PONG\r\n", testInfo, testMsg, "PING\r\n", testMsg, testMsg, "+OK\r\n", "PONG\r\n"), seen{3, 1, 2}, ""},
		{"unfinished", testMsg + testMsg[:len(testMsg)-1], seen{messages: 1}, ""},
		{"error line", testMsg + "-ERR 'Slow Consumer'\r\n", seen{messages: 1}, "Slow Consumer"},
		{"unknown line", "HELLO\r\n", seen{}, "unexpected line"},
		{"longer than expected", "MSG a.b 1 6\r\nabcdef\r\n" + testMsg, seen{}, "expected messages"},
		{"shorter than expected", "MSG a.b 1 4\r\nabcd\r\n" + testMsg, seen{}, "expected messages"},
	}
	sinks := map[string]func(*seen) sink{
		"counter": func(s *seen) sink {
			return &counter{control: s.control(), size: len(testMsg), head: []byte(testHead), add: func(n int) { s.messages += n }}
		},
		"framer": func(s *seen) sink {
			f := &framer{control: s.control(), size: len(testMsg)}
			f.run = func(msgs []byte) error { s.messages += len(msgs) / f.size; return nil }
			return f
		},
	}
	for _, tt := range tests {
		for name, newSink := range sinks {
			t.Run(tt.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				for split := 1; split <= len(tt.in)+1; split++ {
					var got seen
					err := feedPieces(newSink(&got), []byte(tt.in), func() int { return split })
					checkSeen(t, got, tt.want, err, tt.err)
					if t.Failed() {
						t.Fatalf("in pieces of %d", split)
					}
				}
				rnd := rand.New(rand.NewPCG(1, 1))
				for range 200 {
					var got seen
					err := feedPieces(newSink(&got), []byte(tt.in), func() int { return 1 + rnd.IntN(40) })
					checkSeen(t, got, tt.want, err, tt.err)
				}
			})
		}
	}
}

func feedPieces(s sink, in []byte, size func() int) error {
	for len(in) > 0 {
		n := min(size(), len(in))
		// A copy, as the reader's buffer will be overwritten.
		if err := s.data(bytes.Clone(in[:n])); err != nil {
			return err
		}
		in = in[n:]
	}
	return nil
}

// checkSeen wants the counts when there is no error; with one, only the error.
func checkSeen(t *testing.T, got, want seen, err error, wantErr string) {
	t.Helper()
	switch {
	case wantErr == "" && err != nil:
		t.Fatalf("unexpected error: %v", err)
	case wantErr != "" && (err == nil || !strings.Contains(err.Error(), wantErr)):
		t.Fatalf("error %v, want one with %q", err, wantErr)
	case wantErr == "" && got != want:
		t.Fatalf("saw %+v, want %+v", got, want)
	}
}

func TestFramerHandsOverWholeMessages(t *testing.T) {
	t.Parallel()
	in := []byte(strings.Repeat(testMsg, 7))
	for split := 1; split <= len(in); split++ {
		var got []byte
		ends := 0
		f := &framer{control: (&seen{}).control(), size: len(testMsg), end: func() error { ends++; return nil }}
		f.run = func(msgs []byte) error { got = append(got, msgs...); return nil }
		if err := feedPieces(f, in, func() int { return split }); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, in) {
			t.Fatalf("in pieces of %d: %q", split, got)
		}
		if want := (len(in) + split - 1) / split; ends != want {
			t.Fatalf("end called %d times, want %d", ends, want)
		}
	}
}

func TestCounterDoesNotAllocate(t *testing.T) {
	in := []byte(strings.Repeat(testMsg, 1000) + testMsg[:10])
	rest := []byte(testMsg[10:])
	c := &counter{control: (&seen{}).control(), size: len(testMsg), head: []byte(testHead), add: func(int) {}}
	if n := testing.AllocsPerRun(100, func() {
		if c.data(in) != nil || c.data(rest) != nil {
			t.Fatal("lost")
		}
	}); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

func BenchmarkCounter(b *testing.B) {
	in := []byte(strings.Repeat(testMsg, 1000))
	c := &counter{control: (&seen{}).control(), size: len(testMsg), head: []byte(testHead), add: func(int) {}}
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		c.data(in)
	}
}
