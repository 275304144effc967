package operator

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/nats-io/nkeys"
)

// Store keeps a token that the caller has verified, unless what is there was
// issued later (ErrStale). A cache keeps it only in place of one that it has, and
// returns ErrNotFound otherwise.
func (d *Dir) Store(account, token string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.opts.CacheOnly && d.files[account] == nil {
		return fmt.Errorf("%w: this cache doesn't have %.60q", ErrNotFound, account)
	}
	return d.keep(account, token)
}

// keep writes a token; mu is held. It is in the directory as a whole, or not at
// all, whenever the process or the machine stops.
func (d *Dir) keep(account, token string) error {
	token = strings.TrimSpace(token)
	c, err := identify(account, token)
	if err != nil {
		return err
	}
	now := d.opts.Now()
	f := &file{hash: sha256.Sum256([]byte(token)), issued: c.IssuedAt, loaded: now, used: now}
	old := d.files[account]
	switch {
	case old == nil:
		if err := d.makeRoom(); err != nil {
			return err
		}
	case old.hash == f.hash:
		old.loaded = now
		return nil
	case f.issued < old.issued:
		return fmt.Errorf("%w: account %s of %s, in the store is that of %s", ErrStale, account, stamp(f.issued), stamp(old.issued))
	}
	if err := d.write(account, token); err != nil {
		return fmt.Errorf("operator: keeping account %s: %w", account, err)
	}
	d.put(account, f)
	return nil
}

// makeRoom has one more account fit in below the limit.
func (d *Dir) makeRoom() error {
	if d.opts.Limit == 0 || len(d.files) < d.opts.Limit {
		return nil
	}
	if !d.opts.CacheOnly {
		return fmt.Errorf("operator: the resolver's dir is full with %d accounts; raise limit", len(d.files))
	}
	oldest := slices.MinFunc(slices.Collect(maps.Keys(d.files)), func(a, b string) int {
		return d.files[a].used.Compare(d.files[b].used)
	})
	if err := d.root.Remove(oldest + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("operator: making room in the resolver's dir: %w", err)
	}
	d.drop(oldest)
	return nil
}

func (d *Dir) write(account, token string) (err error) {
	temp := account + tempSuffix
	w, err := d.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			d.root.Remove(temp)
		}
	}()
	_, err = w.WriteString(token)
	if err == nil {
		err = w.Sync()
	}
	if cerr := w.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = d.root.Rename(temp, account+suffix)
	}
	if err != nil {
		return err
	}
	return d.syncDir()
}

// syncDir makes renames last. Windows has no such thing.
func (d *Dir) syncDir() error {
	if runtime.GOOS == "windows" {
		return nil
	}
	f, err := d.root.Open(".")
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// Delete forgets an account, see DirOptions.
func (d *Dir) Delete(account string) error {
	if !d.opts.AllowDelete {
		return fmt.Errorf("%w; set allow_delete in resolver", ErrDeleteDisabled)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.files[account] == nil {
		return fmt.Errorf("%w: %.60q", ErrNotFound, account)
	}
	var err error
	if d.opts.HardDelete {
		err = d.root.Remove(account + suffix)
	} else {
		err = d.root.Rename(account+suffix, account+deletedSuffix)
	}
	if err == nil {
		err = d.syncDir()
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("operator: deleting account %s: %w", account, err)
	}
	d.drop(account)
	return nil
}

// List returns the accounts in the directory, sorted.
func (d *Dir) List() ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Sorted(maps.Keys(d.files)), nil
}

// Hash is the XOR of the SHA-256 of all tokens, as in nats-server, so that
// servers of both kinds see whether they have the same accounts.
func (d *Dir) Hash() [32]byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.hash
}

// Pack returns accounts for another server, see Store. A file that broke since
// it was read is left out.
func (d *Dir) Pack(after string, max int) ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(d.files)) {
		if name <= after {
			continue
		}
		if max > 0 && len(lines) == max {
			break
		}
		token, _, err := d.read(name)
		if err != nil {
			d.opts.Logger.Warn("operator: file in the resolver's dir skipped", "dir", d.opts.Dir, "file", name+suffix, "reason", err)
			continue
		}
		lines = append(lines, name+"|"+token)
	}
	return lines, nil
}

// Merge takes accounts from another server, see Store. The error joins those of
// lines that make no sense, were refused or could not be written; it does not
// keep the others from being merged. A token older than the one here is no error.
func (d *Dir) Merge(lines []string, verify func(account, token string) error) (changed []string, err error) {
	var errs []error
	for _, line := range lines {
		name, token, ok := strings.Cut(line, "|")
		if !ok || !nkeys.IsValidPublicAccountKey(name) {
			errs = append(errs, fmt.Errorf("%w: a line to merge is not of the form account|token", ErrMalformed))
			continue
		}
		if d.has(name, token) {
			continue
		}
		if err := verify(name, token); err != nil {
			errs = append(errs, err)
			continue
		}
		switch err := d.Store(name, token); {
		case err == nil:
			changed = append(changed, name)
		case !errors.Is(err, ErrStale):
			errs = append(errs, err)
		}
	}
	return changed, errors.Join(errs...)
}

// has reports whether token is the one in the store.
func (d *Dir) has(account, token string) bool {
	sum := sha256.Sum256([]byte(strings.TrimSpace(token)))
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.files[account]
	return f != nil && f.hash == sum
}
