package auth

import "time"

// signatureCost is about what checking an ed25519 signature takes.
const signatureCost = 100 * time.Microsecond

// Cost says what Authenticate is going to take for r. A request that Cost finds
// free doesn't get dearer, except that a PasswordCache entry may end between the
// two calls.
func (a *Authenticator) Cost(r *Request) Cost {
	d := a.door(r.Listener)
	c := a.credentials(r, d)
	switch {
	case a.opts.Extra != nil:
		return Cost{Waits: true, CPU: signatureCost}
	case a.opts.Operator != nil: // user, nonce, perhaps an account and its imports
		if c.jwt == "" && a.opts.DefaultSentinel == "" {
			return Cost{}
		}
		return Cost{Waits: true, CPU: 3 * signatureCost}
	case a.callout != nil && !a.callout.own(a, r, c):
		return Cost{Waits: true, CPU: 5 * signatureCost}
	case !a.closed(r.Listener):
		return Cost{}
	case a.mapped(r):
		if u, err := a.certified(r); err != nil || a.cheapCheck("user "+u.Name, u.Password, c.pass) || d.dummy == "" {
			return Cost{}
		}
		return Cost{CPU: bcryptCost(d.dummy)}
	case a.anonymous(c, d):
		return Cost{}
	case c.nkey != "":
		return Cost{CPU: signatureCost}
	case d.dummy == "":
		return Cost{}
	}
	dear := Cost{CPU: bcryptCost(d.dummy)}
	who, secret, given, _ := a.secretOf(c, d)
	if who != "" && a.cheapCheck(who, secret, given) {
		return Cost{}
	}
	return dear
}
