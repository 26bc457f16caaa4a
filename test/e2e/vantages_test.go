// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// TestVantageRules runs the tests of vantage.yml.
func TestVantageRules(t *testing.T) {
	t.Parallel()
	runPromtool(t, "test", "rules", "vantage_test.yml")
}

// networkNamespace returns a command prefix that runs the script and then a command in a new
// network namespace.
func networkNamespace(t *testing.T, script string) []string {
	t.Helper()
	needProgram(t, "ip")
	unshare := []string{needProgram(t, "unshare"), "--net"}
	if os.Getuid() != 0 {
		unshare = append(unshare, "--user", "--map-root-user")
	}
	if out, err := exec.Command(unshare[0], append(unshare[1:], "true")...).CombinedOutput(); err != nil {
		skip(t, fmt.Sprintf("cannot create a network namespace: %v: %s", err, out))
	}
	return append(unshare, "sh", "-c", script+` && exec "$0" "$@"`)
}

// startInNamespace runs the script and the exporter in a new network namespace. The exporter listens
// on a socket of the test's namespace.
func startInNamespace(t *testing.T, script, path, config string) *exporter {
	t.Helper()
	l := listenTCP(t)
	defer l.Close()
	command := append(networkNamespace(t, script), path, "--web.systemd-socket", "--config.file="+writeFile(t, "config.yml", config))
	e := startWithSocket(t, l, command...)
	e.awaitReady(t)
	return e
}

// vantageConfig has expected and unexpected ports.
func vantageConfig(vantage string, s testPorts) string {
	return fmt.Sprintf(`modules:
  few: {ports: [%d, %d, %d, %d]}
targets:
  - name: own
    hosts: [127.0.0.1]
    modules: [few]
    authorization: {owner: "the test"}
    expect: {tcp: {open: "%[1]d,%[2]d"}}
external_labels: {vantage: %[5]s}
`, s.listening, s.down, s.unexpected, s.free, vantage)
}

// awaitDifferingPorts waits until the alert fires for exactly these ports.
func awaitDifferingPorts(t *testing.T, p *prometheusServer, ports ...int) {
	t.Helper()
	var want []string
	for _, port := range ports {
		want = append(want, fmt.Sprintf("own 127.0.0.1 tcp %d", port))
	}
	slices.Sort(want)
	eventually(t, 30*time.Second, "the alert fires for the differing ports", func() error {
		got := []string{}
		for _, a := range p.firingAlerts(t) {
			if a.Labels["alertname"] == "PortscanVantagesDiffer" {
				got = append(got, fmt.Sprintf("%s %s %s %s", a.Labels["instance"], a.Labels["ip"], a.Labels["protocol"], a.Labels["port"]))
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			return fmt.Errorf("alerts = %v, want %v", got, want)
		}
		return nil
	})
}

// TestVantagesDiffer scans one target from two networks.
func TestVantagesDiffer(t *testing.T) {
	t.Parallel()
	s := newTestPorts(t)
	listenLocal(t, s.listening)
	shut := listenLocal(t, s.unexpected)
	in, out := startExporter(t, vantageConfig("inside", s)), startInNamespace(t, "ip link set lo up", binary(t), vantageConfig("outside", s))
	lists := fmt.Sprintf("http_sd_configs: [{url: %s/sd}, {url: %s/sd}]", in.url, out.url)
	p := startPrometheus(t, fmt.Sprintf(`global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [%s]
scrape_configs:
  - {job_name: portscan, %[2]s}
  - {job_name: merged, %[2]s, relabel_configs: [{action: labeldrop, regex: vantage}]}
`, writeImmediateRules(t, filepath.Join(repository, "prometheus", "vantage.yml")), lists))

	awaitDifferingPorts(t, p, s.listening, s.unexpected)
	p.wantValue(t, `count(up{job="portscan"} == 1)`, 2)
	port := func(vantage string) string {
		return fmt.Sprintf(`portscan_port_open{job="portscan",vantage="%s",port="%d"}`, vantage, s.listening)
	}
	p.wantValue(t, port("inside"), 1)
	p.wantValue(t, port("outside"), 0)

	shut()
	awaitDifferingPorts(t, p, s.listening)
	out.terminateAndWait(t)
	awaitDifferingPorts(t, p) // a single vantage cannot be compared
	checkMergedJob(t, p, s.listening)
}

// checkMergedJob checks a job in which both exporters' targets have the same labels, which
// docs/scaling.md warns about.
func checkMergedJob(t *testing.T, p *prometheusServer, port int) {
	t.Helper()
	n := 0
	for _, target := range p.listTargets(t) {
		if target.ScrapePool == "merged" {
			n++
		}
	}
	if n != 2 {
		t.Errorf("job merged has %d targets, want 2", n)
	}
	open := fmt.Sprintf(`portscan_port_open{job="merged",port="%d"}`, port)
	p.wantValue(t, `count(up{job="merged"})`, 1)                                             // two targets write to one series
	p.wantValue(t, fmt.Sprintf("max_over_time(%s[5m]) - min_over_time(%[1]s[5m])", open), 1) // which has the values of both
	p.wantValue(t, `sum(count_over_time(up{job="merged"}[1m])) > bool sum(count_over_time(up{job="portscan",vantage="inside"}[1m]))`, 1)
}
