// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// containerHealth is the state of the engine's health check of a container.
type containerHealth struct {
	State struct {
		Status string
		Health struct {
			Status string
			Log    []struct{ Output string }
		}
	}
}

// testImageHealth runs the image's own health check with other addresses, prefixes, TLS and
// passwords. The same environment sets the exporter and its health check.
func testImageHealth(t *testing.T, engine containerEngine, image string) {
	t.Helper()
	dir := writeWebFiles(t)
	const (
		ca       = "HEALTHCHECK_CA_FILE=/web/cert.pem"
		user     = "HEALTHCHECK_USERNAME=" + healthUser
		password = "HEALTHCHECK_PASSWORD_FILE=/web/password"
	)
	for name, tc := range map[string]struct {
		env    []string
		args   []string // of the exporter, unknown to its health check
		status string
		output string
	}{
		"plain":            {status: "healthy", output: "Healthy"},
		"other address":    {env: []string{"WEB_LISTEN_ADDRESS=127.0.0.1:9000"}, status: "healthy", output: "Healthy"},
		"prefix":           {env: []string{"WEB_ROUTE_PREFIX=/ports"}, status: "healthy", output: "Healthy"},
		"external URL":     {env: []string{"WEB_EXTERNAL_URL=https://ports.example.org/ports/"}, status: "healthy", output: "Healthy"},
		"TLS":              {env: []string{"WEB_CONFIG_FILE=/web/tls.yml", ca}, status: "healthy", output: "Healthy"},
		"password":         {env: []string{"WEB_CONFIG_FILE=/web/password.yml", ca, user, password}, status: "healthy", output: "Healthy"},
		"mutual TLS":       {env: []string{"WEB_CONFIG_FILE=/web/mutual.yml", "WEB_HEALTH_LISTEN_ADDRESS=127.0.0.1:10116"}, status: "healthy", output: "Healthy"},
		"unknown address":  {args: []string{"--web.listen-address=:9000"}, status: "unhealthy", output: "connection refused"},
		"no authority":     {env: []string{"WEB_CONFIG_FILE=/web/tls.yml"}, status: "unhealthy", output: "write --ca-file=FILE"},
		"no password":      {env: []string{"WEB_CONFIG_FILE=/web/password.yml", ca}, status: "unhealthy", output: "write --username=NAME"},
		"no certificate":   {env: []string{"WEB_CONFIG_FILE=/web/mutual.yml", ca}, status: "unhealthy", output: "write --web.health-listen-address="},
		"unknown password": {env: []string{"WEB_CONFIG_FILE=/web/password.yml", ca, user, "HEALTHCHECK_PASSWORD_FILE=/web/cert.pem"}, status: "unhealthy", output: "status 401"},
	} {
		options := slices.Concat(hardenedFlags, []string{"--network=none", "--volume=" + dir + ":/web:ro", "--health-interval=500ms", "--health-retries=3"})
		for _, e := range tc.env {
			options = append(options, "--env=PORTSCAN_"+e)
		}
		c := engine.startContainer(t, append(append(options, image), tc.args...)...)
		eventually(t, time.Minute, name+": the engine reports "+tc.status, func() error { return c.checkHealth(t, tc.status, tc.output) })
		engine.run(t, "rm", "--force", c.id)
	}
}

// checkHealth returns an error unless the engine reports the status, after an output with the text.
func (c container) checkHealth(t *testing.T, status, text string) error {
	t.Helper()
	var h containerHealth
	c.inspect(t, c.id, &h)
	log := h.State.Health.Log
	if h.State.Status != "running" || h.State.Health.Status != status || len(log) == 0 || !strings.Contains(log[len(log)-1].Output, text) {
		return fmt.Errorf("state = %+v, want %s and output %q", h.State, status, text)
	}
	return nil
}

// writeWebFiles returns a directory with web configurations that every user can read.
func writeWebFiles(t *testing.T) string {
	t.Helper()
	certFile, keyFile, _ := writeServerCertificate(t)
	dir := readableDir(t)
	const server = "cert_file: cert.pem, key_file: key.pem"
	for name, text := range map[string]string{
		"cert.pem":     readFile(t, certFile),
		"key.pem":      readFile(t, keyFile),
		"client.pem":   readFile(t, newAuthority(t).writeCertificate(t)),
		"password":     healthPassword + "\n",
		"tls.yml":      "tls_server_config: {" + server + "}\n",
		"password.yml": fmt.Sprintf("tls_server_config: {%s}\nbasic_auth_users: {%s: %s}\n", server, healthUser, hashPassword(t, healthPassword)),
		"mutual.yml":   "tls_server_config: {" + server + ", client_auth_type: RequireAndVerifyClientCert, client_ca_file: client.pem}\n",
	} {
		replaceFileMode(t, filepath.Join(dir, name), text, 0o644)
	}
	return dir
}
