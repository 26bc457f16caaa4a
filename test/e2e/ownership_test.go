// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// silentServer is a name server that does not answer.
const silentServer = "203.0.113.53"

// ownedNetwork makes addresses of this host, a default route to nowhere, and a set that counts
// packets by destination.
const ownedNetwork = `ip link set lo up && ip link add out arp off type veth peer name nowhere &&
ip link set nowhere arp off && ip link set nowhere up && ip link set out up &&
ip address add 198.18.0.1/32 dev out && ip route add default dev out &&
for a in 1 2 3; do ip address add 192.0.2.$a/32 dev lo || exit; done &&
nft 'table ip sent { set to { type ipv4_addr; flags dynamic; counter; size 1000; }
	chain out { type filter hook output priority -400; update @to { ip daddr }; }; }'`

// ownershipConfig has a target with a name and one without hosts.
const ownershipConfig = `modules:
  few: {ports: "1-9", port_timeout: 100ms, timeout: 3s}
  sweep: {ports: "1-100", rate: 20, timeout: 60s, max_age: 1h}
targets:
  - {name: web, hosts: [web.example.org., 192.0.2.3], networks: [192.0.2.0/24], modules: [few, sweep], authorization: {owner: me}}
  - {name: asked, networks: [198.51.100.0/28], modules: [few], authorization: {owner: me}}
`

// namesCommand returns a command prefix that replaces the names of the host, whose name server is
// silent.
func namesCommand(t *testing.T, hosts string) []string {
	t.Helper()
	resolver := writeFile(t, "resolv.conf", "nameserver "+silentServer+"\noptions timeout:1 attempts:1\n")
	const script = `mount --bind "$0" /etc/hosts && mount --bind "$1" /etc/resolv.conf && shift && exec "$@"`
	return []string{needProgram(t, "unshare"), "--mount", "sh", "-c", script, hosts, resolver}
}

// parseSent returns the destinations in the listing of ownedNetwork's set, in order.
func parseSent(listing string) []string {
	sent := make(map[string]bool)
	for _, m := range regexp.MustCompile(`([\d.]+) counter packets`).FindAllStringSubmatch(listing, -1) {
		sent[m[1]] = true
	}
	return slices.Sorted(maps.Keys(sent))
}

// TestScanAddressPackets scans addresses with the command and counts the packets on the wire: only
// addresses inside a target receive any. Failed lookups are in the audit file.
func TestScanAddressPackets(t *testing.T) {
	t.Parallel()
	needProgram(t, "nft")
	config := writeFile(t, "config.yml", ownershipConfig)
	for _, tc := range []struct {
		names, target string
		status        int
		sent          []string
		outcome       string // in the audit file; "": refused
		text          string
	}{
		{"192.0.2.1 web.example.org", "192.0.2.1", 0, []string{"192.0.2.1"}, "complete", ""},
		{"192.0.2.1 web.example.org", "192.0.2.2", 2, nil, "", `hosts of target "web" does not lead to address 192.0.2.2`},
		{"192.0.2.1 web.example.org", "192.0.2.3", 0, []string{"192.0.2.3"}, "complete", ""},
		{"192.0.2.1 web.example.org", "127.9.9.9", 2, nil, "", `target "127.9.9.9" is not configured`},
		{"192.0.2.1 web.example.org", "198.51.100.1", 0, []string{"198.51.100.1"}, "complete", ""},
		{"192.0.2.1 web.example.org", "198.51.100.16", 2, nil, "", `target "198.51.100.16" is not configured`},
		{"192.0.2.1 web.example.org", "asked", 2, nil, "", `target "asked" has no hosts`},
		{"192.0.2.1 other.example.org", "192.0.2.1", 2, []string{silentServer}, "failed", "scan incomplete (dns): resolving web.example.org."},
	} {
		audit := filepath.Join(t.TempDir(), "audit.log")
		args := slices.Concat(networkNamespace(t, ownedNetwork), namesCommand(t, writeFile(t, "hosts", tc.names+"\n")),
			[]string{"sh", "-c", `"$0" "$@"; status=$?; nft list set ip sent to; exit $status`, binary(t), "scan", "--config.file=" + config, "--audit.file=" + audit, tc.target})
		out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput()
		if _, failed := errors.AsType[*exec.ExitError](err); err != nil && !failed {
			t.Fatal(err)
		}
		if got := parseSent(string(out)); !slices.Equal(got, tc.sent) || !strings.Contains(string(out), tc.text) || (err == nil) != (tc.status == 0) {
			t.Errorf("scan %s: %v, packets to %v, want exit status %d, packets to %v and %q in:\n%s", tc.target, err, got, tc.status, tc.sent, tc.text, out)
		}
		if tc.outcome == "" {
			continue
		}
		entry := awaitAuditEntries(t, audit, 1)[0]
		checkFields(t, entry, map[string]any{"event": "scan", "target": map[bool]string{true: "asked", false: "web"}[tc.target == "198.51.100.1"], "outcome": tc.outcome})
	}
}

// ownedExporter is an exporter in a namespace with ownedNetwork and names of its own.
type ownedExporter struct {
	*exporter

	hosts string // file
	audit string // file
}

func startOwnedExporter(t *testing.T, names string) *ownedExporter {
	t.Helper()
	needProgram(t, "nft")
	e := &ownedExporter{hosts: writeFile(t, "hosts", names), audit: filepath.Join(t.TempDir(), "audit.log")}
	l := listenTCP(t)
	defer l.Close()
	e.exporter = startWithSocket(t, l, slices.Concat(networkNamespace(t, ownedNetwork), namesCommand(t, e.hosts),
		[]string{binary(t), "--web.systemd-socket", "--config.file=" + writeFile(t, "config.yml", ownershipConfig), "--audit.file=" + e.audit})...)
	e.awaitReady(t)
	return e
}

// setNames replaces the names, and returns when the exporter uses them.
func (e *ownedExporter) setNames(t *testing.T, names string) {
	t.Helper()
	if err := os.WriteFile(e.hosts, []byte(names), 0o600); err != nil {
		t.Fatal(err)
	}
	time.Sleep(6 * time.Second) // the resolver of Go caches the file for 5 s
}

// takeSent returns the destinations of packets since the last call.
func (e *ownedExporter) takeSent(t *testing.T) []string {
	t.Helper()
	const script = "nft list set ip sent to && nft flush set ip sent to"
	return parseSent(runCommand(t, exec.Command(needProgram(t, "nsenter"), "--net=/proc/"+strconv.Itoa(e.cmd.Process.Pid)+"/ns/net", "sh", "-c", script)))
}

// TestResumedSweepNameMoved suspends sweeps, moves a name of their target and resumes them: the
// earlier address of the name receives no packets.
func TestResumedSweepNameMoved(t *testing.T) {
	t.Parallel()
	e := startOwnedExporter(t, "192.0.2.1 web.example.org\n")
	// The first one runs on without its probe, and takes the place of the others.
	for _, target := range []string{"192.0.2.3", "web", "192.0.2.1"} {
		e.probe(t, "target="+target+"&module=sweep", timeoutHeader, "2")
	}
	suspended := awaitAuditEntries(t, e.audit, 5)
	if sent := e.takeSent(t); !slices.Equal(sent, []string{"192.0.2.1", "192.0.2.3"}) {
		t.Errorf("packets to %v, want 192.0.2.1 and 192.0.2.3", sent)
	}
	var ids []any
	for _, entry := range suspended {
		if entry["event"] == "scan" {
			checkFields(t, entry, map[string]any{"outcome": "suspended"})
			ids = append(ids, entry["id"])
		}
	}
	if len(ids) != 2 {
		t.Errorf("suspended scans = %v, want 2", ids)
	}

	e.setNames(t, "192.0.2.2 web.example.org\n")
	e.takeSent(t)
	wantStatus(t, e.url+"/probe?target=192.0.2.1&module=sweep", http.StatusForbidden)
	eventually(t, 60*time.Second, "the sweep is complete", func() error {
		if m := e.probe(t, "target=web&module=sweep", timeoutHeader, "9"); m["probe_success"] != 1 {
			return fmt.Errorf("addresses = %v", m["portscan_addresses"])
		}
		return nil
	})
	if sent := e.takeSent(t); !slices.Equal(sent, []string{"192.0.2.2", "192.0.2.3"}) {
		t.Errorf("packets to %v after the name moved, want 192.0.2.2 and 192.0.2.3", sent)
	}
	m := e.probe(t, "target=web&module=sweep")
	m.wantValue(t, "portscan_addresses", 2)
	for series := range m {
		if strings.Contains(series, `"192.0.2.1"`) {
			t.Errorf("answer has %s after the name moved", series)
		}
	}
	if sent := e.takeSent(t); len(sent) != 0 {
		t.Errorf("packets to %v for a cached result, want none", sent)
	}
}

// TestAuditFailedLookup probes an address whose permission depends on a name that is not resolved.
func TestAuditFailedLookup(t *testing.T) {
	t.Parallel()
	e := startOwnedExporter(t, "192.0.2.1 other.example.org\n")
	e.takeSent(t)
	m := e.probe(t, "target=192.0.2.1")
	m.wantValue(t, "probe_success", 0)
	m.wantValue(t, `portscan_scan_failed{reason="dns"}`, 1)
	if sent := e.takeSent(t); !slices.Equal(sent, []string{silentServer}) {
		t.Errorf("packets to %v, want %s", sent, silentServer)
	}
	all := awaitAuditEntries(t, e.audit, 2)
	checkFields(t, all[0], map[string]any{"event": "scan", "target": "web", "outcome": "failed", "reason": "dns", "attempts": 0.0})
	checkFields(t, all[1], map[string]any{"event": "probe", "target": "192.0.2.1", "scan": all[0]["id"], "source": "fresh", "status": 200.0})
	if all[0]["id"] == "" || all[0]["remote"] != all[1]["remote"] {
		t.Errorf("entries = %v, want the same client and an ID", all)
	}
}
