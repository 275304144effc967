package operator

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nkeys"
)

// FetchTimeout is how long a URL resolver may take to answer.
const FetchTimeout = 2 * time.Second

// maxFetches is how many requests of a URL resolver are under way at once: a
// flood of users of made-up accounts must not become a flood of requests.
const maxFetches = 16

// URL is a Resolver that asks an HTTP server, such as nats-account-server:
// resolver URL(base). It is safe for concurrent use.
type URL struct {
	base   string
	client *http.Client
	slots  chan struct{}
}

// NewURL returns a URL that fetches base+account; base usually ends in a slash.
// cfg is for https, nil for Go's defaults.
func NewURL(base string, cfg *tls.Config) (*URL, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("operator: the resolver's URL is not of the form https://host/jwt/v1/accounts/")
	}
	tr := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		TLSClientConfig:     cfg,
		ForceAttemptHTTP2:   true,
		MaxIdleConnsPerHost: maxFetches,
		IdleConnTimeout:     time.Minute,
	}
	return &URL{
		base:   base,
		client: &http.Client{Transport: tr, Timeout: FetchTimeout},
		slots:  make(chan struct{}, maxFetches),
	}, nil
}

// Close closes idle connections.
func (r *URL) Close() { r.client.CloseIdleConnections() }

// Fetch asks the server for an account. It gives up when ctx ends, and after
// FetchTimeout. A status of 404 is ErrNotFound.
func (r *URL) Fetch(ctx context.Context, account string) (string, error) {
	if !nkeys.IsValidPublicAccountKey(account) {
		return "", fmt.Errorf("%w: %.60q is no public account nkey", ErrMalformed, account)
	}
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	case <-ctx.Done():
		return "", fmt.Errorf("waiting for a turn at the resolver's URL: %w", context.Cause(ctx))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.base+account, nil)
	if err != nil {
		return "", errors.New("the resolver's URL doesn't make a request")
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return "", fmt.Errorf("asking the resolver's URL: %w", err)
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound:
		return "", fmt.Errorf("%w: the resolver's URL answers %s", ErrNotFound, resp.Status)
	default:
		return "", fmt.Errorf("the resolver's URL answers %.60q", resp.Status)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, MaxToken+1))
	if err != nil {
		return "", fmt.Errorf("reading the answer of the resolver's URL: %w", err)
	}
	if len(body) > MaxToken {
		return "", fmt.Errorf("%w: the resolver's URL answers with more than %d bytes", ErrMalformed, MaxToken)
	}
	return strings.TrimSpace(string(body)), nil
}
