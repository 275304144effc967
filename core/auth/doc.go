// Package auth decides who may join. An Authenticator compares what somebody
// says in CONNECT, the upgrade request and the TLS handshake with what the
// configuration knows, and says who that is: an Identity.
//
//	Options.Extra                     the embedder's own answer
//	auth callout                      a service behind a subject (callout*.go)
//	operator mode                     a user JWT and a signed nonce (jwt.go)
//	nkey                              a signed nonce
//	verify_and_map                    the client certificate names the user (certmap.go)
//	user and password, token          plain or bcrypt (password.go)
//	no_auth_user, or nothing          for those who bring no credentials
//
// An Authenticator is immutable; a reload makes another, and Renew says whether
// the identities that the old one gave out still hold with the new one.
//
// # What strangers can cost
//
// Checking bcrypt takes tens of milliseconds of CPU, a signature a tenth of one.
// Cost says what a request is going to take; whatever is not free belongs into a
// Pool, which gives such work a bounded queue and a share of the CPU. Failures
// counts failed logins by address, and says how long to let new connections from
// there wait. A PasswordCache makes bcrypt logins that were right before free.
//
// Secrets never appear in errors; secrets are compared in constant time; a login
// that fails costs the same whether the user exists or not.
package auth
