//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"ganglion": func() { os.Exit(run(os.Args[1:])) },
	})
}

// TestScripts runs the scripts in testdata: the tests of the program, and its
// manual by example.
func TestScripts(t *testing.T) {
	guests, err := filepath.Abs("../../plugins/wasm/testdata")
	if err != nil {
		t.Fatal(err)
	}
	examples, err := filepath.Abs("../../examples/plugins")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			env.Setenv("GUESTS", guests) // plugins, guest.wasm and broken ones
			env.Setenv("EXAMPLES", examples)
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"waitfor":  waitFor,
			"ports":    ports,
			"sendsig":  sendSignal,
			"httpget":  httpGet,
			"fill":     fill,
			"waitgone": waitGone,
			"waitglob": waitGlob,
			"waitpage": waitPage,
			"fill_in":  fillIn,

			"wait_subscribed": waitSubscribed,
		},
	})
}

const patience = 20 * time.Second

// poll tries ok until it holds; files and sockets have no event to wait on.
func poll(ts *testscript.TestScript, what string, ok func() bool) {
	for deadline := time.Now().Add(patience); !ok(); {
		if time.Now().After(deadline) {
			ts.Fatalf("still waiting for %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// waitfor FILE REGEXP: until a line of the file matches.
func waitFor(ts *testscript.TestScript, neg bool, args []string) {
	re, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	var last []byte
	defer func() {
		if r := recover(); r != nil {
			ts.Logf("%s holds:\n%s", args[0], last)
			panic(r)
		}
	}()
	poll(ts, fmt.Sprintf("%q in %s", args[1], args[0]), func() bool {
		b, err := os.ReadFile(ts.MkAbs(args[0]))
		last = b
		return err == nil && re.Match(b)
	})
}

// ports DIR: waits for the ports file in DIR and sets NATS, HTTP and PID.
func ports(ts *testscript.TestScript, neg bool, args []string) {
	var names []string
	poll(ts, "the ports file", func() bool {
		names, _ = filepath.Glob(filepath.Join(ts.MkAbs(args[0]), "*.ports"))
		return len(names) == 1
	})
	b, err := os.ReadFile(names[0])
	ts.Check(err)
	find := func(key string) string {
		m := regexp.MustCompile(`"` + key + `":\["[a-z]+://([^"]+)"`).FindSubmatch(b)
		if m == nil {
			return ""
		}
		return string(m[1])
	}
	ts.Setenv("NATS", find("nats"))
	ts.Setenv("HTTP", find("monitoring"))
	ts.Setenv("WS", scheme(b)+find("websocket"))
	ts.Setenv("QUIC", "quic://"+find("quic"))
	ts.Setenv("LAN", find("lan"))
	ts.Setenv("LEAF", find("leafnodes"))
	pid := strings.TrimSuffix(names[0][strings.LastIndexByte(names[0], '_')+1:], ".ports")
	ts.Setenv("PID", pid)
}

// scheme is that of the WebSocket listener.
func scheme(b []byte) string {
	if bytes.Contains(b, []byte(`"wss://`)) {
		return "wss://"
	}
	return "ws://"
}

var signals = map[string]syscall.Signal{"HUP": syscall.SIGHUP, "USR1": syscall.SIGUSR1, "USR2": syscall.SIGUSR2, "TERM": syscall.SIGTERM, "INT": syscall.SIGINT}

// sendsig SIGNAL PID.
func sendSignal(ts *testscript.TestScript, neg bool, args []string) {
	pid, err := strconv.Atoi(args[1])
	ts.Check(err)
	ts.Check(syscall.Kill(pid, signals[args[0]]))
}

// waitgone PID: until the process has ended.
func waitGone(ts *testscript.TestScript, neg bool, args []string) {
	pid, err := strconv.Atoi(args[0])
	ts.Check(err)
	poll(ts, "the process to end", func() bool {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return err != nil || bytes.Contains(b, []byte(") Z ")) || syscall.Kill(pid, 0) != nil
	})
}

// httpget URL FILE: the body of the page.
func httpGet(ts *testscript.TestScript, neg bool, args []string) {
	r, err := http.Get(args[0])
	ts.Check(err)
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), b, 0o600))
}

// waitpage URL REGEXP: until a line of the page matches.
func waitPage(ts *testscript.TestScript, neg bool, args []string) {
	re, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	var last []byte
	defer func() {
		if r := recover(); r != nil {
			ts.Logf("%s shows:\n%s", args[0], last)
			panic(r)
		}
	}()
	poll(ts, fmt.Sprintf("%q on %s", args[1], args[0]), func() bool {
		r, err := http.Get(args[0])
		if err != nil {
			return false
		}
		defer r.Body.Close()
		last, err = io.ReadAll(r.Body)
		return err == nil && re.Match(last)
	})
}

// fill_in NAME FILE...: puts the value of the variable NAME in place of its name in
// files.
func fillIn(ts *testscript.TestScript, neg bool, args []string) {
	for _, name := range args[1:] {
		b, err := os.ReadFile(ts.MkAbs(name))
		ts.Check(err)
		b = bytes.ReplaceAll(b, []byte(args[0]), []byte(ts.Getenv(args[0])))
		ts.Check(os.WriteFile(ts.MkAbs(name), b, 0o600))
	}
}

// fill ADDR N: writes N lines of traffic on a connection, for logs to grow.
func fill(ts *testscript.TestScript, neg bool, args []string) {
	nc, err := net.Dial("tcp", args[0])
	ts.Check(err)
	defer nc.Close()
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	line := "SUB " + strings.Repeat("x", 1000) + " 1\r\nUNSUB 1\r\n"
	fmt.Fprintf(nc, "CONNECT {\"verbose\":false}\r\n%sPING\r\n", strings.Repeat(line, n))
	nc.SetReadDeadline(time.Now().Add(patience))
	buf := make([]byte, 4096)
	for got := ""; !strings.Contains(got, "PONG"); {
		k, err := nc.Read(buf)
		ts.Check(err)
		got += string(buf[:k])
	}
}

// waitglob PATTERN: until a file of that name is there.
func waitGlob(ts *testscript.TestScript, neg bool, args []string) {
	poll(ts, args[0], func() bool {
		names, _ := filepath.Glob(ts.MkAbs(args[0]))
		return len(names) > 0
	})
}

// wait_subscribed HTTP N: until clients have N subscriptions; the server has some
// of its own beside.
func waitSubscribed(ts *testscript.TestScript, neg bool, args []string) {
	poll(ts, args[1]+" subscriptions", func() bool {
		r, err := http.Get("http://" + args[0] + "/connz")
		if err != nil {
			return false
		}
		defer r.Body.Close()
		var z struct {
			Connections []struct{ Subscriptions int }
		}
		if json.NewDecoder(r.Body).Decode(&z) != nil {
			return false
		}
		n := 0
		for _, c := range z.Connections {
			n += c.Subscriptions
		}
		return strconv.Itoa(n) == args[1]
	})
}
