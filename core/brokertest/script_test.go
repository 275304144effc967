package brokertest_test

import (
	"bufio"
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"

	"ganglion/core/brokertest"
)

func TestParseErrors(t *testing.T) {
	for _, tc := range []struct{ name, script, says string }{
		{"no script", "C: PING\n", "before the first script"},
		{"two of a name", "=== a\n=== a\n", "two scripts named"},
		{"no step", "=== a\nPING\n", "no step"},
		{"unknown head", "=== a\nX: PING\n", "no step"},
		{"bad times", "=== a\nC*x: PING\n", "no step"},
		{"bad span", "=== a\nC@x: PING\n", "no step"},
		{"server without CRLF", "=== a\nS-: PING\n", "no step"},
		{"bad escape", "=== a\nC: a\\q\n", "no escape"},
		{"cut escape", "=== a\nC: a\\x0\n", "no escape"},
		{"open bracket", "=== a\nC: a<b\n", "not closed"},
		{"bad repeat", "=== a\nC: <a*b>\n", "does not end in a number"},
		{"bad INFO", "=== a\nS: <INFO headers>\n", "no key and value"},
		{"bad dial", "=== a\n# dial: localhost\n", "not a connection"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := brokertest.ParseFile("x.txt", []byte(tc.script))
			if err == nil || !strings.Contains(err.Error(), tc.says) || !strings.HasPrefix(err.Error(), "x.txt:") {
				t.Errorf("error %v, want %q in it", err, tc.says)
			}
		})
	}
	if _, err := brokertest.Parse("x.txt", []byte("=== a\n=== b\n")); err == nil {
		t.Error("Parse takes two scripts")
	}
}

// fakeTB records the failure of a Play instead of failing.
type fakeTB struct {
	testing.TB
	failure string
}

func (f *fakeTB) Helper() {}

func (f *fakeTB) Fatalf(format string, args ...any) {
	f.failure = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// play plays script against a server that says hello, answers the first line with
// answer and every PING after it, if it stays at all.
func play(t *testing.T, script, hello, answer string, stays bool) (transcript, failure string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		fmt.Fprint(c, hello)
		r := bufio.NewReader(c)
		for first := true; ; first = false {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			if first {
				fmt.Fprint(c, answer)
				if !stays {
					return
				}
			}
			if line == "PING\r\n" {
				fmt.Fprint(c, "PONG\r\n")
			}
		}
	}()
	s, err := brokertest.Parse("x.txt", []byte("=== it\n"+script))
	if err != nil {
		t.Fatal(err)
	}
	s.Define("who", func() string { return "you" })
	tb := &fakeTB{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		transcript = s.Play(tb, func(string) string { return ln.Addr().String() })
	}()
	<-done
	return transcript, tb.failure
}

func TestPlay(t *testing.T) {
	const hello = "INFO {\"port\":4222,\"proto\":1,\"git_commit\":\"x\"} \r\n"
	const ask = "S: <INFO proto=1 port=* tls=->\nC: X\n"
	for _, tc := range []struct {
		name, script, hello, answer string
		stays                       bool
		fails                       string // "" : it holds
	}{
		{"exact", ask + "S: a b\n", hello, "a b\r\n", true, ""},
		{"not exact", ask + "S: a b\n", hello, "a  b\r\n", true, "line 4, S: a b: got a  b"},
		{"LF for CRLF", ask + "S: a b\n", hello, "a b\n", true, "got a b"},
		{"two lines for one", ask + "S: a\n", hello, "a\r\nb\r\n", true, "the end of the script"},
		{"any", ask + "S: a <any>!\n", hello, "a b c!\r\n", true, ""},
		{"any is not nothing", ask + "S: a <any>\n", hello, "a \r\n", true, "got a"},
		{"word", ask + "S: <word> <num>\n", hello, "a_ 17\r\n", true, ""},
		{"word has no blanks", ask + "S: <word>\n", hello, "a b\r\n", true, "got a b"},
		{"num is digits", ask + "S: <num>\n", hello, "1a\r\n", true, "got 1a"},
		{"remembered", ask + "S: <word=x> b\nS: <x>\n", hello, "a b\r\na\r\n", true, ""},
		{"remembered otherwise", ask + "S: <word=x> b\nS: <x>\n", hello, "a b\r\nc\r\n", true, "got c"},
		{"defined", ask + "S: <who>\n", hello, "you\r\n", true, ""},
		{"undefined", ask + "S: <whom>\n", hello, "you\r\n", true, "neither remembered nor defined"},
		{"repeated", ask + "S: <ab*3>\n", hello, "ababab\r\n", true, ""},
		{"escaped", ask + "S: \\x3c\\t\\\\\\r\\n\n", hello, "<\t\\\r\n\r\n", true, ""},
		{"unordered", ask + "S~: a\\r\\n1\nS~: b\n", hello, "b\r\na\r\n1\r\n", true, ""},
		{"unordered lacks one", ask + "S~: a\nS~: b\n", hello, "b\r\nb\r\n", true, "1 of 2 are missing"},
		{"a PING is answered", ask + "S: a\n", hello, "PING\r\na\r\n", true, ""},
		{"a PING in a payload is not", ask + "S: MSG\\r\\nPING\n", hello, "MSG\r\nPING\r\n", true, ""},
		{"an expected PING is seen", ask + "S: PING\nS: a\n", hello, "PING\r\na\r\n", true, ""},
		{"an expected PING is missing", ask + "S: PING\nS: a\n", hello, "a\r\n", true, "line 4, S: PING: got a"},
		{"nothing", ask + "S: <nothing>\n", hello, "", true, ""},
		{"something", ask + "S: <nothing>\n", hello, "a\r\n", true, "got a"},
		{"closed", ask + "S: <closed>\n", hello, "", false, ""},
		{"closed with a word", ask + "S: <closed>\n", hello, "bye", false, "bye"},
		{"closed early", ask + "S: a\n", hello, "", false, "the end of the connection"},
		{"closed at the end", ask + "S: a\n", hello, "a\r\n", false, "the end of the connection"},
		{"cut", ask + "S: <cut>\n", hello, "MSG a 1", false, ""},
		{"cut after an error", ask + "S: <cut>\n", hello, "MSG a 1\r\n-ERR", false, "-ERR came: true"},
		{"INFO lacks a key", "S: <INFO x=*>\n", hello, "", true, "lacks x"},
		{"INFO has a key", "S: <INFO port=->\n", hello, "", true, "want it absent"},
		{"INFO has another value", "S: <INFO proto=2>\n", hello, "", true, "has proto:1, want 2"},
		{"no INFO", "S: <INFO>\n", "PONG\r\n", "", true, "is no INFO"},
		{"INFO is no JSON", "S: <INFO>\n", "INFO [1]\r\n", "", true, "no JSON object"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, failure := play(t, tc.script, tc.hello, tc.answer, tc.stays)
			if (failure == "") != (tc.fails == "") || !strings.Contains(failure, tc.fails) {
				t.Errorf("got failure %q, want %q", failure, tc.fails)
			}
		})
	}
}

func TestTranscript(t *testing.T) {
	got, failure := play(t, "S: <INFO>\nC: X <|>\\x41\nS~: b\nS~: <any>\n",
		"INFO {\"port\":4222,\"git_commit\":\"x\",\"proto\":1} \r\n", "a\r\nb\r\n", true)
	if failure != "" {
		t.Fatal(failure)
	}
	want := "S1: INFO { port:number proto:1 } \\r\\n\nC: X <|>\\x41\nS~: b\nS~: <any>\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
