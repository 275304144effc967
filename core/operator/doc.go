// Package operator is the chain of trust of operator mode: operators sign
// accounts, accounts sign users, and a server that knows an operator's public
// key needs no list of either.
//
//	operator JWT or trusted key        Options, checked by New
//	  -> account JWT from a Resolver   (*Trust).Account, or pushed: (*Trust).Load
//	    -> user JWT from CONNECT       (*Trust).User
//
// The jwt library checks that a token was signed by the key it names as its
// issuer. Everything else is checked here: that the issuer may sign it, that it
// holds now, that it is of the expected kind and about the expected account,
// what was revoked, and what a scoped signing key allows.
//
// Claims of an account become an account.Spec, those of a user a User. A token
// never appears in an error or a log line; public keys and names do.
package operator
