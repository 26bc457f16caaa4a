// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestAuditVerifiedUser changes the users of the web configuration. The audit file must have
// only names whose password was verified, even if the file changes during the probe.
func TestAuditVerifiedUser(t *testing.T) {
	t.Parallel()
	const name, password = "prom", "correct horse"
	users := "basic_auth_users: {prom: " + hashPassword(t, password) + "}\n"
	web, file := writeFile(t, "web.yml", "http_server_config: {http2: false}\n"), filepath.Join(t.TempDir(), "audit.log")
	e := startExporter(t, strings.Replace(slowConfig("20s"), "rate: 20", "rate: 90", 1), "--web.config.file="+web, "--audit.file="+file)

	entries := 0
	probe := func(sender, secret, during string) {
		t.Helper()
		done := make(chan response, 1)
		go func() {
			a, err := requestAs(client, http.MethodGet, e.url+"/probe?target=own", sender, secret)
			if err != nil {
				t.Error(err)
			}
			done <- a
		}()
		if during != "" {
			eventually(t, 10*time.Second, "a scan is running", func() error {
				a, err := requestAs(client, http.MethodGet, e.url+"/metrics", name, password)
				if err == nil && !strings.Contains(a.body, "portscan_exporter_scans_in_flight 1\n") {
					err = errors.New("not yet")
				}
				return err
			})
			replaceFile(t, web, during)
		}
		if a := <-done; a.status != http.StatusOK {
			t.Fatalf("probe as %q = %d, want 200: %s", sender, a.status, a.body)
		}
		entries += 2
	}
	probe("mallory", "anything", "")
	probe("mallory", "anything", users) // not verified when it arrived
	probe(name, password, "")
	probe(name, password, "{}\n")
	probe("mallory", "anything", "")
	for i, want := range []any{nil, nil, nil, nil, name, name, name, name, nil, nil} {
		if got := awaitAuditEntries(t, file, entries)[i]["user"]; got != want {
			t.Errorf("user of entry %d = %v, want %v", i, got, want)
		}
	}
}
