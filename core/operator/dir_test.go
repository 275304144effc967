package operator

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
)

// testOperator signs accounts of dir tests; a Dir doesn't ask whom to trust.
type testOperator struct{ key }

// token returns a token of acc issued at iat.
func (o testOperator) token(acc key, iat int64) string {
	return sign(o.key, jwt.NewAccountClaims(acc.pub), iat)
}

func openDir(t *testing.T, o DirOptions) (*Dir, *syncBuffer) {
	t.Helper()
	log := &syncBuffer{}
	o.Logger = slog.New(slog.NewTextHandler(log, nil))
	d, err := NewDir(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d, log
}

func names(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestDir(t *testing.T) {
	op, a, b := testOperator{operatorKey()}, accountKey(), accountKey()
	dir := filepath.Join(t.TempDir(), "made", "here")
	d, _ := openDir(t, DirOptions{Dir: dir, AllowDelete: true})
	old, now := op.token(a, 100), op.token(a, 200)
	for _, step := range []struct {
		token string
		want  error
	}{{old, nil}, {now, nil}, {now, nil}, {old, ErrStale}} {
		if err := d.Store(a.pub, step.token); !errors.Is(err, step.want) {
			t.Fatalf("got %v, want %v", err, step.want)
		}
	}
	if err := d.Store(b.pub, now); !errors.Is(err, ErrMalformed) {
		t.Errorf("another account's token: got %v", err)
	}
	if got, err := d.Fetch(t.Context(), a.pub); got != now || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	info, err := os.Stat(filepath.Join(dir, a.pub+".jwt"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v, %v", info, err)
	}
	if d.Hash() != sha256.Sum256([]byte(now)) {
		t.Error("the hash of a store with one token is the token's")
	}
	again, _ := openDir(t, DirOptions{Dir: dir})
	if again.Hash() != d.Hash() {
		t.Error("opened again it has another hash")
	}
	if err := again.Delete(a.pub); !errors.Is(err, ErrDeleteDisabled) {
		t.Errorf("got %v, want ErrDeleteDisabled", err)
	}
	if err := d.Delete(a.pub); err != nil {
		t.Fatal(err)
	}
	if got := names(t, dir); !slices.Equal(got, []string{a.pub + ".jwt.deleted"}) {
		t.Errorf("left is %v", got)
	}
	if err := d.Delete(a.pub); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
	if _, err := d.Fetch(t.Context(), a.pub); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
	if d.Hash() != [32]byte{} {
		t.Error("an empty store has a hash")
	}
	if err := d.Store(a.pub, old); err != nil {
		t.Errorf("stored again: %v", err)
	}
	hard, _ := openDir(t, DirOptions{Dir: dir, AllowDelete: true, HardDelete: true})
	if err := hard.Delete(a.pub); err != nil {
		t.Fatal(err)
	}
	if got := names(t, dir); !slices.Equal(got, []string{a.pub + ".jwt.deleted"}) {
		t.Errorf("left is %v", got)
	}
}

func TestNewDirRefuses(t *testing.T) {
	plain := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]DirOptions{
		"no dir": {}, "a file": {Dir: plain}, "negative limit": {Dir: t.TempDir(), Limit: -1}, "ttl alone": {Dir: t.TempDir(), TTL: time.Second},
	} {
		if d, err := NewDir(o); err == nil {
			d.Close()
			t.Errorf("%s is taken", name)
		}
	}
}

func TestDirRefresh(t *testing.T) {
	op, a, b := testOperator{operatorKey()}, accountKey(), accountKey()
	d, _ := openDir(t, DirOptions{Dir: t.TempDir()})
	if err := d.Store(a.pub, op.token(a, 1)); err != nil {
		t.Fatal(err)
	}
	if got, err := d.Refresh(); len(got) != 0 || err != nil {
		t.Errorf("nothing changed: %v, %v", got, err)
	}
	if err := os.WriteFile(filepath.Join(d.opts.Dir, b.pub+".jwt"), []byte(op.token(b, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := d.Refresh(); !slices.Equal(got, []string{b.pub}) || err != nil {
		t.Errorf("one is new: %v, %v", got, err)
	}
	if err := os.Remove(filepath.Join(d.opts.Dir, a.pub+".jwt")); err != nil {
		t.Fatal(err)
	}
	if got, err := d.Refresh(); !slices.Equal(got, []string{a.pub}) || err != nil {
		t.Errorf("one is gone: %v, %v", got, err)
	}
	if d.Hash() != sha256.Sum256([]byte(op.token(b, 1))) {
		t.Error("the hash is not that of what is there")
	}
}

func TestDirLimit(t *testing.T) {
	op, keys := testOperator{operatorKey()}, []key{accountKey(), accountKey(), accountKey()}
	d, _ := openDir(t, DirOptions{Dir: t.TempDir(), Limit: 2})
	for i, k := range keys {
		if err := d.Store(k.pub, op.token(k, 1)); (err != nil) != (i == 2) {
			t.Errorf("account %d: %v", i, err)
		}
	}
	if err := d.Store(keys[0].pub, op.token(keys[0], 2)); err != nil {
		t.Errorf("a new token of an account that is there: %v", err)
	}

	now := time.Unix(0, 0)
	up := &table{tokens: map[string]string{}}
	c, _ := openDir(t, DirOptions{Dir: t.TempDir(), Limit: 2, CacheOnly: true, Upstream: up, Now: func() time.Time { return now }})
	if err := c.Store(keys[0].pub, op.token(keys[0], 1)); !errors.Is(err, ErrNotFound) {
		t.Errorf("pushed to a cache that doesn't have it: %v", err)
	}
	for _, i := range []int{0, 1, 0, 2} { // 1 was not asked for the longest
		now = now.Add(time.Second)
		up.put(keys[i].pub, op.token(keys[i], 1))
		if _, err := c.Fetch(t.Context(), keys[i].pub); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{keys[0].pub, keys[2].pub}
	slices.Sort(want)
	if got, _ := c.List(); !slices.Equal(got, want) {
		t.Errorf("the cache has %v, want %v", got, want)
	}
	if err := c.Store(keys[0].pub, op.token(keys[0], 2)); err != nil {
		t.Errorf("pushed to a cache that has it: %v", err)
	}
}

// failing is a Resolver that is down.
type failing struct{ err error }

func (f failing) Fetch(context.Context, string) (string, error) { return "", f.err }

func TestDirUpstream(t *testing.T) {
	op, a := testOperator{operatorKey()}, accountKey()
	now := time.Unix(0, 0)
	up := &table{tokens: map[string]string{a.pub: op.token(a, 1)}}
	d, _ := openDir(t, DirOptions{Dir: t.TempDir(), CacheOnly: true, TTL: time.Minute, Upstream: up, Now: func() time.Time { return now }})
	fetch := func(want string, asked int) {
		t.Helper()
		got, err := d.Fetch(t.Context(), a.pub)
		if got != want || err != nil || up.asked != asked {
			t.Errorf("got the right token %v, %v; asked %d times, want %d", got == want, err, up.asked, asked)
		}
	}
	fetch(op.token(a, 1), 1)
	up.put(a.pub, op.token(a, 2))
	fetch(op.token(a, 1), 1)
	now = now.Add(time.Minute)
	fetch(op.token(a, 2), 2)
	fetch(op.token(a, 2), 2)
	// An upstream that goes back, talks nonsense or is down changes nothing.
	for i, bad := range []string{op.token(a, 1), "nonsense", op.token(accountKey(), 9)} {
		up.put(a.pub, bad)
		now = now.Add(time.Minute)
		fetch(op.token(a, 2), 3+i)
	}
	// A file that somebody removes is fetched and written again.
	if err := os.Remove(filepath.Join(d.opts.Dir, a.pub+".jwt")); err != nil {
		t.Fatal(err)
	}
	up.put(a.pub, op.token(a, 2))
	fetch(op.token(a, 2), 6)
	fetch(op.token(a, 2), 6)
	d.opts.Upstream = failing{errors.New("link down")}
	now = now.Add(time.Minute)
	fetch(op.token(a, 2), 6)
	if _, err := d.Fetch(t.Context(), accountKey().pub); err == nil || !strings.Contains(err.Error(), "link down") {
		t.Errorf("got %v", err)
	}
}

func TestPackMerge(t *testing.T) {
	op := testOperator{operatorKey()}
	from, _ := openDir(t, DirOptions{Dir: t.TempDir()})
	to, _ := openDir(t, DirOptions{Dir: t.TempDir()})
	keys := make([]key, 5)
	for i := range keys {
		keys[i] = accountKey()
		if err := from.Store(keys[i].pub, op.token(keys[i], 5)); err != nil {
			t.Fatal(err)
		}
	}
	var lines []string
	for after := ""; ; {
		part, err := from.Pack(after, 2)
		if err != nil || len(part) > 2 {
			t.Fatal(part, err)
		}
		if len(part) == 0 {
			break
		}
		lines = append(lines, part...)
		after, _, _ = strings.Cut(part[len(part)-1], "|")
	}
	if all, err := from.Pack("", 0); !slices.Equal(all, lines) || len(all) != 5 || err != nil {
		t.Errorf("in parts %d lines, at once %d, %v", len(lines), len(all), err)
	}
	// The receiver has a newer token of 0, the same of 1; it refuses 2.
	for i, iat := range []int64{9, 5} {
		if err := to.Store(keys[i].pub, op.token(keys[i], iat)); err != nil {
			t.Fatal(err)
		}
	}
	var verified []string
	changed, err := to.Merge(append(lines, "", "x|y", keys[3].pub+"|forged"), func(account, token string) error {
		verified = append(verified, account)
		if account == keys[2].pub || strings.HasSuffix(token, "forged") {
			return ErrUntrusted
		}
		return nil
	})
	slices.Sort(changed)
	want := []string{keys[3].pub, keys[4].pub}
	slices.Sort(want)
	if !slices.Equal(changed, want) || !errors.Is(err, ErrUntrusted) || !errors.Is(err, ErrMalformed) {
		t.Errorf("changed %v, %v; want %v", changed, err, want)
	}
	if slices.Contains(verified, keys[1].pub) {
		t.Error("a token that is there was verified again")
	}
	if got, err := to.Fetch(t.Context(), keys[0].pub); got != op.token(keys[0], 9) || err != nil {
		t.Errorf("an older token got in: %v", err)
	}
	changed, err = from.Merge(must(to.Pack("", 0)), func(string, string) error { return nil })
	if !slices.Equal(changed, []string{keys[0].pub}) || err != nil {
		t.Errorf("the other way: %v, %v", changed, err)
	}
	if err := to.Store(keys[2].pub, op.token(keys[2], 5)); err != nil {
		t.Fatal(err)
	}
	if from.Hash() != to.Hash() {
		t.Error("stores of the same tokens have different hashes")
	}
}
