package operator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
)

func TestURL(t *testing.T) {
	w := newWorld(t, nil)
	token := w.resolver.tokens[w.acc.pub]
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
		want   error // nil is any, unless ok
		ok     bool
		said   string
	}{
		{"good", func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprintln(rw, token) }, nil, true, ""},
		{"404", http.NotFound, ErrNotFound, false, "404"},
		{"500", func(rw http.ResponseWriter, _ *http.Request) { http.Error(rw, "oops", 500) }, nil, false, "500"},
		{"204", func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(204) }, nil, false, "204"},
		{"nonsense", func(rw http.ResponseWriter, _ *http.Request) { io.WriteString(rw, "<html>welcome</html>") }, ErrMalformed, false, ""},
		{"empty", func(http.ResponseWriter, *http.Request) {}, ErrMalformed, false, ""},
		{"another account", func(rw http.ResponseWriter, _ *http.Request) { io.WriteString(rw, w.resolver.tokens[w.sys.pub]) }, ErrMalformed, false, "answered for"},
		{"endless", func(rw http.ResponseWriter, r *http.Request) {
			junk := make([]byte, 1<<16)
			for r.Context().Err() == nil {
				if _, err := rw.Write(junk); err != nil {
					return
				}
			}
		}, ErrMalformed, false, "more than"},
		{"cut off", func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Length", "5000")
			io.WriteString(rw, token)
		}, io.ErrUnexpectedEOF, false, ""},
		{"a loop", func(rw http.ResponseWriter, r *http.Request) { http.Redirect(rw, r, r.URL.Path, http.StatusFound) }, nil, false, "redirects"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var path string
			srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				path = r.URL.Path
				tt.answer(rw, r)
			}))
			defer srv.Close()
			res, err := NewURL(srv.URL+"/jwt/v1/accounts/", nil)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Close()
			x := newTrust(t, w, res)
			acc, err := x.Account(t.Context(), w.acc.pub)
			if path != "/jwt/v1/accounts/"+w.acc.pub {
				t.Errorf("asked for %q", path)
			}
			if tt.ok {
				if err != nil || acc.Token != token {
					t.Fatal(acc, err)
				}
				return
			}
			if err == nil || tt.want != nil && !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.said) {
				t.Errorf("got %v, want %v with %q", err, tt.want, tt.said)
			}
			noSecret(t, err.Error(), token)
		})
	}
}

// newTrust is w's with another resolver.
func newTrust(t *testing.T, w *world, res Resolver) *Trust {
	t.Helper()
	x, err := New(Options{Operators: []string{must(jwt.NewOperatorClaims(w.op.pub).Encode(w.op))}, Resolver: res})
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// TestURLHangs has a server that accepts and says nothing.
func TestURLHangs(t *testing.T) {
	w := newWorld(t, nil)
	in := make(chan struct{}, maxFetches+1)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		in <- struct{}{}
		<-r.Context().Done()
	}))
	defer srv.Close()
	res, err := NewURL(srv.URL+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Close()
	x := newTrust(t, w, res)
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error)
	go func() {
		_, err := x.Account(ctx, w.acc.pub)
		gone <- err
	}()
	<-in
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}

	// No more than maxFetches requests are under way, whatever is asked for.
	ctx, cancel = context.WithCancel(t.Context())
	const n = maxFetches + 20
	for range n {
		go func() {
			_, err := x.Account(ctx, accountKey().pub)
			gone <- err
		}()
	}
	for range maxFetches {
		<-in
	}
	cancel()
	for range n {
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context.Canceled", err)
		}
	}
	if len(in) != 0 {
		t.Errorf("%d requests over %d", len(in), maxFetches)
	}
}

// TestURLTimeout has the client's own timeout end it.
func TestURLTimeout(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer srv.Close()
	res, err := NewURL(srv.URL+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Close()
	res.client.Timeout = time.Millisecond
	if _, err := res.Fetch(t.Context(), accountKey().pub); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want context.DeadlineExceeded", err)
	}
}

func TestURLRefuses(t *testing.T) {
	for _, base := range []string{"", "localhost:9090", "ftp://host/", "http://", "://x", "file:///etc/"} {
		if _, err := NewURL(base, nil); err == nil {
			t.Errorf("%q is taken", base)
		}
	}
	res, err := NewURL("http://127.0.0.1:1/", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", "../operator", "A/../../x"} {
		if _, err := res.Fetch(t.Context(), name); !errors.Is(err, ErrMalformed) {
			t.Errorf("account %q: got %v, want ErrMalformed", name, err)
		}
	}
}

func TestMemory(t *testing.T) {
	w := newWorld(t, nil)
	token := w.resolver.tokens[w.acc.pub]
	m, err := NewMemory(map[string]string{w.acc.pub: token})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := m.Fetch(t.Context(), w.acc.pub); got != token || err != nil {
		t.Error(got, err)
	}
	if _, err := m.Fetch(t.Context(), w.sys.pub); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
	for name, token := range map[string]string{w.sys.pub: token, w.acc.pub: "x", "ACC": w.user(w.acc, nil)} {
		if _, err := NewMemory(map[string]string{name: token}); !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), name) {
			t.Errorf("preload of %q: got %v, want ErrMalformed", name, err)
		}
	}
}
