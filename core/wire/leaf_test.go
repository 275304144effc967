package wire

import (
	"bytes"
	"fmt"
	"testing"
)

func TestLeafParser(t *testing.T) {
	for _, tc := range []struct{ in, want string }{
		{"LS+ foo\r\n", "LS+ foo"},
		{"ls+ foo\r\n", "LS+ foo"},
		{"LS+ q g 3\r\n", "LS+ q g 3"},
		{"LS+\tq\tg\t3\r\n", "LS+ q g 3"},
		{"LS- foo\r\n", "LS- foo"},
		{"LS- q g\r\n", "LS- q g"},
		{"LMSG foo 2\r\nhi\r\n", "LMSG foo [] [] 0 hi"},
		{"LMSG foo rep.1 2\r\nhi\r\n", "LMSG foo [rep.1] [] 0 hi"},
		{"LMSG q | q2 q1 2\r\nqq\r\n", "LMSG q [] [q2 q1] 0 qq"},
		{"LMSG q + rep.2 q2 q1 2\r\nqq\r\n", "LMSG q [rep.2] [q2 q1] 0 qq"},
		{"HMSG bar.1 18 20\r\nNATS/1.0\r\nA: B\r\n\r\nhi\r\n", "LMSG bar.1 [] [] 18 hi"},
		{"HMSG bar.1 rep 18 20\r\nNATS/1.0\r\nA: B\r\n\r\nhi\r\n", "LMSG bar.1 [rep] [] 18 hi"},
		{"HMSG q + rep q2 q1 18 20\r\nNATS/1.0\r\nA: B\r\n\r\nhi\r\n", "LMSG q [rep] [q2 q1] 18 hi"},
		{"PING\r\n", "PING"},
		{"PONG\r\n", "PONG"},
		{"INFO {\"a\":1} \r\n", "INFO"},
		{"CONNECT {}\r\n", "CONNECT"},
		{"-ERR 'x'\r\n", "-ERR"},
		{"LS+ q g\r\n", "error"},
		{"LS+ q g 0\r\n", "error"},
		{"LS+ \r\n", "error"},
		{"LMSG foo\r\n", "error"},
		{"LMSG foo |\r\n", "error"},
		{"LMSG foo | 2\r\n", "error"},
		{"LMSG foo + r 2\r\n", "error"},
		{"LMSG foo a b 2\r\n", "error"},
		{"HMSG foo 3 2\r\n", "error"},
		{"LMSG foo 2\r\nhix\r\n", "error"},
		{"LMSX foo 2\r\n", "error"},
		{"LX\r\n", "error"},
		{"LMSG foo 99999999\r\n", "error"},
	} {
		for cut := 0; cut <= len(tc.in); cut++ { // in two pieces
			p := &LeafParser{}
			var op Op
			n, err := p.Next([]byte(tc.in[:cut]), &op)
			if cut < len(tc.in) && n == 0 && err == nil {
				n, err = p.Next([]byte(tc.in), &op)
			}
			got := show(&op)
			if err != nil {
				got = "error"
			}
			if op.Kind == None && err == nil {
				continue // PING and its like are used up as they come
			}
			if got != tc.want || err == nil && n != len(tc.in) && op.Kind != Ping && op.Kind != Pong {
				t.Errorf("%q cut at %d: %s, %d bytes, %v; want %s", tc.in, cut, got, n, err, tc.want)
			}
		}
	}
}

func show(op *Op) string {
	switch op.Kind {
	case LeafSub, LeafUnsub:
		s := fmt.Sprintf("%v %s", op.Kind, op.Subject)
		if len(op.Queue) > 0 {
			s += " " + string(op.Queue)
		}
		if op.Max > 0 {
			s += fmt.Sprintf(" %d", op.Max)
		}
		return s
	case LeafMsg:
		m := &op.Msg
		var reply []string
		if len(m.Reply) > 0 {
			reply = append(reply, string(m.Reply))
		}
		return fmt.Sprintf("LMSG %s %s %s %d %s", m.Subject, reply, m.Queues, m.HdrLen, m.Payload())
	}
	return op.Kind.String()
}

func TestSplitAck(t *testing.T) {
	for in, want := range map[string]string{
		"$JS.ACK.S.C.1.1.1.1.0@js.a": "$JS.ACK.S.C.1.1.1.1.0 js.a",
		"$JS.ACK.S.C.1.1.1.1.0":      "",
		"$JS.ACK.S.C.1.1.1.1.0@":     "",
		"x@y":                        "",
	} {
		ack, subj, ok := SplitAck([]byte(in))
		if got := string(ack) + " " + string(subj); ok != (want != "") || ok && got != want {
			t.Errorf("%s: %q, %v", in, got, ok)
		}
	}
}

func FuzzLeafParser(f *testing.F) {
	for _, s := range []string{"LS+ a b 1\r\nLMSG q + r a b 2\r\nhi\r\n", "HMSG a 12 14\r\nNATS/1.0\r\n\r\nhi\r\nPING\r\n", "LS- a\r\nINFO {}\r\n-ERR 'x'\r\n"} {
		f.Add([]byte(s), 3)
	}
	f.Fuzz(func(t *testing.T, b []byte, cut int) {
		p := &LeafParser{}
		p.MaxPayload = 1 << 16
		var op Op
		for len(b) > 0 {
			n, err := p.Next(b, &op)
			if err != nil || n == 0 {
				return
			}
			if n < 0 || n > len(b) {
				t.Fatalf("%d bytes of %d", n, len(b))
			}
			if op.Kind == LeafMsg {
				var qs []string
				for _, q := range op.Msg.Queues {
					qs = append(qs, string(q))
				}
				want := op.Msg.Clone()
				again := AppendLeafMsg(nil, &op.Msg, qs, true)
				var op2 Op
				p2 := &LeafParser{}
				p2.MaxPayload = 1 << 16
				if k, err := p2.Next(again, &op2); err != nil || k != len(again) || !bytes.Equal(op2.Msg.Data, want.Data) || len(op2.Msg.Queues) != len(qs) {
					t.Fatalf("%q became %q: %d, %v", b[:n], again, k, err)
				}
			}
			b = b[n:]
		}
	})
}
