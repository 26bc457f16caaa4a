// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// writeServerCertificate writes a self-signed certificate for 127.0.0.1. It returns the files and a
// pool that trusts it.
func writeServerCertificate(t *testing.T) (certFile, keyFile string, pool *x509.CertPool) {
	t.Helper()
	key := newKey(t)
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
	return writeFile(t, "cert.pem", string(cert)), writeFile(t, "key.pem", string(keyPEM)), pool
}

// newTLSClient returns a client that trusts the certificates in the pool.
func newTLSClient(pool *x509.CertPool) *http.Client { return newCertificateClient(pool, nil) }

// requestAs sends a request with basic authentication, unless the name is empty.
func requestAs(c *http.Client, method, url, name, password string) (response, error) {
	req, err := http.NewRequest(method, url, nil)
	if err != nil {
		return response{}, err
	}
	if name != "" {
		req.SetBasicAuth(name, password)
	}
	return send(c, req)
}

// writeWebConfig writes a web configuration with TLS and one user.
func writeWebConfig(t *testing.T, certFile, keyFile, name, password string) string {
	t.Helper()
	return writeFile(t, "web.yml", fmt.Sprintf("tls_server_config: {cert_file: %s, key_file: %s}\nbasic_auth_users: {%s: %s}\n",
		certFile, keyFile, name, hashPassword(t, password)))
}

func hashPassword(t *testing.T, password string) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(hash)
}

func TestTLSAndBasicAuth(t *testing.T) {
	t.Parallel()
	const name, password = "prom", "correct horse"
	certFile, keyFile, pool := writeServerCertificate(t)
	e := startExporterUnready(t, targetsConfig("own"), "--web.config.file="+writeWebConfig(t, certFile, keyFile, name, password))
	e.url = "https://" + e.addr
	e.awaitListener(t)
	c := newTLSClient(pool)
	for _, path := range []string{"/", "/probe?target=own", "/metrics", "/sd", "/config", "/logs", "/-/healthy", "/-/ready"} {
		getAs(t, c, e.url+path, name, "wrong", http.StatusUnauthorized)
		getAs(t, c, e.url+path, "other", password, http.StatusUnauthorized)
		getAs(t, c, e.url+path, "", "", http.StatusUnauthorized)
	}
	if a, err := requestAs(c, http.MethodPost, e.url+"/-/reload", name, "wrong"); err != nil || a.status != http.StatusUnauthorized {
		t.Errorf("POST /-/reload with a wrong password = %d, %v, want 401", a.status, err)
	}
	metrics := getAs(t, c, e.url+"/metrics", name, password, http.StatusOK)
	if attempts := parseMetrics(t, metrics).sumByPrefix("portscan_exporter_attempts_total"); attempts != 0 {
		t.Errorf("unauthenticated requests caused %v attempts, want 0", attempts)
	}
	probe := getAs(t, c, e.url+"/probe?target=own", name, password, http.StatusOK)
	parseMetrics(t, probe).wantValue(t, "probe_success", 1)
	checkDiscoveryScheme(t, getAs(t, c, e.url+"/sd", name, password, http.StatusOK), e.addr)
	checkPlainHTTPRefused(t, e.addr, name, password)
	if _, err := requestAs(newTLSClient(x509.NewCertPool()), http.MethodGet, e.url, name, password); err == nil {
		t.Error("a client that does not trust the certificate got a response")
	}
}

// getAs requests a URL as a user and returns the body. The response must have the status.
func getAs(t *testing.T, c *http.Client, url, name, password string, want int) string {
	t.Helper()
	a, err := requestAs(c, http.MethodGet, url, name, password)
	if err != nil {
		t.Fatal(err)
	}
	if a.status != want {
		t.Errorf("GET %s as %q with password %q = %d, want %d", url, name, password, a.status, want)
	}
	return a.body
}

func checkDiscoveryScheme(t *testing.T, sd, addr string) {
	t.Helper()
	var groups []struct {
		Targets []string
		Labels  map[string]string
	}
	if err := json.Unmarshal([]byte(sd), &groups); err != nil {
		t.Fatal(err)
	}
	if len(groups) != 1 || groups[0].Labels["__scheme__"] != "https" || len(groups[0].Targets) != 1 || groups[0].Targets[0] != addr {
		t.Errorf("/sd = %s, want one target %s with scheme https", sd, addr)
	}
}

// checkPlainHTTPRefused fails the test if a request without TLS succeeds.
func checkPlainHTTPRefused(t *testing.T, addr, name, password string) {
	t.Helper()
	a, err := requestAs(client, http.MethodGet, "http://"+addr+"/metrics", name, password)
	if err == nil && (a.status != http.StatusBadRequest || strings.Contains(a.body, "portscan")) {
		t.Errorf("plain HTTP request got %d: %.200s", a.status, a.body)
	}
}
