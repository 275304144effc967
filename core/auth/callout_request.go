package auth

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"ganglion/core/wire"
)

// maxHTTP bounds the bytes of HTTP headers that go into a request; what is beyond
// is left out.
const maxHTTP = 16 << 10

// requestClaims is jwt.AuthorizationRequestClaims with one key more.
type requestClaims struct {
	jwt.ClaimsData
	NATS requestBody `json:"nats"`
}

type requestBody struct {
	jwt.AuthorizationRequest
	// HTTP is our own: what the upgrade request of WebSocket and WebTransport
	// brought.
	HTTP *httpInfo `json:"http,omitempty"`
}

// httpInfo is the key "http" below "nats" in a request: headers by canonical
// name, without Cookie, and cookies by name, of several alike the first.
type httpInfo struct {
	Headers http.Header       `json:"headers,omitempty"`
	Cookies map[string]string `json:"cookies,omitempty"`
}

// request returns the signed JWT that asks about r.
func (c *callout) request(a *Authenticator, r *Request, cred credentials, key string, timeout time.Duration) ([]byte, error) {
	keys, now := a.opts.Keys, a.now()
	claims := &requestClaims{ClaimsData: jwt.ClaimsData{
		Audience: calloutAudience,
		// A second at least, because a timeout may be less than what can be said.
		Expires:  now.Add(max(timeout, time.Second)).Unix(),
		ID:       rand.Text(),
		IssuedAt: now.Unix(),
		Issuer:   keys.ID,
		Subject:  c.Issuer,
	}}
	n := &claims.NATS
	n.Type, n.Version = jwt.AuthorizationRequestClaim, 2
	n.Server = jwt.ServerID{
		Name: a.opts.ServerName, Host: a.opts.Host, ID: keys.ID,
		Version: wire.Version, Cluster: a.opts.Cluster, Tags: a.opts.Tags,
	}
	if c.XKey != "" {
		n.Server.XKey = keys.XKey
	}
	n.UserNkey = key
	n.ClientInformation = clientInfo(r, cred)
	n.ConnectOptions = jwt.ConnectOptions{
		JWT: cred.jwt, Nkey: cred.nkey, SignedNonce: cred.sig, Token: cred.token,
		Username: cred.user, Password: cred.pass,
	}
	if o := r.Connect; o != nil {
		n.ConnectOptions.Name, n.ConnectOptions.Lang = o.Name, o.Lang
		n.ConnectOptions.Version, n.ConnectOptions.Protocol = o.Version, o.Protocol
	}
	n.TLS, n.HTTP = clientTLS(r.TLS), clientHTTP(r.HTTP)
	token, err := sign(claims, keys.Server)
	return []byte(token), err
}

func clientInfo(r *Request, cred credentials) jwt.ClientInformation {
	info := jwt.ClientInformation{Host: r.Host, ID: r.CID, User: cred.user, Kind: r.Kind, Nonce: r.Nonce}
	if info.Host == "" && r.Remote.IsValid() {
		info.Host = r.Remote.String()
	}
	if info.Kind == "" {
		info.Kind = "Client"
	}
	switch {
	case info.User != "":
	case cred.nkey != "":
		info.User = cred.nkey
	case cred.token != "":
		info.User = redacted
	}
	if r.Connect != nil {
		info.Name = r.Connect.Name
	}
	switch r.Type {
	case "", TypeStandard, TypeInProcess, TypeLeaf:
		info.Type = "nats"
	case TypeLeafWS:
		info.Type = "websocket"
	case TypeMQTTWS:
		info.Type = "mqtt"
	default:
		info.Type = strings.ToLower(r.Type)
	}
	return info
}

func clientTLS(s *tls.ConnectionState) *jwt.ClientTLS {
	if s == nil {
		return nil
	}
	c := &jwt.ClientTLS{
		Version: strings.TrimPrefix(tls.VersionName(s.Version), "TLS "),
		Cipher:  tls.CipherSuiteName(s.CipherSuite),
	}
	if len(s.VerifiedChains) == 0 {
		c.Certs = encodePEM(s.PeerCertificates)
	}
	for _, chain := range s.VerifiedChains {
		c.VerifiedChains = append(c.VerifiedChains, encodePEM(chain))
	}
	return c
}

func encodePEM(certs []*x509.Certificate) (list jwt.StringList) {
	for _, c := range certs {
		list = append(list, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})))
	}
	return list
}

func clientHTTP(r *http.Request) *httpInfo {
	if r == nil {
		return nil
	}
	info := &httpInfo{Headers: http.Header{}, Cookies: map[string]string{}}
	left := maxHTTP
	fits := func(name, value string) bool {
		n := len(name) + len(value)
		if n > left {
			return false
		}
		left -= n
		return true
	}
	for _, c := range r.Cookies() {
		if _, twice := info.Cookies[c.Name]; !twice && fits(c.Name, c.Value) {
			info.Cookies[c.Name] = c.Value
		}
	}
	for name, values := range r.Header {
		for _, v := range values {
			if name != "Cookie" && fits(name, v) {
				info.Headers.Add(name, v)
			}
		}
	}
	return info
}

// sign encodes claims, whose issuer must be pair's public key, as a JWT.
func sign(claims any, pair nkeys.KeyPair) (string, error) {
	body, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("encoding claims: %w", err)
	}
	enc := base64.RawURLEncoding
	token := enc.EncodeToString([]byte(`{"typ":"JWT","alg":"ed25519-nkey"}`)) + "." + enc.EncodeToString(body)
	sig, err := pair.Sign([]byte(token))
	if err != nil {
		return "", fmt.Errorf("signing: %w", err)
	}
	return token + "." + enc.EncodeToString(sig), nil
}
