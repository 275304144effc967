package daemon

import (
	"crypto/tls"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

// TestMonitorAuthorize: monitoring and metrics are for a user, or over https for
// who shows a certificate; a reload changes the password.
func TestMonitorAuthorize(t *testing.T) {
	dir := t.TempDir()
	newCert(t, dir, "server", 1)
	newCert(t, dir, "operator", 2)
	newCert(t, dir, "stranger", 3)
	hash, err := bcrypt.GenerateFromPassword([]byte("hashed"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	text := `
listen: "127.0.0.1:-1"
http: "127.0.0.1:-1"
https_port: -1
log_file: "DIR/log"
tls { cert_file: "DIR/server.crt", key_file: "DIR/server.key", ca_file: "DIR/operator.crt", verify: true }
monitor { user: admin, password: "plain", client_certificate: true }
`
	d := launch(t, dir, text)
	plain, secure := "http://"+d.httpLn.Addr().String(), "https://"+d.httpsLn.Addr().String()
	get := func(url, user, pass, cert string) int {
		t.Helper()
		cfg := &tls.Config{InsecureSkipVerify: true}
		if cert != "" {
			pair, err := tls.LoadX509KeyPair(filepath.Join(dir, cert+".crt"), filepath.Join(dir, cert+".key"))
			if err != nil {
				t.Fatal(err)
			}
			// Shown whether or not the server says that it knows the issuer.
			cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
		}
		tr := &http.Transport{TLSClientConfig: cfg, DisableKeepAlives: true}
		defer tr.CloseIdleConnections()
		r, err := http.NewRequest("GET", url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if user != "" {
			r.SetBasicAuth(user, pass)
		}
		resp, err := tr.RoundTrip(r)
		if err != nil {
			return 0
		}
		defer resp.Body.Close()
		if resp.StatusCode == http.StatusUnauthorized && !strings.HasPrefix(resp.Header.Get("WWW-Authenticate"), "Basic") {
			t.Error("401 without WWW-Authenticate")
		}
		return resp.StatusCode
	}
	for _, path := range []string{"/varz", "/metrics", "/connz?auth=1", "/healthz", "/"} {
		for _, c := range []struct {
			url, user, pass, cert string
			want                  int
		}{
			{plain, "", "", "", 401}, {plain, "admin", "wrong", "", 401}, {plain, "other", "plain", "", 401}, {plain, "admin", "plain", "", 200},
			{secure, "", "", "", 401}, {secure, "admin", "plain", "", 200}, {secure, "", "", "operator", 200}, {secure, "", "", "stranger", 0},
		} {
			if got := get(c.url+path, c.user, c.pass, c.cert); got != c.want {
				t.Errorf("%s%s as %q %q with certificate %q: %d, want %d", c.url[:5], path, c.user, c.pass, c.cert, got, c.want)
			}
		}
	}
	next := strings.Replace(text, `"plain"`, `"`+string(hash)+`"`, 1)
	write(t, filepath.Join(dir, "server.conf"), strings.ReplaceAll(next, "DIR", dir))
	if err := d.Reload(); err != nil {
		t.Fatal(err)
	}
	if a, b := get(plain+"/varz", "admin", "plain", ""), get(plain+"/varz", "admin", "hashed", ""); a != 401 || b != 200 {
		t.Errorf("after the reload the old password gives %d, the new %d", a, b)
	}
	log, err := os.ReadFile(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"wrong", "hashed", string(hash)} {
		if strings.Contains(string(log), secret) {
			t.Errorf("the log has %q", secret)
		}
	}
}
