// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// authority is a certificate authority for client certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	a := authority{key: newKey(t)}
	// All authorities have the same name, so that only the signature distinguishes them.
	a.cert = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
	}
	var err error
	if a.cert, err = x509.ParseCertificate(a.createCertificate(t, a.cert, a.cert, a.key)); err != nil {
		t.Fatal(err)
	}
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (a authority) createCertificate(t *testing.T, template, parent *x509.Certificate, owner *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &owner.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// issueCertificate returns a certificate that is signed by the authority.
func (a authority) issueCertificate(t *testing.T, name string, ends time.Time, usage x509.ExtKeyUsage) *tls.Certificate {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: ends,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{usage},
	}
	return &tls.Certificate{Certificate: [][]byte{a.createCertificate(t, template, a.cert, key)}, PrivateKey: key}
}

func (a authority) writeCertificate(t *testing.T) string {
	t.Helper()
	return writeFile(t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})))
}

// newCertificateClient returns a client that trusts the pool and presents a certificate, even if
// the server did not request one of its authority. cert may be nil.
func newCertificateClient(pool *x509.CertPool, cert *tls.Certificate) *http.Client {
	if cert == nil {
		cert = &tls.Certificate{}
	}
	return &http.Client{
		Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{
			RootCAs: pool, MinVersion: tls.VersionTLS12,
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil },
		}},
		Timeout: 10 * time.Second,
	}
}

// startTLSExporter starts an exporter with an audit file that requests client certificates.
func startTLSExporter(t *testing.T, auth, caFile string, flags ...string) (e *exporter, pool *x509.CertPool, auditFile string) {
	t.Helper()
	certFile, keyFile, pool := writeServerCertificate(t)
	web := fmt.Sprintf("tls_server_config: {cert_file: %s, key_file: %s, client_auth_type: %s", certFile, keyFile, auth)
	if caFile != "" {
		web += ", client_ca_file: " + caFile
	}
	auditFile = filepath.Join(t.TempDir(), "audit.log")
	flags = append(flags, "--web.config.file="+writeFile(t, "web.yml", web+"}\n"), "--audit.file="+auditFile)
	e = startExporterUnready(t, auditConfig, flags...)
	e.url = "https://" + e.addr
	e.awaitListener(t)
	return e, pool, auditFile
}

// TestMutualTLS checks that only certificates of the configured authority are accepted. The audit
// file must have the name in the certificate, even if the client sends other credentials.
func TestMutualTLS(t *testing.T) {
	t.Parallel()
	const name = "prometheus.example.org"
	ours, foreign := newAuthority(t), newAuthority(t)
	later, client := time.Now().Add(time.Hour), x509.ExtKeyUsageClientAuth
	e, pool, file := startTLSExporter(t, "RequireAndVerifyClientCert", ours.writeCertificate(t))

	for kind, cert := range map[string]*tls.Certificate{
		"no certificate":     nil,
		"other authority":    foreign.issueCertificate(t, name, later, client),
		"expired":            ours.issueCertificate(t, name, time.Now().Add(-time.Hour), client),
		"server certificate": ours.issueCertificate(t, name, later, x509.ExtKeyUsageServerAuth),
	} {
		for _, path := range []string{"/", "/probe?target=own", "/metrics", "/-/healthy"} {
			if a, err := requestAs(newCertificateClient(pool, cert), http.MethodGet, e.url+path, "", ""); err == nil {
				t.Errorf("certificate %q: status = %d for %s, want no response", kind, a.status, path)
			}
		}
	}
	checkPlainHTTPRefused(t, e.addr, "", "")

	right := newCertificateClient(pool, ours.issueCertificate(t, name, later, client))
	metrics := parseMetrics(t, getAs(t, right, e.url+"/metrics", "", "", http.StatusOK))
	if attempts := metrics.sumByPrefix("portscan_exporter_attempts_total"); attempts != 0 {
		t.Errorf("refused requests caused %v attempts, want 0", attempts)
	}
	parseMetrics(t, getAs(t, right, e.url+"/probe?target=own", "", "", http.StatusOK)).wantValue(t, "probe_success", 1)
	getAs(t, right, e.url+"/probe?target=own", "mallory", "anything", http.StatusOK)
	getAs(t, right, e.url+"/probe?target=unknown", "", "", http.StatusForbidden)
	for i, event := range []string{"scan", "probe", "scan", "probe", "refusal"} {
		checkFields(t, awaitAuditEntries(t, file, 5)[i], map[string]any{"event": event, "user": name})
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of the audit file = %v, %v, want 0600", info.Mode(), err)
	}
}

// TestMutualTLSHostileName checks that a name in a certificate is escaped and truncated in the audit
// file, and that names of certificates are escaped in the log.
func TestMutualTLSHostileName(t *testing.T) {
	t.Parallel()
	const limit = 256 // bytes
	ours, foreign := newAuthority(t), newAuthority(t)
	e, pool, file := startTLSExporter(t, "RequireAndVerifyClientCert", ours.writeCertificate(t), "--log.level=debug")
	name, later := hostileText+strings.Repeat("x", limit), time.Now().Add(time.Hour)
	if a, err := requestAs(newCertificateClient(pool, foreign.issueCertificate(t, name, later, x509.ExtKeyUsageClientAuth)), http.MethodGet, e.url, "", ""); err == nil {
		t.Errorf("foreign certificate: status = %d, want no response", a.status)
	}
	client := newCertificateClient(pool, ours.issueCertificate(t, name, later, x509.ExtKeyUsageClientAuth))
	getAs(t, client, e.url+"/probe?target=own", "", "", http.StatusOK)
	getAs(t, client, e.url+"/probe?target=unknown", "", "", http.StatusForbidden)
	for _, entry := range awaitAuditEntries(t, file, 3) {
		if user, _ := entry["user"].(string); !strings.HasPrefix(user, hostileText) || len(user) > limit+len("...") {
			t.Errorf("user = %q, want at most %d bytes of the certificate's name", user, limit)
		}
	}
	checkVisible(t, "audit file", readFile(t, file))
	checkVisible(t, "log", e.output.String())
}

// TestUnverifiedClientCertificate checks that an accepted but unverified certificate does not set
// the user.
func TestUnverifiedClientCertificate(t *testing.T) {
	t.Parallel()
	e, pool, file := startTLSExporter(t, "RequireAnyClientCert", "")
	cert := newAuthority(t).issueCertificate(t, "mallory", time.Now().Add(time.Hour), x509.ExtKeyUsageClientAuth)
	getAs(t, newCertificateClient(pool, cert), e.url+"/probe?target=own", "", "", http.StatusOK)
	if user, there := awaitAuditEntries(t, file, 2)[0]["user"]; there {
		t.Errorf("user = %v for an unverified certificate, want none", user)
	}
}
