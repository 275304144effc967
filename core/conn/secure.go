package conn

import (
	"crypto/tls"
	"io"
	"net"
	"sync"
	"time"
)

// errDry is what a record gives when the ciphertext that was read is used up.
// It is temporary, so crypto/tls keeps what it has of a record and goes on when
// there is more.
var errDry = &dryError{}

type dryError struct{}

func (*dryError) Error() string   { return "conn: no more input yet" }
func (*dryError) Timeout() bool   { return true }
func (*dryError) Temporary() bool { return true }

// TLSConn is TLS over a connection. It is an ordinary net.Conn that blocks until
// a Loop adopts it; from then on no goroutine waits in it, and an idle one holds
// no more than crypto/tls itself does.
type TLSConn struct {
	*tls.Conn
	record *record
}

// TLSServer returns the server's side of TLS over nc; the handshake happens with
// the first Read, or with Handshake.
func TLSServer(nc net.Conn, cfg *tls.Config) *TLSConn {
	r := &record{Conn: nc}
	return &TLSConn{Conn: tls.Server(r, cfg), record: r}
}

// NetConn returns the connection below.
func (t *TLSConn) NetConn() net.Conn { return t.record.Conn }

// record is the transport that crypto/tls sees. It passes reads and writes on
// until direct is set; then it takes ciphertext from in and leaves it in out, and
// never touches the transport.
type record struct {
	net.Conn
	direct bool // set before the Loop reads; never reset
	lent   bool // Conn is somebody else's to close

	in []byte // owned by the reader of the moment

	mu  sync.Mutex
	out []byte // pooled; ciphertext in the order in which it is to be sent
}

func (r *record) Read(p []byte) (int, error) {
	if !r.direct {
		return r.Conn.Read(p)
	}
	if len(r.in) == 0 {
		return 0, errDry
	}
	n := copy(p, r.in)
	r.in = r.in[n:]
	return n, nil
}

func (r *record) Write(p []byte) (int, error) {
	if !r.direct {
		return r.Conn.Write(p)
	}
	r.mu.Lock()
	if r.out == nil {
		r.out = getBuf(len(p))
	}
	if cap(r.out)-len(r.out) < len(p) {
		grown := append(getBuf(max(len(r.out)+len(p), min(4*cap(r.out), size1M))), r.out...)
		putBuf(r.out)
		r.out = grown
	}
	r.out = append(r.out, p...)
	r.mu.Unlock()
	return len(p), nil
}

// Close closes the transport, unless that is lent: crypto/tls closes it to
// interrupt a handshake, and its descriptor must not be another connection's
// while a Conn still goes by it.
func (r *record) Close() error {
	if r.lent {
		return r.Conn.SetDeadline(time.Unix(1, 0))
	}
	return r.Conn.Close()
}

// take returns the ciphertext that is to be sent. Callers hold the connection's
// outbound lock, so that it is sent in the order in which it was made.
func (r *record) take() []byte {
	r.mu.Lock()
	b := r.out
	r.out = nil
	r.mu.Unlock()
	return b
}

// open decrypts into b until it is full or the ciphertext is used up. dry is
// true for the latter.
func (t *TLSConn) open(b []byte) (n int, dry bool, err error) {
	for n < len(b) {
		m, err := t.Conn.Read(b[n:])
		n += m
		switch {
		case err == error(errDry):
			return n, true, nil
		case err != nil:
			return n, false, err
		case m == 0:
			return n, false, io.ErrNoProgress
		}
	}
	return n, false, nil
}

// seal encrypts x and makes x the ciphertext.
func (t *TLSConn) seal(x *Buffer) error {
	plain := x.b
	var flat []byte
	if x.Borrows() {
		flat = x.Bytes(getBuf(x.Len()))
		plain = flat
	}
	t.record.reserve(len(plain) + len(plain)/256 + 256)
	_, err := t.Conn.Write(plain)
	if flat != nil {
		putBuf(flat)
	}
	x.Reset(0)
	x.b = t.record.take()
	return err
}

// reserve makes room for n bytes in one go.
func (r *record) reserve(n int) {
	r.mu.Lock()
	if r.out == nil {
		r.out = getBuf(n)
	}
	r.mu.Unlock()
}
