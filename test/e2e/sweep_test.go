package e2e

import (
	"fmt"
	"testing"
	"time"
)

// TestSweepAcrossScrapes has a scan of 40 s, scraped every 5 s by a real Prometheus that waits no
// more than 2 s, and a port that opens between two of them.
func TestSweepAcrossScrapes(t *testing.T) {
	t.Parallel()
	port, late := freePort(t), freePort(t)
	listenLocal(t, port)
	e := startExporter(t, fmt.Sprintf(`modules:
  sweep: {ports: ["1-800", %d, %d], rate: 20, timeout: 60s, max_age: 10s}
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
		t.Errorf("before the first sweep is over there is %v", all)
	}
	p.awaitValue(t, 60*time.Second, open(port), 1)
	first, err := p.queryValue(t, "portscan_scan_timestamp_seconds")
	if err != nil {
		t.Fatal(err)
	}
	listenLocal(t, late)
	p.awaitValue(t, 30*time.Second, "portscan_exporter_scans_in_flight or portscan_scan_progress_ratio < bool 1", 1)
	if all := p.query(t, open(late)); len(all) != 0 {
		t.Errorf("the port that has just opened is there already: %v", all)
	}
	p.awaitValue(t, 90*time.Second, open(late), 1)
	second, err := p.queryValue(t, "portscan_scan_timestamp_seconds")
	if err != nil || second < first+30 {
		t.Errorf("the second sweep ended %v s after the first, %v", second-first, err)
	}

	for _, expression := range []string{open(port), "probe_success == 1", "up == 1"} {
		p.checkUnbroken(t, expression, time.UnixMilli(int64(first*1000)))
	}
	const waits = 2 * time.Second // a sample has the time at which its scrape began
	for _, v := range p.query(t, "portscan_scan_timestamp_seconds[5m]")[0].Values {
		stamp := v.value()
		if stamp != 0 && stamp != first && stamp != second || time.UnixMilli(int64(stamp*1000)).After(v.time().Add(waits)) {
			t.Errorf("at %v the timestamp is %v, want %v or %v", v.time(), stamp, first, second)
		}
	}
}

// checkUnbroken fails the test where the expression was without a value from then on.
func (p *prometheusServer) checkUnbroken(t *testing.T, expression string, from time.Time) {
	t.Helper()
	const step = time.Second
	steps := int(time.Since(from)/step) - 1
	all := p.query(t, fmt.Sprintf("(%s)[%ds:%ds]", expression, steps, int(step.Seconds())))
	if len(all) != 1 {
		t.Errorf("%s has %d series", expression, len(all))
		return
	}
	const scrape = 6 // until the first scrape after it
	if n := len(all[0].Values); n < steps-scrape {
		t.Errorf("%s has a value for %d of %d s", expression, n, steps)
	}
	t.Logf("%s: %d of %d s", expression, len(all[0].Values), steps)
}
