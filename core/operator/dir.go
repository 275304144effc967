package operator

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nkeys"
)

// What follows an account's public nkey in the names of its files: its token,
// the one it had when it was deleted, and one that is being written.
const (
	suffix        = ".jwt"
	deletedSuffix = ".jwt.deleted"
	tempSuffix    = ".jwt.tmp"
)

// DirOptions is how a Dir keeps accounts.
type DirOptions struct {
	// Dir is the directory; it is made when it is missing.
	Dir string
	// AllowDelete has Delete work. A deleted account's file is renamed to
	// ".jwt.deleted", or removed with HardDelete.
	AllowDelete bool
	HardDelete  bool
	// Limit is how many accounts are kept; 0 is no limit. At the limit Store
	// refuses new ones, or with CacheOnly drops the one not asked for the longest.
	Limit int
	// CacheOnly is type: cache. Store then only updates accounts that it has,
	// for what servers push isn't all meant for this one.
	CacheOnly bool
	// TTL is how long a fetched account is good before Upstream is asked again;
	// 0 is for ever. It needs Upstream.
	TTL time.Duration
	// Upstream is asked for accounts that are not in the directory, and what it
	// answers is kept there once it verifies as a token of that account; whether
	// its issuer is trusted is for the Trust to say. nil is nobody.
	Upstream Resolver
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Logger is told of files that are skipped; nil is slog.Default.
	Logger *slog.Logger
}

// Dir is a Store in a directory with a file <account>.jwt for each account, as
// nats-server's full and cache resolvers keep it. It is safe for concurrent use;
// no other process should write to the directory meanwhile, but see Refresh.
type Dir struct {
	opts DirOptions
	root *os.Root

	mu    sync.Mutex // held over writes to the directory
	files map[string]*file
	hash  [32]byte // of all files
}

// file is what is known of an account's file.
type file struct {
	hash   [32]byte // of the token
	issued int64
	loaded time.Time // written or read first
	used   time.Time
}

var _ Store = (*Dir)(nil)

// NewDir opens the directory and reads what is there. Files that are no account
// tokens are skipped and logged.
func NewDir(o DirOptions) (*Dir, error) {
	if o.Dir == "" {
		return nil, errors.New("operator: resolver of type full or cache has no dir; set dir")
	}
	if o.Limit < 0 || o.TTL < 0 {
		return nil, errors.New("operator: resolver's limit and ttl cannot be negative; 0 is none")
	}
	if o.TTL > 0 && o.Upstream == nil {
		return nil, errors.New("operator: resolver has a ttl and nobody to ask when it is over; leave ttl out")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("operator: resolver's dir: %w", err)
	}
	root, err := os.OpenRoot(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("operator: resolver's dir: %w", err)
	}
	d := &Dir{opts: o, root: root, files: make(map[string]*file)}
	if _, err := d.Refresh(); err != nil {
		root.Close()
		return nil, err
	}
	return d, nil
}

// Close lets go of the directory. No other method works afterwards.
func (d *Dir) Close() error { return d.root.Close() }

// Refresh reads the directory again, for files that somebody else put there, and
// returns the accounts that changed.
func (d *Dir) Refresh() (changed []string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	entries, err := fs.ReadDir(d.root.FS(), ".")
	if err != nil {
		return nil, fmt.Errorf("operator: resolver's dir %s: %w", d.opts.Dir, err)
	}
	there := make(map[string]bool, len(entries))
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), suffix)
		if !ok {
			continue
		}
		token, f, err := d.read(name)
		if err != nil {
			d.opts.Logger.Warn("operator: file in the resolver's dir skipped", "dir", d.opts.Dir, "file", e.Name(), "reason", err)
			continue
		}
		there[name] = true
		if old := d.files[name]; old == nil || old.hash != sha256.Sum256([]byte(token)) {
			d.put(name, f)
			changed = append(changed, name)
		}
	}
	for name := range d.files {
		if !there[name] {
			d.drop(name)
			changed = append(changed, name)
		}
	}
	return changed, nil
}

// read reads and checks the file of an account. Only regular files within the
// directory are opened: anything else could hang or lead out of it.
func (d *Dir) read(name string) (string, *file, error) {
	if !nkeys.IsValidPublicAccountKey(name) {
		return "", nil, fmt.Errorf("%w: its name is no public account nkey", ErrMalformed)
	}
	info, err := d.root.Stat(name + suffix)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil, ErrNotFound
	}
	if err != nil {
		return "", nil, err
	}
	if !info.Mode().IsRegular() {
		return "", nil, fmt.Errorf("%w: it is no regular file", ErrMalformed)
	}
	r, err := d.root.Open(name + suffix)
	if err != nil {
		return "", nil, err
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, MaxToken+1))
	if err != nil {
		return "", nil, err
	}
	token := strings.TrimSpace(string(b))
	c, err := identify(name, token)
	if err != nil {
		return "", nil, err
	}
	now := d.opts.Now()
	return token, &file{hash: sha256.Sum256([]byte(token)), issued: c.IssuedAt, loaded: now, used: now}, nil
}

// put and drop keep the index and its hash; mu is held.
func (d *Dir) put(name string, f *file) {
	d.drop(name)
	d.files[name] = f
	d.mix(f)
}

func (d *Dir) drop(name string) {
	if f := d.files[name]; f != nil {
		d.mix(f)
		delete(d.files, name)
	}
}

// mix adds a file to the hash of all, or takes it out again.
func (d *Dir) mix(f *file) {
	for i, b := range f.hash {
		d.hash[i] ^= b
	}
}

// Fetch returns the token of an account: from the directory, or from Upstream.
// Should Upstream fail, a token whose TTL is over is still good: an edge whose
// link is down keeps its users.
func (d *Dir) Fetch(ctx context.Context, account string) (string, error) {
	d.mu.Lock()
	now := d.opts.Now()
	token, f, err := d.read(account)
	if err == nil {
		if old := d.files[account]; old != nil && old.hash == f.hash {
			f.loaded = old.loaded
		}
		d.put(account, f)
	} else if errors.Is(err, ErrNotFound) || errors.Is(err, ErrMalformed) {
		d.drop(account)
	}
	d.mu.Unlock()
	fresh := err == nil && (d.opts.TTL == 0 || now.Sub(f.loaded) < d.opts.TTL)
	if fresh || d.opts.Upstream == nil || !nkeys.IsValidPublicAccountKey(account) {
		return token, err
	}
	next, upErr := d.opts.Upstream.Fetch(ctx, account)
	if upErr == nil {
		_, upErr = identify(account, next)
	}
	if upErr != nil {
		if err == nil {
			return token, nil
		}
		return "", upErr
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch keepErr := d.keep(account, next); {
	case errors.Is(keepErr, ErrStale):
		return token, nil
	case keepErr != nil:
		d.opts.Logger.Warn("operator: fetched account not kept", "account", account, "reason", keepErr)
	}
	return next, nil
}
