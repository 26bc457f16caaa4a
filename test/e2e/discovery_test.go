// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// awaitTargets waits until Prometheus has exactly these targets.
func (p *prometheusServer) awaitTargets(t *testing.T, want ...string) {
	t.Helper()
	slices.Sort(want)
	eventually(t, 30*time.Second, "Prometheus has the targets", func() error {
		if got := p.targetNames(t); !slices.Equal(got, want) {
			return fmt.Errorf("got %v, want %v", got, want)
		}
		return nil
	})
}

// targetNames returns the targets of Prometheus with their modules, sorted.
func (p *prometheusServer) targetNames(t *testing.T) (names []string) {
	t.Helper()
	for _, target := range p.listTargets(t) {
		names = append(names, target.name())
	}
	slices.Sort(names)
	return names
}

// checkTargetsKept fails the test if the targets change before Prometheus has refreshed its list
// and applied it.
func (p *prometheusServer) checkTargetsKept(t *testing.T, want ...string) {
	t.Helper()
	slices.Sort(want)
	// The next sync may apply an older list, so wait for two.
	const asked, took, more = "prometheus_sd_refresh_duration_seconds_count", "prometheus_target_sync_length_seconds_count", 2
	before := p.scrapeMetrics(t)
	eventually(t, 60*time.Second, "Prometheus has refreshed its targets", func() error {
		if got := p.targetNames(t); !slices.Equal(got, want) {
			t.Fatalf("targets = %v, want %v", got, want)
		}
		now := p.scrapeMetrics(t)
		if a, b := now.sumByPrefix(asked)-before.sumByPrefix(asked), now.sumByPrefix(took)-before.sumByPrefix(took); a < more || b < more {
			return fmt.Errorf("got %v refreshes and %v syncs, want %d", a, b, more)
		}
		return nil
	})
}

// frequentJob returns the scrape job of the README with a refresh interval of 1s.
func frequentJob(e *exporter) string {
	return scrapeConfig(e, "scrape_interval: 5s") + "        refresh_interval: 1s\n"
}

// TestDiscoveryAfterReload changes the exporter's configuration without reloading Prometheus.
func TestDiscoveryAfterReload(t *testing.T) {
	t.Parallel()
	both := func(names ...string) string {
		text := strings.Replace(targetsConfig(names...), "targets:", "  more: {ports: \"1-20\"}\ntargets:", 1)
		return strings.Replace(text, "[few]", "[few, more]", 1) // only in the first target
	}
	e := startExporter(t, both("first", "second"))
	p := startPrometheus(t, frequentJob(e))
	p.awaitTargets(t, "first/few", "first/more", "second/few")

	replaceFile(t, e.config, both("second", "third", "fourth"))
	postReload(t, e, http.StatusOK)
	want := []string{"second/few", "second/more", "third/few", "fourth/few"}
	p.awaitTargets(t, want...)

	replaceFile(t, e.config, badConfig("fifth"))
	postReload(t, e, http.StatusInternalServerError)
	p.checkTargetsKept(t, want...)
	p.awaitTargetsUp(t, len(want))

	replaceFile(t, e.config, "modules: {few: {ports: 1}}\ntargets: []\n")
	postReload(t, e, http.StatusOK)
	p.awaitTargets(t) // an empty list removes all targets
}

// timesConfig has modules with different timeouts and scrape intervals.
const timesConfig = `modules:
  plain: {ports: 1}
  fast: {ports: 1, timeout: 9s, scrape_interval: 2s}
  odd: {ports: 1, timeout: 9250ms, scrape_interval: 1m30s}
  slow: {ports: 1, timeout: 20m, scrape_interval: 10m}
  daily: {ports: 1, timeout: 1h, scrape_interval: 1d}
targets:
  - name: own
    hosts: [127.0.0.1]
    modules: [plain, fast, odd, slow, daily]
    authorization: {owner: "the test"}
`

// TestDiscoveryScrapeTimes combines the intervals and timeouts of modules, jobs and the global
// configuration.
func TestDiscoveryScrapeTimes(t *testing.T) {
	t.Parallel()
	e := startExporter(t, timesConfig)
	type times struct{ interval, timeout time.Duration }
	modules := map[string]times{
		"fast":  {2 * time.Second, 2 * time.Second},
		"odd":   {90 * time.Second, 9750 * time.Millisecond},
		"slow":  {10 * time.Minute, 10 * time.Minute},
		"daily": {24 * time.Hour, time.Hour + 500*time.Millisecond},
	}
	for global, jobs := range map[string]map[string]times{ // with the times of a module that sets no scrape_interval
		"": {
			"":                    {time.Minute, 10 * time.Second},
			"scrape_interval: 3s": {3 * time.Second, 3 * time.Second},
			"scrape_timeout: 55s": {time.Minute, 55 * time.Second},
			"scrape_interval: 2h, scrape_timeout: 2h": {2 * time.Hour, 2 * time.Hour},
		},
		"scrape_interval: 1s, scrape_timeout: 1s": {
			"":                      {time.Second, time.Second},
			"scrape_interval: 1h":   {time.Hour, time.Second},
			"scrape_timeout: 500ms": {time.Second, 500 * time.Millisecond},
			"scrape_interval: 5s, scrape_timeout: 4s": {5 * time.Second, 4 * time.Second},
		},
		"scrape_interval: 1h, scrape_timeout: 45m": {
			"":                    {time.Hour, 45 * time.Minute},
			"scrape_interval: 5s": {5 * time.Second, 5 * time.Second},
			"scrape_timeout: 1s":  {time.Hour, time.Second},
		},
		"scrape_interval: 4s": {
			"":                   {4 * time.Second, 4 * time.Second},
			"scrape_timeout: 1s": {4 * time.Second, time.Second},
		},
	} {
		t.Run(global, func(t *testing.T) {
			t.Parallel()
			var config strings.Builder
			fmt.Fprintf(&config, "global: {%s}\nscrape_configs:\n", global)
			for own := range jobs {
				comma := ", "
				if own == "" {
					comma = ""
				}
				fmt.Fprintf(&config, "  - {job_name: %q%s%s, http_sd_configs: [{url: %q}]}\n", "job "+own, comma, own, e.url+"/sd")
			}
			p := startPrometheus(t, config.String())
			var active []scrapeTarget
			eventually(t, 30*time.Second, "Prometheus has all targets", func() error {
				active = p.listTargets(t)
				if want := len(jobs) * (1 + len(modules)); len(active) != want {
					return fmt.Errorf("got %d targets, want %d", len(active), want)
				}
				return nil
			})
			for _, target := range active {
				want, ok := modules[target.Labels["module"]]
				if !ok {
					want = jobs[strings.TrimPrefix(target.ScrapePool, "job ")]
				}
				got := times{parseDuration(t, target.ScrapeInterval), parseDuration(t, target.ScrapeTimeout)}
				if got != want {
					t.Errorf("%s, %s: interval and timeout = %v, %v, want %v", target.ScrapePool, target.name(), got.interval, got.timeout, want)
				}
			}
		})
	}
}
