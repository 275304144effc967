package quic

import (
	"crypto/tls"
	"io"
	"net"
	"testing"

	quicgo "github.com/quic-go/quic-go"

	"ganglion/listeners/listenertest"
)

// echo answers every connection of l with what it says.
func echo(l net.Listener) {
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				io.Copy(c, c)
				c.Close()
			}()
		}
	}()
}

// says has c, whose far end is echo, answer.
func says(t *testing.T, c net.Conn) {
	t.Helper()
	const text = "PING\r\n"
	io.WriteString(c, text)
	if got := readFull(c, make([]byte, len(text))); got != text {
		t.Fatalf("read %q; want %q", got, text)
	}
}

// TestEarlyOften resumes sessions one after the other, each with two connections,
// for the race detector: the first is opened while the handshake is under way.
func TestEarlyOften(t *testing.T) {
	server, client := listenertest.Identity(t)
	client.ClientSessionCache = tls.NewLRUClientSessionCache(4)
	verified := 0
	client.VerifyConnection = func(tls.ConnectionState) error { verified++; return nil }
	l := serve(t, Options{TLS: server})
	echo(l)
	const times = 40
	for i := range times {
		s, err := DialSession(t.Context(), l.Addr().String(), DialOptions{TLS: client, ListenPacket: local})
		if err != nil {
			t.Fatal(err)
		}
		opened := make(chan net.Conn)
		for range 2 {
			go func() {
				c, err := s.Open(t.Context())
				if err != nil {
					t.Error(err)
				}
				opened <- c
			}()
		}
		for range 2 {
			c := <-opened
			if t.Failed() {
				t.FailNow()
			}
			says(t, c)
		}
		if early := s.Early(); early != (i > 0) {
			t.Fatalf("connection %d: early %v", i, early)
		}
		s.Close()
	}
	if verified != times {
		t.Errorf("the caller's VerifyConnection was called %d times; want %d", verified, times)
	}
}

// TestEarlyUseless has a cache with a session that promises early data and is of no
// use for it, because another protocol made it.
func TestEarlyUseless(t *testing.T) {
	server, client := listenertest.Identity(t)
	client.ClientSessionCache = tls.NewLRUClientSessionCache(4)
	l := serve(t, Options{TLS: server})
	echo(l)
	if err := l.Port().Serve("other", func(qc *quicgo.Conn) { <-qc.Context().Done() }); err != nil {
		t.Fatal(err)
	}
	put := make(chan struct{}, 8)
	other := client.Clone()
	other.NextProtos = []string{"other"}
	other.ClientSessionCache = putting{other.ClientSessionCache, put}
	qc, err := quicgo.DialAddr(t.Context(), l.Addr().String(), other, nil)
	if err != nil {
		t.Fatal(err)
	}
	<-put
	qc.CloseWithError(0, "")
	c := dial(t, l, DialOptions{TLS: client})
	says(t, c)
	if c.Session().Early() {
		t.Error("early data was taken")
	}
}

// putting tells of sessions that are put into a cache.
type putting struct {
	tls.ClientSessionCache
	put chan<- struct{}
}

func (p putting) Put(key string, s *tls.ClientSessionState) {
	p.ClientSessionCache.Put(key, s)
	if s != nil {
		p.put <- struct{}{}
	}
}
