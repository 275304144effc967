package wire

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// parseAll runs p over input presented in the pieces that end at cuts, and
// returns the ops as text.
func parseAll(p *Parser, input []byte, cuts ...int) (ops []string, err error) {
	var op Op
	var buf []byte
	at := 0
	for _, cut := range append(cuts, len(input)) {
		buf = append(buf, input[at:cut]...)
		at = cut
		for len(buf) > 0 {
			n, err := p.Next(buf, &op)
			if err != nil {
				return ops, err
			}
			if n == 0 {
				break
			}
			if op.Kind != None {
				ops = append(ops, render(&op))
			}
			buf = buf[n:]
		}
	}
	return ops, nil
}

func render(op *Op) string {
	switch op.Kind {
	case Pub, HPub:
		m := &op.Msg
		s := fmt.Sprintf("%v %q %q %q %q", op.Kind, m.Subject, m.Reply, m.Header(), m.Payload())
		if m.Tail != nil {
			// The tail must be what the encoder writes.
			want := AppendMsg(nil, &Msg{Subject: m.Subject, Reply: m.Reply, Data: m.Data, HdrLen: m.HdrLen, SizeArg: m.SizeArg}, "1", true)
			head := "MSG "
			if m.HdrLen > 0 {
				head = "HMSG "
			}
			if got := head + string(m.Subject) + " 1 " + string(m.Tail); op.Kind == Pub && got != string(want) {
				s += fmt.Sprintf(" BAD TAIL %q, want %q", got, want)
			}
		}
		return s
	case Sub:
		return fmt.Sprintf("SUB %q %q %q", op.Subject, op.Queue, op.SID)
	case Unsub:
		return fmt.Sprintf("UNSUB %q %d", op.SID, op.Max)
	case Connect, InfoOp:
		return fmt.Sprintf("%v %q", op.Kind, op.Arg)
	}
	return op.Kind.String()
}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     []string
		err      error
	}{
		{"pub", "PUB a 2\r\nhi\r\n", []string{`PUB "a" "" "" "hi"`}, nil},
		{"pub reply", "PUB a.b r.1 2\r\nhi\r\n", []string{`PUB "a.b" "r.1" "" "hi"`}, nil},
		{"pub blanks and tabs", "pUb \ta  \t r\t 2 \r\nhi\r\n", []string{`PUB "a" "r" "" "hi"`}, nil},
		{"pub tab behind verb", "PUB\ta 2\r\nhi\r\n", []string{`PUB "a" "" "" "hi"`}, nil},
		{"pub bare lf", "PUB a 2\nhi\r\n", []string{`PUB "a" "" "" "hi"`}, nil},
		{"pub empty", "PUB a 0\r\n\r\n", []string{`PUB "a" "" "" ""`}, nil},
		{"pub leading zeros", "PUB a 002\r\nhi\r\n", []string{`PUB "a" "" "" "hi"`}, nil},
		{"pub payload holds crlf", "PUB a 4\r\n\r\n\r\n\r\n", []string{`PUB "a" "" "" "\r\n\r\n"`}, nil},
		{"pub payload without crlf", "PUB a 2\r\nhi\n", nil, ErrUnknownOp},
		{"pub payload too long", "PUB a 2\r\nhix\r\n", nil, ErrUnknownOp},
		{"pub no args", "PUB\r\n", nil, ErrUnknownOp},
		{"pub one arg", "PUB a\r\n", nil, ErrArguments},
		{"pub four args", "PUB a b c 1\r\n", nil, ErrArguments},
		{"pub no number", "PUB a x\r\n", nil, ErrArguments},
		{"pub negative", "PUB a -1\r\n", nil, ErrArguments},
		{"pub plus", "PUB a +2\r\nhi\r\n", nil, ErrArguments},
		{"pub overflow", "PUB a 99999999999999999999\r\n", nil, ErrArguments},
		{"pub ten digits", "PUB a 1000000000\r\n", nil, ErrArguments},
		{"pub too large", "PUB a 1048577\r\n", nil, ErrMaxPayload},
		{"hpub", "HPUB a 12 14\r\nNATS/1.0\r\n\r\nhi\r\n", []string{`HPUB "a" "" "NATS/1.0\r\n\r\n" "hi"`}, nil},
		{"hpub reply", "hpub a r 12 12\r\nNATS/1.0\r\n\r\n\r\n", []string{`HPUB "a" "r" "NATS/1.0\r\n\r\n" ""`}, nil},
		{"hpub no header", "HPUB a 0 2\r\nhi\r\n", []string{`HPUB "a" "" "" "hi"`}, nil},
		{"hpub header beyond total", "HPUB a 3 2\r\nhi\r\n", nil, ErrArguments},
		{"hpub two args", "HPUB a 2\r\nhi\r\n", nil, ErrArguments},
		{"hpub five args", "HPUB a b c 1 2\r\nhi\r\n", nil, ErrArguments},
		{"sub", "SUB a.> 1\r\nsub b q 2\r\n", []string{`SUB "a.>" "" "1"`, `SUB "b" "q" "2"`}, nil},
		{"sub two blanks", "SUB _INBOX.x.*  1\r\n", []string{`SUB "_INBOX.x.*" "" "1"`}, nil},
		{"sub one arg", "SUB a\r\n", nil, ErrArguments},
		{"sub four args", "SUB a b c d\r\n", nil, ErrArguments},
		{"sub no args", "SUB\r\n", nil, ErrUnknownOp},
		{"unsub", "UNSUB 2 \r\nunsub 3 5\r\nUNSUB 4 -1\r\nUNSUB 5 x\r\n",
			[]string{`UNSUB "2" 0`, `UNSUB "3" 5`, `UNSUB "4" 0`, `UNSUB "5" 0`}, nil},
		{"unsub three args", "UNSUB 1 2 3\r\n", nil, ErrArguments},
		{"ping and junk", "PING\r\nPiNg xyz\nPINGxyz\r\npong\r\n", []string{"PING", "PING", "PING", "PONG"}, nil},
		{"connect", "CONNECT\t{\"a\":1}\r\n", []string{`CONNECT "{\"a\":1}"`}, nil},
		{"connect no args", "CONNECT\r\n", nil, ErrArguments},
		{"ok and info", "+OK\r\nINFO {}\r\n", []string{"+OK", `INFO "{}"`}, nil},
		{"err", "-ERR 'x'\r\n", []string{"-ERR", ""}, ErrUnknownOp},
		{"empty line", "\r\n", nil, ErrUnknownOp},
		{"blank before verb", " PING\r\n", nil, ErrUnknownOp},
		{"server verb", "MSG a 1 0\r\n", nil, ErrUnknownOp},
		{"nul", "\x00\x00\x00\x00\x00", nil, ErrUnknownOp},
		{"nul for blank", "PUB\x00a 1\r\n", nil, ErrUnknownOp},
		{"at once", "X", nil, ErrUnknownOp},
		{"long line", "SUB " + strings.Repeat("a", 4097), nil, ErrControlLine},
		{"long line whole", "SUB " + strings.Repeat("a", 4095) + " 1\r\n", nil, ErrControlLine},
		{"longest line", "SUB " + strings.Repeat("a", 4094) + " 1\r\n", []string{fmt.Sprintf(`SUB %q "" "1"`, strings.Repeat("a", 4094))}, nil},
		{"cr inside", "SUB a 1\rPING\r\n", []string{`SUB "a" "" "1\rPING"`}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := []byte(c.in)
			check := func(where string, ops []string, err error) {
				t.Helper()
				if c.name == "err" { // -ERR ends the stream; what follows doesn't matter
					if len(ops) == 0 || ops[0] != "-ERR" {
						t.Fatalf("%s: %q, %v", where, ops, err)
					}
					return
				}
				if !errors.Is(err, c.err) || fmt.Sprint(ops) != fmt.Sprint(c.want) {
					t.Fatalf("%s: got %q, %v; want %q, %v", where, ops, err, c.want, c.err)
				}
			}
			ops, err := parseAll(&Parser{}, in)
			check("whole", ops, err)
			for cut := 1; cut < len(in) && len(in) < 200; cut++ {
				ops, err := parseAll(&Parser{}, in, cut)
				check(fmt.Sprintf("cut at %d", cut), ops, err)
			}
		})
	}
}

func TestNeedTellsTheLength(t *testing.T) {
	var p Parser
	var op Op
	in := []byte("PUB a 100\r\nhi")
	if n, err := p.Next(in, &op); n != 0 || err != nil || p.Need() != 11+100+2 {
		t.Fatalf("n %d, err %v, need %d", n, err, p.Need())
	}
}

func FuzzParser(f *testing.F) {
	for _, s := range []string{
		"PUB a 2\r\nhi\r\n", "PUB a b 2\r\nhi\r\nPING\r\n", "HPUB a 12 14\r\nNATS/1.0\r\n\r\nhi\r\n", "SUB a q 1\r\nUNSUB 1 2\r\n",
		"CONNECT {}\r\nPING junk\r\n+OK\r\nINFO {}\r\n", "PUB\ta\t002\nhi\r\n", "-ERR 'x'\r\n", "PUB a 9999999999\r\n", "SUB a 1\rPING\r\n",
	} {
		f.Add([]byte(s), uint16(3), uint16(7))
	}
	f.Fuzz(func(t *testing.T, in []byte, a, b uint16) {
		whole, err := parseAll(&Parser{}, in)
		for _, op := range whole {
			if strings.Contains(op, "BAD TAIL") {
				t.Fatal(op)
			}
		}
		x, y := int(a)%(len(in)+1), int(b)%(len(in)+1)
		split, err2 := parseAll(&Parser{}, in, min(x, y), max(x, y))
		// A stream that ends in an error may be found out earlier, never later.
		if fmt.Sprint(whole) != fmt.Sprint(split) || !errors.Is(err2, err) {
			t.Fatalf("split at %d, %d: %q %v, whole %q %v", x, y, split, err2, whole, err)
		}
	})
}

func TestAllocParse(t *testing.T) {
	in := bytes.Repeat([]byte("PUB some.subject reply.to 5\r\nhello\r\nHPUB h 12 14\r\nNATS/1.0\r\n\r\nhi\r\nPING\r\n"), 10)
	var p Parser
	op := new(Op)
	if n := testing.AllocsPerRun(100, func() {
		for b := in; len(b) > 0; {
			n, err := p.Next(b, op)
			if err != nil || n == 0 {
				t.Fatal(n, err)
			}
			b = b[n:]
		}
	}); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

func BenchmarkParsePub(b *testing.B) {
	in := bytes.Repeat([]byte("PUB some.subject 128\r\n"+strings.Repeat("x", 128)+"\r\n"), 100)
	var p Parser
	op := new(Op)
	b.ReportAllocs()
	for i := 0; i < b.N; i += 100 {
		for c := in; len(c) > 0; {
			n, _ := p.Next(c, op)
			c = c[n:]
		}
	}
}
