// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
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
