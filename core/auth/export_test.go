package auth

import "golang.org/x/crypto/bcrypt"

// Len returns how many addresses are remembered.
func (f *Failures) Len() int { return len(f.table) }

// CountBcrypt has a tell count of each hash it compares with.
func CountBcrypt(a *Authenticator, count func(hash string)) {
	a.bcrypt = func(hash, password []byte) error {
		count(string(hash))
		return bcrypt.CompareHashAndPassword(hash, password)
	}
}

// The two forms of a subject.
var (
	CanonicalName    = canonicalName
	CanonicalSubject = canonicalSubject
)
