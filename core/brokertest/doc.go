// Package brokertest is httptest for brokers: conversation scripts, which say to
// the byte what a client sends and what a broker answers. The same script is
// played against Ganglion and against a real nats-server, so that compatibility
// is a fact and not a claim. The package takes only an address; it starts
// nothing (core/brokertest/natstest starts a nats-server).
//
// # Scripts
//
// A file holds one script or several. "=== name" begins one.
//
//	=== a message comes back
//	# id: 6.order
//	# config: max_payload: 100
//	S: <INFO max_payload=100 auth_required=->
//	C: CONNECT {"verbose":false}
//	C: SUB a 1
//	C: PUB a 2\r\nhi
//	S: MSG a 1 2
//	S: hi
//
// Blank lines and lines that begin with "#" are skipped, but for these:
//
//	# id: 6.order           what the script covers: a line of testdata/coverage.txt; may be repeated
//	# config: key: value    a line of configuration that the server needs; may be repeated
//	# dial: 2 <address>     connection 2 goes to this address instead of the server's
//
// "C:" is sent by the client, with CRLF after it; "C-:" without. "S:" is what the
// server answers, one line of it (with CRLF) and exactly. Several connections are
// numbered, "C2:" and "S2:", and opened when first mentioned. "C*30:" sends
// its text thirty times in one go, "C@2s:" again and again for two seconds ("C2*30:"
// on connection 2). Consecutive "S~:" lines
// may come in any order; a message in one of them is a single line, MSG a 1 2\r\nhi.
//
// Escapes, in both: \r \n \t \\ and \xHH. Then, between angle brackets (an opening
// bracket that is meant is \x3c):
//
//	<a*4096>      "a" 4096 times
//	<|>           C only: what follows goes into a write of its own
//	<any>         S only: one byte or more within the line
//	<word>        S only: one byte or more without blanks
//	<num>         S only: digits
//	<word=x>      the same, and remembers them as x (<any=x>, <num=x> too)
//	<x>           what was remembered as x, or given to [Script.Define]
//
// Lines of their own:
//
//	S: <INFO key=1 k=* l=-> an INFO in which these keys have that JSON value, or are there (*), or absent (-)
//	S: <closed>             the server closes, after nothing more
//	S: <cut>                the server closes, perhaps in the middle of something, and sent no -ERR
//	S: <nothing>            nothing comes: the answer to a PING is the next line
//
// A connection that is not closed when its script ends must end in silence as if
// the script had said <nothing>. Nothing sleeps: a script that waits, waits for
// bytes, up to [Patience]. A PING of the server is answered and forgotten unless the script
// expects it.
package brokertest
