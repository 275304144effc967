package auth

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// bcryptUnit is about what bcrypt takes, divided by two to the power of its cost.
const bcryptUnit = 50 * time.Microsecond

// IsBcrypt reports whether a configured secret is a bcrypt hash.
func IsBcrypt(secret string) bool { return strings.HasPrefix(secret, "$2") }

// bcryptCost is about what comparing with a hash takes.
func bcryptCost(hash string) time.Duration {
	cost, err := bcrypt.Cost([]byte(hash))
	if err != nil {
		return bcryptUnit
	}
	return bcryptUnit << cost
}

// dummyFor returns a hash that no password has and that costs as much as the
// costlier of the dummy so far and hash.
func dummyFor(dummy, hash string) string {
	const salted = 29 // "$2a$10$" and 22 characters of salt
	if len(hash) < salted || dummy != "" && bcryptCost(dummy) >= bcryptCost(hash) {
		return dummy
	}
	return hash[:salted] + strings.Repeat("a", 31)
}

// equal compares in constant time, and doesn't tell the length either.
func equal(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// cheapCheck says whether given is right for who's secret if that takes no
// bcrypt.
func (a *Authenticator) cheapCheck(who, secret, given string) bool {
	if IsBcrypt(secret) {
		return a.cache.has(who, secret, given)
	}
	return equal(secret, given)
}

// check says whether given is right for who's secret. Unless it is, that costs
// as much as comparing with dummy, if that isn't "". known is false for somebody
// who doesn't exist.
func (a *Authenticator) check(known bool, who, secret, given, dummy string) bool {
	if known && a.cheapCheck(who, secret, given) {
		return true
	}
	if dummy == "" {
		return false
	}
	// A hash that is cheaper than the dummy gives away that it is there, which
	// only hashes of different costs in one configuration do.
	if known && IsBcrypt(secret) {
		if a.bcrypt([]byte(secret), []byte(given)) != nil {
			return false
		}
		a.cache.add(who, secret, given)
		return true
	}
	_ = a.bcrypt([]byte(dummy), []byte(given)) // for what it costs
	return false
}

const (
	cacheSize = 4096
	cacheTime = 10 * time.Minute
)

// PasswordCache remembers which passwords were right for which bcrypt hashes, so
// that coming back costs nothing. It keeps an HMAC of them under a random key,
// for ten minutes and for a few thousand users. The zero value is ready; it is
// safe for concurrent use.
type PasswordCache struct {
	// Now is the clock; nil is time.Now.
	Now func() time.Time

	mu      sync.Mutex
	key     []byte
	entries map[[sha256.Size]byte]time.Time // when they end
}

func (c *PasswordCache) clock() time.Time {
	if c.Now == nil {
		return time.Now()
	}
	return c.Now()
}

// sum is the key of an entry. The caller holds c.mu.
func (c *PasswordCache) sum(who, hash, given string) (sum [sha256.Size]byte) {
	if c.key == nil {
		c.key = make([]byte, sha256.Size)
		rand.Read(c.key) // never fails
		c.entries = make(map[[sha256.Size]byte]time.Time)
	}
	h := hmac.New(sha256.New, c.key)
	for _, s := range []string{who, hash, given} {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(s))))
		h.Write([]byte(s))
	}
	h.Sum(sum[:0])
	return sum
}

func (c *PasswordCache) has(who, hash, given string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	end, ok := c.entries[c.sum(who, hash, given)]
	return ok && c.clock().Before(end)
}

func (c *PasswordCache) add(who, hash, given string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, sum := c.clock(), c.sum(who, hash, given)
	if len(c.entries) >= cacheSize {
		for s, end := range c.entries { // any one, and all that are over
			if !now.Before(end) || len(c.entries) >= cacheSize {
				delete(c.entries, s)
			}
		}
	}
	c.entries[sum] = now.Add(cacheTime)
}
