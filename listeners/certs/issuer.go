package certs

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"
)

// maxDirectory bounds what is read of an answer that should be a CA's directory.
const maxDirectory = 1 << 20

// issuer gets certificates from one CA for one account. It is a certmagic.Issuer;
// doc.go says why it is not certmagic's.
type issuer struct {
	spec    ACME
	ca      string
	key     string // of the CA in storage
	storage certmagic.Storage
	http    *http.Client
	client  *acmez.Client
	timeout time.Duration // of the directory
	log     *slog.Logger

	// account is taken out of the channel by who loads, registers or drops it;
	// nil means not loaded.
	account chan *acme.Account
}

// unreachable is an error of the way to the CA, or of a CA that is not itself: it
// has counted nothing against us.
type unreachable struct{ err error }

func (e unreachable) Error() string { return e.err.Error() }
func (e unreachable) Unwrap() error { return e.err }

// replaces is the context key of the certificate that an order renews.
type replaces struct{}

func newIssuer(spec ACME, cs *challenges, log *slog.Logger) (*issuer, error) {
	i := &issuer{spec: spec, ca: spec.CA, timeout: spec.Timing.Directory, log: log, account: make(chan *acme.Account, 1)}
	i.account <- nil
	if i.ca == "" {
		i.ca = LetsEncrypt
	}
	i.key = (&certmagic.ACMEIssuer{CA: i.ca}).IssuerKey()

	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		ForceAttemptHTTP2:     true,
		TLSHandshakeTimeout:   30 * time.Second,
		ResponseHeaderTimeout: 30 * time.Second,
		IdleConnTimeout:       time.Minute,
	}
	if spec.CARoots != "" {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		b, err := os.ReadFile(spec.CARoots)
		if err != nil {
			return nil, fmt.Errorf("acme ca_roots: %w", err)
		}
		if !pool.AppendCertsFromPEM(b) {
			return nil, fmt.Errorf("acme ca_roots %s holds no PEM certificate", spec.CARoots)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	i.http = &http.Client{Transport: transport}

	i.client = &acmez.Client{
		Client: &acme.Client{
			Directory:   i.ca,
			HTTPClient:  i.http,
			UserAgent:   "ganglion",
			PollTimeout: spec.Timing.Attempt,
			Logger:      slog.New(calm{log.With("component", "acme").Handler()}),
		},
		ChallengeSolvers: make(map[string]acmez.Solver),
	}
	for _, c := range spec.challenges() {
		switch c {
		case HTTP01:
			i.client.ChallengeSolvers[c] = httpSolver{cs}
		case TLSALPN01:
			i.client.ChallengeSolvers[c] = alpnSolver{cs}
		case DNS01:
			d := spec.DNS
			i.client.ChallengeSolvers[c] = dnsSolver{&certmagic.DNS01Solver{DNSManager: certmagic.DNSManager{
				DNSProvider:        d.Provider,
				TTL:                d.TTL,
				PropagationDelay:   d.PropagationDelay,
				PropagationTimeout: d.PropagationTimeout,
				Resolvers:          d.Resolvers,
				OverrideDomain:     d.OverrideDomain,
				Logger:             zapLogger(log),
			}}}
		}
	}
	return i, nil
}

// dnsSolver also cleans up after an order that was called off.
type dnsSolver struct{ *certmagic.DNS01Solver }

func (s dnsSolver) CleanUp(ctx context.Context, c acme.Challenge) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	return s.DNS01Solver.CleanUp(ctx, c)
}

// close gives idle connections back.
func (i *issuer) close() { i.http.CloseIdleConnections() }

// IssuerKey names the CA in storage, as certmagic's own issuer does.
func (i *issuer) IssuerKey() string { return i.key }

// Issue orders a certificate for csr.
func (i *issuer) Issue(ctx context.Context, csr *x509.CertificateRequest) (*certmagic.IssuedCertificate, error) {
	if _, err := i.directory(ctx); err != nil {
		return nil, err
	}
	for again := false; ; again = true {
		a, err := i.registered(ctx)
		if err != nil {
			return nil, err
		}
		p, err := acmez.OrderParametersFromCSR(a, csr)
		if err != nil {
			return nil, err
		}
		p.Profile = i.spec.Profile
		p.Replaces, _ = ctx.Value(replaces{}).(*x509.Certificate)
		chains, err := i.client.ObtainCertificate(ctx, p)
		var problem acme.Problem
		switch {
		case err == nil && len(chains) == 0:
			return nil, errors.New("the CA sent no certificate")
		case err == nil:
			return &certmagic.IssuedCertificate{Certificate: chains[0].ChainPEM, Metadata: chains[0]}, nil
		case !again && errors.As(err, &problem) && problem.Type == acme.ProblemTypeAccountDoesNotExist:
			i.log.Warn("the CA no longer knows our account; making a new one", "ca", i.ca, "account", a.Location)
			if err := i.forget(ctx); err != nil {
				return nil, err
			}
		default:
			return nil, err
		}
	}
}

// directory asks the CA what it offers. Doing it before each order tells a CA that
// is away, hangs or is something else from one that refuses; and the ACME library
// fetches directories under a lock that all CAs of the process share, which one that
// hangs must not get to hold.
func (i *issuer) directory(ctx context.Context) (acme.Directory, error) {
	fail := func(format string, args ...any) (acme.Directory, error) {
		return acme.Directory{}, unreachable{fmt.Errorf("CA %s "+format, append([]any{i.ca}, args...)...)}
	}
	ctx, cancel := context.WithTimeout(ctx, i.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, i.ca, nil)
	if err != nil {
		return fail("cannot be asked: %w", err)
	}
	req.Header.Set("User-Agent", "ganglion")
	resp, err := i.http.Do(req)
	if err != nil {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return fail("did not answer within %v", i.timeout)
		}
		return fail("cannot be reached: %w", err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxDirectory))
	var dir acme.Directory
	switch {
	case err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fail("did not finish its answer within %v", i.timeout)
	case err != nil:
		return fail("broke off: %w", err)
	case resp.StatusCode != http.StatusOK:
		return fail("answered %s", resp.Status)
	case json.Unmarshal(b, &dir) != nil, dir.NewNonce == "", dir.NewAccount == "", dir.NewOrder == "":
		return fail("answered with something that is no ACME directory (%s): %.80q", resp.Header.Get("Content-Type"), b)
	}
	return dir, nil
}

// renewalInfo asks the CA when leaf should be renewed; the zero value means that it
// does not say.
func (i *issuer) renewalInfo(ctx context.Context, leaf *x509.Certificate) (acme.RenewalInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, i.timeout)
	defer cancel()
	dir, err := i.directory(ctx)
	if err != nil || dir.RenewalInfo == "" {
		return acme.RenewalInfo{}, err
	}
	return i.client.GetRenewalInfo(ctx, leaf)
}

// registered returns the account, from memory, from storage or new.
func (i *issuer) registered(ctx context.Context) (acme.Account, error) {
	var a *acme.Account
	select {
	case a = <-i.account:
	case <-ctx.Done():
		return acme.Account{}, ctx.Err()
	}
	defer func() { i.account <- a }()
	if a != nil {
		return *a, nil
	}
	stored, err := i.loadAccount(ctx)
	if err == nil && stored.Status != "" {
		a = &stored
		return stored, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return acme.Account{}, fmt.Errorf("acme account in %v: %w", i.storage, err)
	}
	fresh, err := i.register(ctx)
	if err != nil {
		return acme.Account{}, err
	}
	a = &fresh
	return fresh, nil
}

func (i *issuer) register(ctx context.Context) (acme.Account, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return acme.Account{}, err
	}
	a := acme.Account{PrivateKey: key, TermsOfServiceAgreed: true}
	if i.spec.Email != "" {
		a.Contact = []string{"mailto:" + i.spec.Email}
	}
	if e := i.spec.EAB; e != nil {
		if err := a.SetExternalAccountBinding(ctx, i.client.Client, acme.EAB{KeyID: e.KeyID, MACKey: e.MACKey}); err != nil {
			return acme.Account{}, fmt.Errorf("acme eab: %w", err)
		}
	}
	a, err = i.client.NewAccount(ctx, a)
	if err != nil {
		return acme.Account{}, fmt.Errorf("making an account: %w", err)
	}
	if err := i.saveAccount(ctx, a); err != nil {
		return acme.Account{}, storageError{fmt.Errorf("saving the account: %w", err)}
	}
	i.log.Info("made an account at the CA", "ca", i.ca, "account", a.Location)
	return a, nil
}

// forget drops an account that the CA does not know.
func (i *issuer) forget(ctx context.Context) error {
	select {
	case <-i.account:
	case <-ctx.Done():
		return ctx.Err()
	}
	i.account <- nil
	reg, key := i.accountKeys()
	return errors.Join(i.storage.Delete(ctx, reg), i.storage.Delete(ctx, key))
}

// accountKeys are the places in storage where certmagic keeps the registration and
// the key of an account.
func (i *issuer) accountKeys() (reg, key string) {
	email := strings.ToLower(i.spec.Email)
	if email == "" {
		email = "default"
	}
	user, _, _ := strings.Cut(email, "@")
	if user == "" {
		user = strings.TrimPrefix(email, "@")
	}
	safe := certmagic.StorageKeys.Safe
	base := path.Join("acme", safe(i.key), "users", safe(email), safe(user))
	return base + ".json", base + ".key"
}

func (i *issuer) loadAccount(ctx context.Context) (a acme.Account, err error) {
	reg, key := i.accountKeys()
	b, err := i.storage.Load(ctx, reg)
	if err != nil {
		return a, err
	}
	k, err := i.storage.Load(ctx, key)
	if err != nil {
		return a, err
	}
	if err := json.Unmarshal(b, &a); err != nil {
		return a, err
	}
	var signer crypto.Signer
	if signer, err = certmagic.PEMDecodePrivateKey(k); err != nil {
		return a, err
	}
	a.PrivateKey = signer
	return a, nil
}

func (i *issuer) saveAccount(ctx context.Context, a acme.Account) error {
	b, err := json.MarshalIndent(a, "", "\t")
	if err != nil {
		return err
	}
	k, err := certmagic.PEMEncodePrivateKey(a.PrivateKey)
	if err != nil {
		return err
	}
	reg, key := i.accountKeys()
	// The key first: a registration without one could not be used.
	if err := i.storage.Store(ctx, key, k); err != nil {
		return err
	}
	return i.storage.Store(ctx, reg, b)
}
