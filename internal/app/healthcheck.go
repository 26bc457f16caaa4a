// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"portscan_exporter/internal/printable"
	"portscan_exporter/internal/regularfile"
)

// HealthcheckOptions are the flags of the healthcheck command.
type HealthcheckOptions struct {
	WebOptions // of the exporter to check

	URL                string // empty: derived from WebOptions
	CAFile             string // empty: the authorities of the system
	InsecureSkipVerify bool
	Username           string // empty: no authentication
	PasswordFile       string // required with Username
}

// Healthcheck requests the health endpoint once and returns [ExitOK] for a response with
// status 200.
func Healthcheck(o HealthcheckOptions, stdout, stderr io.Writer) int {
	const timeout = 5 * time.Second // below the timeout of the image's health check
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if err := o.check(ctx); err != nil {
		fmt.Fprintf(stderr, "portscan_exporter: checking health: %s\n", printable.Escape(err.Error()))
		return ExitFailure
	}
	fmt.Fprintln(stdout, "Healthy")
	return ExitOK
}

func (o *HealthcheckOptions) check(ctx context.Context) error {
	u, err := o.healthURL(ctx)
	if err != nil {
		return err
	}
	client, err := o.newClient()
	if err != nil {
		return err
	}
	req := (&http.Request{Method: http.MethodGet, URL: u, Header: make(http.Header)}).WithContext(ctx)
	if err := o.authenticate(req); err != nil {
		return err
	}
	shown := (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String() // without a password
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("requesting %s: %w", shown, explainFailure(err))
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("requesting %s: %s", shown, explainStatus(resp.StatusCode))
	}
	return nil
}

// newClient returns a client that uses no proxy and follows no redirect: either would
// report the health of another program.
func (o *HealthcheckOptions) newClient() (*http.Client, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: o.InsecureSkipVerify} //nolint:gosec // the user's decision
	if o.CAFile != "" && !o.isPlain() {
		data, err := regularfile.Read(o.CAFile, maxCertificate)
		if err != nil {
			return nil, fmt.Errorf("--ca-file: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(data) {
			return nil, fmt.Errorf("--ca-file=%s: no certificate found: write the path of a file with certificates in PEM format", o.CAFile)
		}
	}
	return &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, TLSClientConfig: config, MaxResponseHeaderBytes: 64 << 10},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// authenticate adds the user and the password. They have precedence over those in the
// URL. The health listener does not need them.
func (o *HealthcheckOptions) authenticate(req *http.Request) error {
	switch {
	case o.isPlain() || o.Username == "" && o.PasswordFile == "":
		return nil
	case o.Username == "":
		return errors.New("--password-file: no user: write --username=NAME as well")
	case o.PasswordFile == "":
		return errors.New("--username: no password: write --password-file=FILE as well")
	}
	const limit = 4 << 10
	data, err := regularfile.Read(o.PasswordFile, limit)
	if err != nil {
		return fmt.Errorf("--password-file: %w", err)
	}
	password := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	if password == "" {
		return fmt.Errorf("--password-file=%s: empty file: write the password into it", o.PasswordFile)
	}
	req.SetBasicAuth(o.Username, password)
	return nil
}

// explainFailure returns the cause of a failed request, with the fix of a known one. The
// error of the client repeats the URL, which can have a password.
func explainFailure(err error) error {
	if request, ok := errors.AsType[*url.Error](err); ok {
		err = request.Err
	}
	_, unknown := errors.AsType[x509.UnknownAuthorityError](err)
	_, foreign := errors.AsType[x509.HostnameError](err)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return errors.New("no response in time")
	case unknown:
		return errors.New("certificate of an unknown authority: write --ca-file=FILE with its certificate, or --insecure-skip-verify")
	case foreign:
		return errors.New("certificate is for other names: write --url with one of them, or --insecure-skip-verify")
	case errors.Is(err, http.ErrSchemeMismatch):
		return errors.New("no TLS: write --url with http")
	case strings.Contains(err.Error(), "tls: certificate required"):
		return errors.New(demandedCertificate)
	}
	return err
}

// demandedCertificate is the error for a server with mutual TLS.
const demandedCertificate = "server demands a client certificate: write --web.health-listen-address=127.0.0.1:10116 for serve and healthcheck"

// explainStatus returns a status other than 200, with the fix of a known one.
func explainStatus(status int) string {
	fixes := map[int]string{
		http.StatusBadRequest:   "write --url with https if the server has TLS",
		http.StatusUnauthorized: "write --username=NAME and --password-file=FILE",
		http.StatusNotFound:     "write --web.route-prefix, or --url with the prefix",
	}
	text := strings.TrimSpace(fmt.Sprintf("status %d %s", status, http.StatusText(status)))
	fix := fixes[status]
	if status >= http.StatusMultipleChoices && status < http.StatusBadRequest {
		fix = "write --url with the target of the redirect"
	}
	if fix == "" {
		return text
	}
	return text + ": " + fix
}
