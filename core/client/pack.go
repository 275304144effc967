package client

import (
	"bytes"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"

	"ganglion/core/account"
	"ganglion/core/wire"
)

// packMin is from how many bytes on a message is worth deflating.
const packMin = 64

// stagePacked stages m for a client that takes compressed frames. A frame holds
// no state of the one before it, so the message is deflated once for all its
// receivers: a stored block with what stands in front of it for this one, then
// the shared blocks.
func (c *Client) stagePacked(st *account.Stage, sub *account.Subscription, m *wire.Msg, headers bool) {
	if m.Tail == nil || m.HdrLen > 0 && !headers {
		n := len(m.Subject) + len(sub.SID()) + len(m.Reply) + len(m.Data) + 64
		st.AppendBlock(wire.AppendMsg(make([]byte, 0, n), m, sub.SID(), headers))
		size := len(m.Data)
		if !headers {
			size -= m.HdrLen
		}
		st.Delivered(sub, size)
		return
	}
	var room [512]byte
	head := sub.AppendHead(room[:0], m.Subject, m.HdrLen > 0)
	if len(m.Tail) < packMin {
		st.AppendBlock(head, m.Tail)
	} else {
		if m.Packed == nil {
			m.Packed = deflate(m.Tail)
		}
		st.AppendBlock(head)
		st.AppendBlocks(m.Packed)
	}
	st.Delivered(sub, len(m.Data))
}

// packer deflates messages one by one. It is large, so there are as many as
// messages are deflated at the same time, not as clients.
type packer struct {
	w   *flate.Writer
	out bytes.Buffer
}

var packers = sync.Pool{New: func() any {
	w, err := flate.NewWriter(io.Discard, flate.BestSpeed)
	if err != nil {
		panic(err) // the level is a constant that flate has
	}
	return &packer{w: w}
}}

// deflate returns b as whole deflate blocks.
func deflate(b []byte) []byte {
	p := packers.Get().(*packer)
	defer packers.Put(p)
	p.out.Reset()
	p.w.Reset(&p.out)
	p.w.Write(b) // into memory: it can't fail
	p.w.Flush()
	return bytes.Clone(p.out.Bytes())
}

// unpack inflates whole deflate blocks of our own making.
func unpack(b []byte) []byte {
	b = append(b, 1, 0, 0, 0xff, 0xff) // a final block
	out, err := io.ReadAll(flate.NewReader(bytes.NewReader(b)))
	if err != nil {
		panic("client: inflate own blocks: " + err.Error())
	}
	return out
}
