package wire

import "bytes"

// verbs in lower case, with what may follow them: args verbs need a blank,
// bare ones may be followed by anything up to the line's end.
var verbs = [...]struct {
	name string
	kind Kind
	args bool
}{
	{"pub", Pub, true},
	{"hpub", HPub, true},
	{"sub", Sub, true},
	{"unsub", Unsub, true},
	{"ping", Ping, false},
	{"pong", Pong, false},
	{"connect", Connect, true},
	{"+ok", OK, false},
	{"info", InfoOp, true},
	{"-err", ErrFrom, false},
	{"lane", Lane, true},
}

// control parses every verb but the hot ones.
func (p *Parser) control(b []byte, op *Op) (int, error) {
	op.Kind = None
	if p.skip != None {
		return p.skipLine(b, op), nil
	}
	if len(b) == 0 {
		return 0, nil
	}
	for i := range verbs {
		v := &verbs[i]
		if v.kind == Lane && !p.Lanes {
			continue
		}
		n := prefixFold(b, v.name)
		if n < len(v.name) {
			if n == len(b) {
				return 0, nil // may become this verb
			}
			continue
		}
		if !v.args {
			if v.kind == ErrFrom {
				op.Kind, op.Arg = ErrFrom, nil
				return n, nil
			}
			p.skip = v.kind
			return n + p.skipLine(b[n:], op), nil
		}
		if len(b) == n {
			return 0, nil
		}
		if b[n] != ' ' && b[n] != '\t' {
			if v.kind == Connect && (b[n] == '\r' || b[n] == '\n') {
				return 0, ErrArguments // the one verb where nothing is an argument that fails
			}
			return 0, ErrUnknownOp
		}
		return p.withArgs(b, n+1, v.kind, op)
	}
	return 0, ErrUnknownOp
}

// skipLine throws b away up to its LF; with that the op of the line is there.
func (p *Parser) skipLine(b []byte, op *Op) int {
	i := bytes.IndexByte(b, '\n')
	if i < 0 {
		return len(b)
	}
	op.Kind, p.skip = p.skip, None
	return i + 1
}

func (p *Parser) withArgs(b []byte, from int, k Kind, op *Op) (int, error) {
	switch k {
	case Pub:
		if b[3] == '\t' {
			arg, end, err := p.line(b, 4)
			if end == 0 {
				return 0, err
			}
			return p.pubSlow(b, arg, end, op)
		}
		return p.pub(b, op)
	case HPub:
		return p.hpub(b, op)
	}
	arg, end, err := p.line(b, from)
	if end == 0 {
		return 0, err
	}
	switch k {
	case Sub:
		err = subArgs(arg, op)
	case Unsub:
		err = unsubArgs(arg, op)
	default:
		op.Arg = bytes.TrimLeft(arg, " \t")
	}
	if err != nil {
		return 0, err
	}
	op.Kind = k
	return end, nil
}

// subArgs reads subject [queue] sid.
func subArgs(arg []byte, op *Op) error {
	var f [4][]byte
	switch fields(arg, f[:]) {
	case 2:
		op.Subject, op.Queue, op.SID = f[0], nil, f[1]
	case 3:
		op.Subject, op.Queue, op.SID = f[0], f[1], f[2]
	default:
		return ErrArguments
	}
	return nil
}

// unsubArgs reads sid [max]; a max that is no positive number counts as none,
// as nats-server has it.
func unsubArgs(arg []byte, op *Op) error {
	var f [3][]byte
	op.Max = 0
	switch fields(arg, f[:]) {
	case 1:
		op.SID = f[0]
	case 2:
		op.SID = f[0]
		if n := parseSize(f[1]); n > 0 {
			op.Max = n
		}
	default:
		return ErrArguments
	}
	return nil
}

// prefixFold returns how many leading bytes of b equal name, which is in lower
// case, ignoring the case of b.
func prefixFold(b []byte, name string) int {
	n := min(len(b), len(name))
	for i := range n {
		c := b[i]
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		if c != name[i] {
			return i
		}
	}
	return n
}
