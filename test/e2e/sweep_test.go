// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"testing"
	"time"
)

// TestSweepAcrossScrapes scrapes a scan of 20 s every 5 s with a scrape timeout of 2 s. A port opens
// between two scans.
func TestSweepAcrossScrapes(t *testing.T) {
	t.Parallel()
	port, late := freePort(t), freePort(t)
	listenLocal(t, port)
	e := startExporter(t, fmt.Sprintf(`modules:
  sweep: {ports: ["1-400", %d, %d], rate: 20, timeout: 60s, max_age: 10s}
targets:
  - name: own
    hosts: [127.0.0.1]
    modules: [sweep]
    authorization: {owner: "the test"}
    expect: {tcp: {open: %d}}
`, port, late, port))
	p := startPrometheus(t, scrapeConfig(e, "scrape_interval: 5s, scrape_timeout: 2s"))
	open := func(port int) string { return fmt.Sprintf(`portscan_port_open{port="%d"}`, port) }

	p.awaitValue(t, 30*time.Second, "portscan_scan_progress_ratio > bool 0.1 < bool 1", 1)
	p.wantValue(t, "probe_success", 0)
	p.wantValue(t, "portscan_scan_timestamp_seconds", 0)
	if all := p.query(t, "portscan_port_open"); len(all) != 0 {
		t.Errorf("open ports before the end of the first sweep = %v, want none", all)
	}
	p.awaitValue(t, 60*time.Second, open(port), 1)
	first, err := p.queryValue(t, "portscan_scan_timestamp_seconds")
	if err != nil {
		t.Fatal(err)
	}
	listenLocal(t, late)
	p.awaitValue(t, 30*time.Second, "portscan_exporter_scans_in_flight or portscan_scan_progress_ratio < bool 1", 1)
	if all := p.query(t, open(late)); len(all) != 0 {
		t.Errorf("port opened during the pause is reported before the next sweep: %v", all)
	}
	p.awaitValue(t, 90*time.Second, open(late), 1)
	second, err := p.queryValue(t, "portscan_scan_timestamp_seconds")
	if err != nil || second < first+20 {
		t.Errorf("second sweep ended %v s after the first, %v", second-first, err)
	}

	for _, expression := range []string{open(port), "probe_success == 1", "up == 1"} {
		p.checkUnbroken(t, expression, time.UnixMilli(int64(first*1000)))
	}
	const waits = 2 * time.Second // the time of a sample is the start of its scrape
	for _, v := range p.query(t, "portscan_scan_timestamp_seconds[5m]")[0].Values {
		stamp := v.value()
		if stamp != 0 && stamp != first && stamp != second || time.UnixMilli(int64(stamp*1000)).After(v.time().Add(waits)) {
			t.Errorf("timestamp at %v = %v, want %v or %v", v.time(), stamp, first, second)
		}
	}
}

// checkUnbroken fails the test if the expression has a gap since the given time.
func (p *prometheusServer) checkUnbroken(t *testing.T, expression string, from time.Time) {
	t.Helper()
	const step = time.Second
	steps := int(time.Since(from)/step) - 1
	all := p.query(t, fmt.Sprintf("(%s)[%ds:%ds]", expression, steps, int(step.Seconds())))
	if len(all) != 1 {
		t.Errorf("%s: got %d series, want 1", expression, len(all))
		return
	}
	const scrape = 6 // until the next scrape
	if n := len(all[0].Values); n < steps-scrape {
		t.Errorf("%s has a value for %d of %d s", expression, n, steps)
	}
	t.Logf("%s: %d of %d s", expression, len(all[0].Values), steps)
}

// TestIncompleteSweepAlert scans a network in which an address loses its route after the first sweep,
// so that no later one is complete. A port that opens on another address must raise the shipped alert.
func TestIncompleteSweepAlert(t *testing.T) {
	t.Parallel()
	nsenter := needProgram(t, "nsenter")
	const timeout = 6 // seconds
	config := fmt.Sprintf(`modules:
  sweep: {ports: "1-40", rate: 20, timeout: %ds, max_age: 1s}
targets:
  - name: rack
    hosts: [192.0.2.16/28]
    modules: [sweep]
    authorization: {owner: "the test"}
    expect: {tcp: {}}
`, timeout)
	e := startInNamespace(t, "ip link set lo up && ip address add 192.0.2.17/28 dev lo", binary(t), config)
	inNamespace := []string{"--net=/proc/" + strconv.Itoa(e.cmd.Process.Pid) + "/ns/net"}
	p := startPrometheus(t, scrapeConfig(e, "scrape_interval: 4s, scrape_timeout: 1s, evaluation_interval: 1s")+ // no probe waits for a sweep's end
		fmt.Sprintf("rule_files: [%s]\n", writeImmediateRules(t, rulesDir+"/alerts.yml")))
	p.awaitValue(t, 60*time.Second, "probe_success", 1)
	p.wantValue(t, `count(portscan_ports{state="closed"} == 40)`, 14)

	route := exec.Command(nsenter, append(inNamespace, "ip", "route", "add", "unreachable", "192.0.2.20", "table", "local", "metric", "0")...)
	if out, err := route.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v: %s", route, err, out)
	}
	p.awaitValue(t, 60*time.Second, `portscan_ports_unknown{reason="no_route"}`, 40)
	startProcess(t, nsenter, append(inNamespace, binary(t), "--web.listen-address=192.0.2.25:23",
		"--config.file="+writeFile(t, "empty.yml", "modules: {m: {ports: 1}}\n"))...)
	eventually(t, 60*time.Second, "the alert fires for port 23", func() error {
		for _, a := range p.firingAlerts(t) {
			if a.Labels["alertname"] == "PortscanUnexpectedOpenPort" && a.Labels["ip"] == "192.0.2.25" && a.Labels["port"] == "23" {
				return nil
			}
		}
		return errors.New("it does not")
	})
	p.wantValue(t, "probe_success", 0)

	const sweeps = `portscan_exporter_scans_total{module="sweep"}`
	before := e.scrapeMetrics(t)[sweeps]
	time.Sleep(2 * timeout * time.Second)
	if n := e.scrapeMetrics(t)[sweeps] - before; n > 3 {
		t.Errorf("got %v incomplete sweeps in %d s, want at most one per timeout of %d s", n, 2*timeout, timeout)
	}
}
