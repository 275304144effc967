package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nkeys"
	"golang.org/x/crypto/bcrypt"
)

// floodConns is how many connections try to log in at the same time.
const floodConns = 16

// loginFlood is 1:1 traffic beside a flood of wrong logins, against the same
// traffic beside the same flood aimed at something that just accepts.
func loginFlood() scenario {
	users := sync.OnceValues(newFloodUsers)
	return scenario{
		name:   "flood",
		about:  "1:1, 128 B, beside 16 connections that log in wrongly without pause (nkey, bcrypt), against the same beside the same flood at a bare TCP acceptor",
		floors: []floor{atLeast("x.rate", 0.70).as("throughput")},
		self:   true,
		run: func(ctx context.Context, st *stage) (leg, error) {
			u, err := users()
			if err != nil {
				return leg{}, err
			}
			return st.over(ctx, transport{conf: u.config}, func(s *session) (leg, error) { return floodLeg(s, st, u) })
		},
	}
}

// floodUsers are who the flood claims to be.
type floodUsers struct{ config, nkey string }

func newFloodUsers() (floodUsers, error) {
	kp, err := nkeys.CreateUser()
	if err != nil {
		return floodUsers{}, fmt.Errorf("make an nkey: %w", err)
	}
	pub, err := kp.PublicKey()
	if err != nil {
		return floodUsers{}, fmt.Errorf("make an nkey: %w", err)
	}
	hash, err := bcrypt.GenerateFromPassword([]byte("right"), 11)
	if err != nil {
		return floodUsers{}, fmt.Errorf("hash a password: %w", err)
	}
	return floodUsers{nkey: pub, config: fmt.Sprintf(
		"authorization { users: [ {user: t, password: x}, {user: b, password: %q}, {nkey: %s} ] }\n", hash, pub)}, nil
}

func floodLeg(s *session, st *stage, u floodUsers) (leg, error) {
	const subject, size = "flood.beside", 128
	sub, err := s.dialAs("t", "x")
	if err != nil {
		return leg{}, err
	}
	if err := sub.flush([]byte("SUB " + subject + " 1\r\n")); err != nil {
		return leg{}, fmt.Errorf("subscribe: %w", err)
	}
	pub, err := s.dialAs("t", "x")
	if err != nil {
		return leg{}, err
	}
	head := msgHead(subject, "1", "", size)
	win := newWindow(windowPerSub, msgSize(head, size))
	sub.sink = &counter{control: &sub.control, size: msgSize(head, size), head: []byte(head), add: win.delivered}
	t := &topology{subs: []*conn{sub}, wins: []*window{win}, pubs: []publisher{{c: pub, chunks: []chunk{chunkOf(subject, size)}, win: win, fanout: 1}}}
	if err := t.attach(s); err != nil {
		return leg{}, err
	}
	to := s.srv.addr.String()
	if st.base {
		ln, err := acceptOnly()
		if err != nil {
			return leg{}, err
		}
		defer ln.Close()
		to = ln.Addr().String()
	}
	f := startFlood(s.ctx, to, u)
	defer f.stop()
	l, err := s.full(st.opts, t.pubs, t.wins, t.subs)
	l.Extra = map[string]float64{"logins": float64(f.done.Load())}
	return l, err
}

// acceptOnly takes connections, says a line as long as INFO, reads one, and closes.
func acceptOnly() (net.Listener, error) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	line := []byte("INFO {\"x\":\"" + strings.Repeat("x", 300) + "\"} \r\n")
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				if _, err := c.Write(line); err == nil {
					bufio.NewReader(c).ReadSlice('\n')
				}
			}()
		}
	}()
	return ln, nil
}

// flood is connections that log in wrongly, again and again.
type flood struct {
	cancel context.CancelFunc
	wg     sync.WaitGroup
	done   atomic.Int64
}

func startFlood(ctx context.Context, to string, u floodUsers) *flood {
	f := &flood{}
	ctx, f.cancel = context.WithCancel(ctx)
	for i := range floodConns {
		f.wg.Go(func() {
			for ctx.Err() == nil {
				if wrongLogin(ctx, to, i%2 == 0, u) == nil {
					f.done.Add(1)
				}
			}
		})
	}
	return f
}

func (f *flood) stop() {
	f.cancel()
	f.wg.Wait()
}

var errNoLine = errors.New("no line")

// wrongLogin connects, logs in wrongly, and waits for the end.
func wrongLogin(ctx context.Context, to string, nkey bool, u floodUsers) error {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp4", to)
	if err != nil {
		return err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	r := bufio.NewReaderSize(c, 4096)
	if line, err := r.ReadSlice('\n'); err != nil || len(line) == 0 {
		return errors.Join(errNoLine, err)
	}
	hello := `CONNECT {"user":"b","pass":"wrong","protocol":1}` + "\r\n"
	if nkey {
		var sig [64]byte
		rand.Read(sig[:])
		hello = fmt.Sprintf(`CONNECT {"nkey":%q,"sig":%q,"protocol":1}`+"\r\n", u.nkey, base64.RawURLEncoding.EncodeToString(sig[:]))
	}
	if _, err := c.Write([]byte(hello)); err != nil {
		return err
	}
	for {
		if _, err := r.ReadSlice('\n'); err != nil {
			return nil
		}
	}
}
