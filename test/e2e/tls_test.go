package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// certificate makes a self-signed certificate for 127.0.0.1, and returns its
// files and a pool that trusts it.
func certificate(t *testing.T) (certFile, keyFile string, pool *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "exporter"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:    x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM(cert)
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	return write(t, "cert.pem", string(cert)), write(t, "key.pem", string(keyPEM)), pool
}

// trusting returns a client that trusts what the pool does.
func trusting(pool *x509.CertPool) *http.Client {
	return &http.Client{
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true},
		Timeout:   10 * time.Second,
	}
}

// askAs asks with a name and a password, or without where the name is empty.
func askAs(c *http.Client, method, url, name, password string) (answer, error) {
	req, err := http.NewRequest(method, url, nil)
	if err != nil {
		return answer{}, err
	}
	if name != "" {
		req.SetBasicAuth(name, password)
	}
	resp, err := c.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, string(body)}, err
}

func TestTLSAndBasicAuth(t *testing.T) {
	t.Parallel()
	const name, password = "prom", "correct horse"
	certFile, keyFile, pool := certificate(t)
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	web := write(t, "web.yml", fmt.Sprintf("tls_server_config: {cert_file: %s, key_file: %s}\nbasic_auth_users: {%s: %s}\n", certFile, keyFile, name, hash))
	e := serveUnasked(t, targetsConfig("own"), "--web.config.file="+web)
	e.url = "https://" + e.addr
	c := trusting(pool)
	eventually(t, 30*time.Second, "it answers over TLS", func() error {
		e.alive(t)
		_, err := askAs(c, http.MethodGet, e.url, name, password)
		return err
	})

	for _, path := range []string{"/", "/probe?target=own", "/metrics", "/sd", "/config", "/logs", "/-/healthy", "/-/ready"} {
		wantAs(t, c, e.url+path, name, "wrong", http.StatusUnauthorized)
		wantAs(t, c, e.url+path, "nobody", password, http.StatusUnauthorized)
		wantAs(t, c, e.url+path, "", "", http.StatusUnauthorized)
	}
	if a, err := askAs(c, http.MethodPost, e.url+"/-/reload", name, "wrong"); err != nil || a.status != http.StatusUnauthorized {
		t.Errorf("a stranger's reload: %d, %v, want 401", a.status, err)
	}
	metrics := wantAs(t, c, e.url+"/metrics", name, password, http.StatusOK)
	if attempts := parse(t, metrics).sum("portscan_exporter_attempts_total"); attempts != 0 {
		t.Errorf("strangers had %v packets sent", attempts)
	}
	probe := wantAs(t, c, e.url+"/probe?target=own", name, password, http.StatusOK)
	parse(t, probe).want(t, "probe_success", 1)
	schemeIsHTTPS(t, wantAs(t, c, e.url+"/sd", name, password, http.StatusOK), e.addr)
	plainIsRefused(t, e.addr, name, password)
	if _, err := askAs(trusting(x509.NewCertPool()), http.MethodGet, e.url, name, password); err == nil {
		t.Error("a client that does not trust the certificate got an answer: this is not TLS")
	}
}

// wantAs asks as somebody, wants that status and returns the answer.
func wantAs(t *testing.T, c *http.Client, url, name, password string, want int) string {
	t.Helper()
	a, err := askAs(c, http.MethodGet, url, name, password)
	if err != nil {
		t.Fatal(err)
	}
	if a.status != want {
		t.Errorf("%s as %q with password %q: %d, want %d", url, name, password, a.status, want)
	}
	return a.body
}

func schemeIsHTTPS(t *testing.T, sd, addr string) {
	t.Helper()
	var groups []struct {
		Targets []string
		Labels  map[string]string
	}
	if err := json.Unmarshal([]byte(sd), &groups); err != nil {
		t.Fatal(err)
	}
	if len(groups) != 1 || groups[0].Labels["__scheme__"] != "https" || len(groups[0].Targets) != 1 || groups[0].Targets[0] != addr {
		t.Errorf("/sd says %s, want one target %s with scheme https", sd, addr)
	}
}

// plainIsRefused asks without TLS.
func plainIsRefused(t *testing.T, addr, name, password string) {
	t.Helper()
	a, err := askAs(client, http.MethodGet, "http://"+addr+"/metrics", name, password)
	if err == nil && (a.status != http.StatusBadRequest || strings.Contains(a.body, "portscan")) {
		t.Errorf("plain HTTP was answered with %d: %.200s", a.status, a.body)
	}
}
