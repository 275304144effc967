package webtransport

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/quic-go/quicvarint"
	wt "github.com/quic-go/webtransport-go"

	"ganglion/listeners/quic"
)

// answer answers one request.
func (l *Listener) answer(w http.ResponseWriter, r *http.Request) {
	v := r.Context().Value(visitKey{}).(*visit)
	v.linger.Begin()
	defer v.linger.End(quic.CodeNone, "")
	if !l.port.Shaken(r.Context(), v.qc) {
		return
	}
	s := l.opts.Load()
	if r.Method != http.MethodConnect {
		l.page(w, r, s)
		return
	}
	status, err := 0, error(nil)
	switch {
	case r.Proto != "webtransport" && r.Proto != "webtransport-h3":
		status = http.StatusNotImplemented // RFC 9220, section 3
	case r.URL.Path != "/" && r.URL.Path != "/nats":
		status = http.StatusNotFound
	default:
		if err = s.origins.Check(r, true); err != nil {
			status = http.StatusForbidden
		}
	}
	if status == 0 {
		if err = l.open(w, r, v, s); err == nil {
			return
		}
		status = http.StatusBadRequest
	}
	l.refused.Add(1)
	s.Logger.Info("webtransport refused", "remote", r.RemoteAddr, "path", r.URL.Path, "status", status, "reason", err)
	refuse(w, status)
}

// page answers a request that is not for a session.
func (l *Listener) page(w http.ResponseWriter, r *http.Request, s *settings) {
	rc := http.NewResponseController(w)
	end := time.Now().Add(pageTimeout)
	rc.SetReadDeadline(end)
	rc.SetWriteDeadline(end)
	if s.Handler == nil {
		refuse(w, http.StatusNotFound)
		return
	}
	s.Handler.ServeHTTP(w, r)
}

func refuse(w http.ResponseWriter, status int) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	io.WriteString(w, http.StatusText(status)+"\n")
}

// session is a WebTransport session of a client.
type session struct {
	l      *Listener
	v      *visit
	s      *wt.Session
	str    *http3.Stream // of the request
	opts   *settings
	req    *http.Request
	linger *quic.Linger
	ended  atomic.Bool // the client was told that it is over
}

// open makes a session of r.
func (l *Listener) open(w http.ResponseWriter, r *http.Request, v *visit, o *settings) error {
	ws, err := l.server.Upgrade(w, r)
	if err != nil {
		return err
	}
	s := &session{l: l, v: v, s: ws, str: w.(http3.HTTPStreamer).HTTPStream(), opts: o, req: strip(r)}
	s.linger = quic.NewLinger(l.done, v.qc, s.expire)
	l.mu.Lock()
	l.sessions[s] = struct{}{}
	closed := l.closed
	l.mu.Unlock()
	if closed {
		s.linger.Wake()
	} else {
		s.linger.Idle(2 * o.HandshakeTimeout)
	}
	v.linger.Begin()
	v.wg.Go(s.run)
	return nil
}

// strip returns what is worth keeping of r: it must not hold what it came through.
func strip(r *http.Request) *http.Request {
	return &http.Request{Method: r.Method, URL: r.URL, Proto: r.Proto, ProtoMajor: r.ProtoMajor, ProtoMinor: r.ProtoMinor, Header: r.Header, Host: r.Host, RemoteAddr: r.RemoteAddr}
}

// run accepts the streams of s until it ends.
func (s *session) run() {
	defer s.v.linger.End(quic.CodeNone, "")
	for {
		str, err := s.s.AcceptStream(context.Background())
		if err != nil {
			break
		}
		if s.ended.Load() {
			str.CancelRead(quic.CodeClosed)
			str.CancelWrite(quic.CodeClosed)
			continue
		}
		if s.linger.Begin() > s.opts.MaxStreams {
			s.drop(str, quic.CodeRefused, "Too Many Streams")
			continue
		}
		s.v.wg.Go(func() { s.greet(str) })
	}
	s.linger.Stop()
	s.l.mu.Lock()
	delete(s.l.sessions, s)
	s.l.mu.Unlock()
}

// greet reads the preamble of str and hands the connection to Accept.
func (s *session) greet(str *wt.Stream) {
	str.SetReadDeadline(time.Now().Add(s.opts.HandshakeTimeout))
	pre, err := quic.ReadPreamble(str)
	if err != nil {
		code := uint64(quic.CodePreamble)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			code = quic.CodeTimeout
		}
		s.drop(str, code, err.Error())
		return
	}
	str.SetReadDeadline(time.Time{})
	c := &Conn{s: s, str: str, pre: pre}
	select {
	case s.l.conns <- c:
	case <-s.l.done:
		s.drop(str, quic.CodeClosed, "Listener Closed")
	case <-s.s.Context().Done():
		s.drop(str, quic.CodeNone, "")
	}
}

// drop resets a stream that does not become a connection.
func (s *session) drop(str *wt.Stream, code uint64, text string) {
	if code != quic.CodeNone {
		s.l.refused.Add(1)
		s.opts.Logger.Debug("webtransport stream refused", "remote", s.v.qc.RemoteAddr(), "reason", text)
	}
	str.CancelRead(wt.StreamErrorCode(code))
	str.CancelWrite(wt.StreamErrorCode(code))
	s.linger.End(code, text)
}

// closeWait is how long a client has to answer that its session is over.
const closeWait = time.Second

// expire ends s. It says so itself: CloseWithError has STOP_SENDING overtake the
// reason, and browsers then don't read that
// (https://github.com/quic-go/webtransport-go/issues/242).
func (s *session) expire(code uint64, text string) {
	if !s.ended.Swap(true) && s.str.TryWriteAll(appendClose(nil, uint32(code), text)) == nil {
		s.str.Close()
		s.linger.Idle(closeWait) // and then once more
		return
	}
	s.s.CloseWithError(wt.SessionErrorCode(code), text)
}

const (
	closeCapsule = 0x2843 // draft-ietf-webtrans-http3, section 5
	maxCloseText = 1024
)

// appendClose appends the capsule that closes a session.
func appendClose(b []byte, code uint32, text string) []byte {
	text = text[:min(len(text), maxCloseText)]
	b = quicvarint.Append(b, closeCapsule)
	b = quicvarint.Append(b, uint64(4+len(text)))
	return append(binary.BigEndian.AppendUint32(b, code), text...)
}
