// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// scrapeConfig returns a Prometheus configuration with the scrape job of the README.
func scrapeConfig(e *exporter, global string) string {
	return fmt.Sprintf(`global: {%s}
scrape_configs:
  - job_name: portscan
    http_sd_configs:
      - url: %s/sd
`, global, e.url)
}

// testPorts are ports of a test by their role.
type testPorts struct {
	listening, down, allowed, unexpected, free int
}

func newTestPorts(t *testing.T) testPorts {
	t.Helper()
	return testPorts{freePort(t), freePort(t), freePort(t), freePort(t), freePort(t)}
}

func (p testPorts) config() string {
	return fmt.Sprintf(`modules:
  quick:
    ports: [%d, %d, %d, %d, %d]
  paced:
    ports: %d
    scrape_interval: 2s
    timeout: 10s
targets:
  - name: own
    hosts: [127.0.0.1]
    modules: [quick, paced]
    authorization: {owner: "the test", reference: "T-1"}
    expect:
      tcp: {open: "%d,%d", allow: "%d"}
    labels: {env: test}
external_labels: {vantage: here}
`, p.listening, p.down, p.allowed, p.unexpected, p.free, p.listening, p.listening, p.down, p.allowed)
}

// portOpenSelector selects the series of a port in module quick.
func portOpenSelector(port int, expected string) string {
	return fmt.Sprintf(`portscan_port_open{instance="own",module="quick",ip="127.0.0.1",port="%d",protocol="tcp",expected="%s"}`, port, expected)
}

func violatingSelector(expected string) string {
	return fmt.Sprintf(`portscan_ports_violating{instance="own",module="quick",ip="127.0.0.1",protocol="tcp",expected="%s"}`, expected)
}

func TestPrometheusPortStates(t *testing.T) {
	t.Parallel()
	s := newTestPorts(t)
	closeListening := listenLocal(t, s.listening)
	listenLocal(t, s.allowed)
	listenLocal(t, s.unexpected)
	e := startExporter(t, s.config())
	p := startPrometheus(t, scrapeConfig(e, "scrape_interval: 1s"))

	targets := p.awaitTargetsUp(t, 2)
	checkScrapeTargets(t, e, targets)
	p.awaitValue(t, 30*time.Second, `probe_success{instance="own",module="quick"}`, 1)
	p.wantValue(t, `up{instance="own",module="quick",job="portscan"}`, 1)
	p.awaitValue(t, 10*time.Second, `up{instance="own",module="paced",job="portscan"}`, 1)
	p.wantValue(t, portOpenSelector(s.listening, "open"), 1)
	p.wantValue(t, portOpenSelector(s.down, "open"), 0)
	p.wantValue(t, portOpenSelector(s.allowed, "any"), 1)
	p.wantValue(t, portOpenSelector(s.unexpected, "closed"), 1)
	p.wantValue(t, violatingSelector("open"), 1)
	p.wantValue(t, violatingSelector("closed"), 1)
	p.wantValue(t, `count(portscan_port_open{module="quick"})`, 4) // an expected closed port is not notable
	p.wantValue(t, `sum(portscan_ports{module="quick"})`, 5)
	p.wantValue(t, `sum(portscan_ports{module="quick",state="closed"})`, 2)
	p.wantValue(t, `portscan_target_info{instance="own",module="quick",target="own",owner="the test",reference="T-1"}`, 1)

	closeListening()
	listenLocal(t, s.down)
	listenLocal(t, s.free)
	changed := time.Now()
	p.awaitValue(t, 10*time.Second, portOpenSelector(s.listening, "open"), 0)
	p.awaitValue(t, 10*time.Second, portOpenSelector(s.down, "open"), 1)
	p.awaitValue(t, 10*time.Second, portOpenSelector(s.free, "closed"), 1)
	p.awaitValue(t, 10*time.Second, violatingSelector("closed"), 2)
	p.wantValue(t, violatingSelector("open"), 1)
	checkFlippedInTime(t, p, changed, portOpenSelector(s.listening, "open"), 0)
	checkFlippedInTime(t, p, changed, portOpenSelector(s.down, "open"), 1)
	checkFlippedInTime(t, p, changed, violatingSelector("closed"), 2)
}

// checkScrapeTargets checks the targets that Prometheus created from /sd.
func checkScrapeTargets(t *testing.T, e *exporter, targets map[string]scrapeTarget) {
	t.Helper()
	for name, want := range map[string]struct {
		query    string
		interval time.Duration
	}{
		"own/quick": {"/probe?module=quick&target=own", time.Second},
		"own/paced": {"/probe?module=paced&target=own", 2 * time.Second},
	} {
		target, ok := targets[name]
		if !ok {
			t.Errorf("target %s is missing: %v", name, slices.Sorted(maps.Keys(targets)))
			continue
		}
		if target.ScrapeURL != e.url+want.query {
			t.Errorf("%s: scrape URL = %s, want %s", name, target.ScrapeURL, e.url+want.query)
		}
		if target.Labels["env"] != "test" || target.Labels["vantage"] != "here" {
			t.Errorf("%s: labels = %v, want env and vantage as configured", name, target.Labels)
		}
		interval, timeout := parseDuration(t, target.ScrapeInterval), parseDuration(t, target.ScrapeTimeout)
		if interval != want.interval || timeout > interval || timeout <= 0 {
			t.Errorf("%s: interval and timeout = %v, %v, want %v and at most that", name, interval, timeout, want.interval)
		}
	}
}

func parseDuration(t *testing.T, text string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// checkFlippedInTime fails the test unless the second scrape after the change, at the latest,
// returned the new value. The time of a sample is the start of its scrape.
func checkFlippedInTime(t *testing.T, p *prometheusServer, changed time.Time, expression string, want float64) {
	t.Helper()
	all := p.query(t, expression+"[2m]")
	if len(all) != 1 {
		t.Errorf("%s: got %d series, want 1", expression, len(all))
		return
	}
	late, seen := 0, false
	for _, s := range all[0].Values {
		if !s.time().After(changed) {
			continue
		}
		if s.value() == want {
			seen = true
			break
		}
		late++
	}
	if !seen || late > 1 {
		t.Errorf("%s: %d scrapes after the change returned the old value (new one seen: %v), want at most 1", expression, late, seen)
	}
}

// TestScrapeTimeoutPartialResult probes a module that takes 65 s with a scrape timeout of 2 s.
func TestScrapeTimeoutPartialResult(t *testing.T) {
	t.Parallel()
	e := startExporter(t, `modules:
  everything: {ports: "1-65535", rate: 1000}
targets:
  - name: own
    hosts: [127.0.0.1]
    modules: [everything]
    authorization: {owner: "the test"}
`)
	p := startPrometheus(t, scrapeConfig(e, "scrape_interval: 3s, scrape_timeout: 2s"))
	target := p.awaitTargetsUp(t, 1)["own/everything"]
	if timeout := parseDuration(t, target.ScrapeTimeout); timeout != 2*time.Second {
		t.Errorf("scrape timeout = %v, want 2s", timeout)
	}
	p.awaitValue(t, 30*time.Second, `up{instance="own"}`, 1)
	p.awaitValue(t, 5*time.Second, `probe_success{instance="own"}`, 0)
	p.wantValue(t, `sum(portscan_ports{instance="own"})`, 65535)
	p.wantValue(t, `portscan_ports_unknown{instance="own",reason="deadline"} > bool 0`, 1)
	p.wantValue(t, `sum(portscan_ports_unknown{instance="own"}) == bool sum(portscan_ports{instance="own",state="unknown"})`, 1)
	p.wantValue(t, `sum(portscan_ports{instance="own",state!="unknown"}) > bool 100`, 1) // the partial result is reported
	p.wantValue(t, `probe_duration_seconds{instance="own"} < bool 2`, 1)
	p.wantValue(t, `min_over_time(up{instance="own"}[2m])`, 1)
}

func TestMetricsPromtoolCheck(t *testing.T) {
	t.Parallel()
	s := newTestPorts(t)
	listenLocal(t, s.listening)
	listenLocal(t, s.unexpected)
	e := startExporter(t, s.config())
	probe := getBody(t, e.url+"/probe?target=own")
	if !strings.Contains(probe, "portscan_port_open{") {
		t.Fatalf("response has no port:\n%s", probe)
	}
	promtoolCheckMetrics(t, probe)
	promtoolCheckMetrics(t, getBody(t, e.url+"/metrics"))
}
