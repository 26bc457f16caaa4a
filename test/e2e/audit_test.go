// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// awaitAuditEntries waits until the audit file has want entries and returns them.
func awaitAuditEntries(t *testing.T, file string, want int) (all []map[string]any) {
	t.Helper()
	eventually(t, 10*time.Second, fmt.Sprintf("%d entries in the audit file", want), func() error {
		all = nil
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(data)) {
			var fields map[string]any
			if err := json.Unmarshal([]byte(line), &fields); err != nil {
				return fmt.Errorf("%q: %w", line, err)
			}
			all = append(all, fields)
		}
		if len(all) != want {
			return fmt.Errorf("got %d entries", len(all))
		}
		return nil
	})
	return all
}

func checkFields(t *testing.T, got map[string]any, want map[string]any) {
	t.Helper()
	for key, value := range want {
		if got[key] != value {
			t.Errorf("%s = %v, want %v, in %v", key, got[key], value, got)
		}
	}
}

const auditConfig = `modules:
  few: {ports: "1-10"}
  other: {ports: "1-10"}
targets:
  - name: own
    hosts: [127.0.0.77]
    modules: [few]
    authorization: {owner: "net team", reference: "CHG-1234"}
  - name: past
    hosts: [127.0.0.78]
    modules: [few, other]
    authorization: {owner: "net team", expires: 2020-01-01}
`

// TestAuditEntries checks the entries of probes and refusals, and that SIGHUP reopens the file.
func TestAuditEntries(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "audit.log")
	e := startExporter(t, auditConfig, "--audit.file="+file)
	e.probe(t, "target=own")
	for _, query := range []string{"target=past", "target=mallory%0a%22", "target=own&module=other", "target=own&module=none", "tarket=own"} {
		if a, err := request("GET", e.url+"/probe?"+query); err != nil || a.status == http.StatusOK {
			t.Errorf("GET /probe?%s = %v, %v, want a refusal", query, a, err)
		}
	}
	all := awaitAuditEntries(t, file, 7)
	checkFields(t, all[0], map[string]any{
		"event": "scan", "target": "own", "module": "few", "owner": "net team", "reference": "CHG-1234",
		"ports": 10.0, "attempts": 10.0, "outcome": "complete",
	})
	checkFields(t, all[1], map[string]any{
		"event": "probe", "target": "own", "module": "few", "scan": all[0]["id"], "source": "fresh", "status": 200.0,
	})
	if remote, _ := all[0]["remote"].(string); !strings.HasPrefix(remote, "127.0.0.1:") {
		t.Errorf("remote = %q, want an address of 127.0.0.1", remote)
	}
	if when, err := time.Parse(time.RFC3339Nano, all[0]["time"].(string)); err != nil || time.Since(when) > time.Minute {
		t.Errorf("time = %v, %v, want the last minute", all[0]["time"], err)
	}
	if got := fmt.Sprint(all[0]["addresses"]); got != "[127.0.0.77]" {
		t.Errorf("addresses = %s, want [127.0.0.77]", got)
	}
	for i, outcome := range []string{"expired", "unknown_target", "unknown_module", "unknown_module", "bad_request"} {
		status := 403.0
		if i >= 3 {
			status = 400
		}
		checkFields(t, all[i+2], map[string]any{"event": "refusal", "outcome": outcome, "status": status})
	}
	checkFields(t, all[2], map[string]any{"target": "past", "owner": "net team"})
	checkFields(t, all[3], map[string]any{"target": "mallory\n\""})

	if err := os.Rename(file, file+".1"); err != nil {
		t.Fatal(err)
	}
	e.signal(t, syscall.SIGHUP)
	awaitAuditEntries(t, file, 0)
	e.probe(t, "target=own")
	awaitAuditEntries(t, file, 2)
	awaitAuditEntries(t, file+".1", 7)
}

// TestAuditRefusedAddress checks that refusals have the requested address, and no owner for it.
func TestAuditRefusedAddress(t *testing.T) {
	t.Parallel()
	const named = "  - {name: named, hosts: [localhost], networks: [127.0.0.0/8], modules: [few], authorization: {owner: me}}\n"
	file := filepath.Join(t.TempDir(), "audit.log")
	e := startExporter(t, auditConfig+named, "--audit.file="+file)
	for _, target := range []string{"127.0.0.78", "127.9.9.9"} {
		wantStatus(t, e.url+"/probe?target="+target, http.StatusForbidden)
	}
	all := awaitAuditEntries(t, file, 2)
	for i, want := range []struct{ target, outcome string }{{"127.0.0.78", "expired"}, {"127.9.9.9", "unknown_target"}} {
		checkFields(t, all[i], map[string]any{"event": "refusal", "target": want.target, "outcome": want.outcome, "owner": nil})
	}
}

// TestAuditDiskFull checks that probes are answered when no entry can be written, and that the
// dropped entries are counted and logged once.
func TestAuditDiskFull(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	e := &exporter{addr: freeAddress(t), config: writeFile(t, "config.yml", auditConfig)}
	e.process = startCommand(t, exec.Command("sh", append(fullDisk(t, dir),
		"--config.file="+e.config, "--web.listen-address="+e.addr, "--audit.file="+filepath.Join(dir, "audit.log"))...))
	e.awaitReady(t)
	for range 5 {
		e.probe(t, "target=own").wantValue(t, "probe_success", 1)
	}
	eventually(t, 10*time.Second, "dropped entries are counted", func() error {
		if n := e.scrapeMetrics(t)["portscan_exporter_audit_failures_total"]; n != 10 { // scans and probes
			return fmt.Errorf("got %v", n)
		}
		return nil
	})
	if n := strings.Count(e.output.String(), "Failed to write audit entries"); n != 1 {
		t.Errorf("got %d log messages, want 1", n)
	}
}

// fullDisk returns arguments for sh that run the exporter with a full disk at dir.
func fullDisk(t *testing.T, dir string) []string {
	t.Helper()
	unshare := []string{needProgram(t, "unshare"), "--mount"}
	if os.Geteuid() != 0 {
		unshare = append(unshare, "--user", "--map-root-user")
	}
	if out, err := exec.Command(unshare[0], append(unshare[1:], "true")...).CombinedOutput(); err != nil {
		skip(t, fmt.Sprintf("no mount namespaces: %v, %s", err, out))
	}
	const fill = `mount -t tmpfs -o size=4k tmpfs "$0" && head -c 4096 /dev/zero > "$0/full" && exec "$@"`
	return append([]string{"-c", `exec "$@"`, "sh"}, append(unshare, "sh", "-c", fill, dir, binary(t))...)
}

// TestAuditUsers checks that only authenticated users are recorded, and no passwords.
func TestAuditUsers(t *testing.T) {
	t.Parallel()
	const name, password = "prom", "correct horse"
	file := filepath.Join(t.TempDir(), "audit.log")
	web := writeFile(t, "web.yml", fmt.Sprintf("basic_auth_users: {%s: %s}\n", name, hashPassword(t, password)))
	e := startExporterUnready(t, auditConfig, "--web.config.file="+web, "--audit.file="+file)
	e.url = "http://" + e.addr
	e.awaitListener(t)
	getAs(t, client, e.url+"/probe?target=own", name, password, http.StatusOK)
	getAs(t, client, e.url+"/probe?target=own", "mallory", "wrong", http.StatusUnauthorized)
	checkFields(t, awaitAuditEntries(t, file, 2)[0], map[string]any{"user": name})

	open := filepath.Join(t.TempDir(), "audit.log")
	unprotected := startExporter(t, auditConfig, "--audit.file="+open)
	getAs(t, client, unprotected.url+"/probe?target=own", "mallory", "anything", http.StatusOK)
	if user, there := awaitAuditEntries(t, open, 2)[0]["user"]; there {
		t.Errorf("user = %v for an exporter without authentication, want none", user)
	}
	for _, file := range []string{file, open} {
		if data := readFile(t, file); strings.Contains(data, password) || strings.Contains(data, "anything") {
			t.Errorf("audit file contains a password:\n%s", data)
		}
	}
}

func TestAuditFileUnwritable(t *testing.T) {
	t.Parallel()
	config := writeFile(t, "config.yml", auditConfig)
	o := runExporter(t, "--config.file="+config, "--web.listen-address=127.0.0.1:0", "--audit.file=/nonexistent/audit.log")
	o.wantStatus(t, 1)
	o.wantOutput(t, "--audit.file: opening the audit file: open /nonexistent/audit.log: no such file or directory")
}

// TestAuditAttempts checks that the attempts in the audit file add up to the exporter's counter, for
// shared scans, sweeps and cached answers, and that the scan command appends its scan.
func TestAuditAttempts(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "audit.log")
	e := startExporter(t, `modules:
  few: {ports: "1-10"}
  sweep: {ports: "1-30", rate: 20, timeout: 20s, max_age: 1h}
targets:
  - name: own
    hosts: [127.0.0.77, 127.0.0.79]
    modules: [few, sweep]
    authorization: {owner: "net team", reference: "CHG-1234"}
`, "--audit.file="+file)
	var probes sync.WaitGroup
	for range 5 {
		probes.Go(func() { e.probe(t, "target=own") })
	}
	probes.Wait()
	e.probe(t, "target=own&module=sweep")
	e.probe(t, "target=own&module=sweep")
	e.probe(t, "target=127.0.0.79&module=sweep")
	o := runExporter(t, "--config.file="+e.config, "scan", "own", "--audit.file="+file, "--no-progress")
	o.wantStatus(t, 0)

	attempts, events, sources := 0.0, make(map[any]int), make(map[any]int)
	for line := range strings.Lines(readFile(t, file)) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		events[fields["event"]]++
		sources[fields["source"]]++
		if n, ok := fields["attempts"].(float64); ok && fields["remote"] != "command line" {
			attempts += n
		} else if ok {
			checkFields(t, fields, map[string]any{"event": "scan", "target": "own", "attempts": 20.0, "outcome": "complete"})
		}
	}
	if sent := e.scrapeMetrics(t).sumByPrefix("portscan_exporter_attempts_total"); attempts != sent || sent < 80 {
		t.Errorf("attempts in the audit file = %v, sent %v, want both equal and at least 80", attempts, sent)
	}
	if events["probe"] != 8 || events["scan"] < 3 || sources["cached"] != 2 {
		t.Errorf("events = %v, sources %v, want 8 probes, at least 3 scans, and 2 cached answers", events, sources)
	}
}
