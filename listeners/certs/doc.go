// Package certs is the certificate manager of an edge broker: one Manager
// serves every listener that speaks TLS, wherever its certificates come from.
//
// # Sources
//
// A Source is named by the configuration and used by any number of listeners:
//
//	Files     pairs of PEM files, read again when they change
//	ACME      certificates fetched and renewed from an ACME CA (RFC 8555) such as Let's Encrypt
//	Internal  an own CA for localhost and LANs, whose root the operator can export
//
// # How a handshake gets its certificate
//
//	listener          tls.Server(conn, cfg)            cfg is Manager.TLSConfig(source), made once
//	GetCertificate    the source as it is *now*        one atomic load; Prepare/commit swaps it
//	  files           the pair that fits the hello     crypto/tls's rule: the first that the client supports, else the first
//	  acme            the managed certificate          by server name, exact then wildcard; no name: the first domain
//	  internal        a leaf, minted on first use      by server name, or the local address
//
// So a changed file, a renewal or a reload is seen by the next handshake, and
// no connection is touched.
//
// # ACME
//
// Each domain has a task, a goroutine that loads the certificate from storage,
// obtains it when there is none, renews it when RenewAt of its life is left or
// when the CA says so (ARI, RFC 9773), and tries again after failures. A CA that
// cannot be reached costs the CA nothing, so it is asked again soon (Timing.Retry);
// one that refused counts refusals, so it is asked again late (Timing.Refused), and
// not before the moment that a rate limit names. The broker starts without its
// certificates; until they are there a handshake fails with an error that says why
// and when the next try is due.
//
// Storage (with its locks between processes), the certificate cache with OCSP
// staples and the DNS-01 solver are certmagic's. The issuer is ours, over acmez,
// because certmagic.ACMEIssuer opens ports 80 and 443 itself when it believes them
// free, may ask on the terminal, hands the mail address of one issuer to the next,
// and keeps its retries in goroutines that nobody can wait for. The files in storage
// are certmagic's layout, so a directory can be taken over from or given to another
// program that uses it.
//
// The manager opens no port. HTTP-01 is answered by HTTPHandler, which the daemon
// mounts on port 80 (or ServeHTTP01 serves on a listener that it is given);
// TLS-ALPN-01 (RFC 8737) by the configs that TLSConfig returns, whichever source
// they belong to.
//
// # Goroutines and locks
//
// Start begins one goroutine per ACME domain and one that looks at files; Close waits
// for them, and for those of sources that a commit took away. The internal CA needs
// none: a leaf that is two thirds through its life is replaced by the handshake that
// meets it. No lock that a handshake takes is held while a CA, a DNS provider, the Ask
// URL or a file system is waited for.
//
// # What it does not do
//
// It does not revoke, does not write certificates for others to use, and does not
// share challenges between processes: behind a load balancer use DNS-01.
package certs
