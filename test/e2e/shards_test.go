// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	shardCount    = 3
	shardTargets  = 12
	shardInterval = 2 * time.Second
)

// shardGroup is a group of exporters that share the targets of one configuration.
type shardGroup struct {
	config    string
	exporters [shardCount]*exporter
	audits    [shardCount]string
}

func newShardGroup(t *testing.T) *shardGroup {
	t.Helper()
	var names []string
	for i := range shardTargets {
		names = append(names, fmt.Sprintf("target-%d", i))
	}
	text := strings.ReplaceAll(targetsConfig(names...), "[few]", "[few, more]")
	g := &shardGroup{config: strings.Replace(text, "targets:", "  more: {ports: \"1-20\"}\ntargets:", 1)}
	for i := range g.exporters {
		g.audits[i] = filepath.Join(t.TempDir(), "audit.log")
		g.exporters[i] = startExporter(t, g.config, "--audit.file="+g.audits[i])
	}
	return g
}

// startPrometheus starts Prometheus with the jobs in docs/scaling.md.
func (g *shardGroup) startPrometheus(t *testing.T) *prometheusServer {
	t.Helper()
	jobs := readExample(t, "docs/scaling.md", "hashmod")
	for i, e := range g.exporters {
		written := fmt.Sprintf("ports-%d.example.org:10115", i)
		if !strings.Contains(jobs, written+`/sd"}`) {
			t.Fatalf("example does not discover targets from %s:\n%s", written, jobs)
		}
		jobs = strings.ReplaceAll(jobs, written, e.addr)
	}
	jobs = strings.ReplaceAll(jobs, `/sd"}`, `/sd", refresh_interval: 1s}`)
	global := fmt.Sprintf("global: {scrape_interval: %v, scrape_timeout: %v, evaluation_interval: 1s}\n", shardInterval, shardInterval)
	return startPrometheus(t, global+"rule_files: ["+writeImmediateRules(t, filepath.Join(repository, "prometheus", "alerts.yml"))+"]\n"+jobs)
}

// readExample returns the YAML block of a document that contains the word.
func readExample(t *testing.T, document, word string) string {
	t.Helper()
	return findYAML(t, codeBlocks(document, readFile(t, filepath.Join(repository, document))), word)
}

// writeImmediateRules writes a copy of a rule file without waiting times and with ranges of 10s.
func writeImmediateRules(t *testing.T, path string) string {
	t.Helper()
	waits := regexp.MustCompile(`(?m)^(\s*(?:keep_firing_)?for:).*$`)
	looks := regexp.MustCompile(`\[1[05]m\]`)
	return writeFile(t, filepath.Base(path), looks.ReplaceAllString(waits.ReplaceAllString(readFile(t, path), "$1 0s"), "[10s]"))
}

// awaitShardAlerts waits until alerts fire for this exporter and these targets, given as
// target/module, and for no others.
func awaitShardAlerts(t *testing.T, p *prometheusServer, addr string, targets []string) {
	t.Helper()
	eventually(t, 30*time.Second, "alerts fire for the exporter and its targets", func() error {
		down, failing := []string{}, []string{}
		for _, a := range p.firingAlerts(t) {
			switch instance := a.Labels["instance"]; a.Labels["alertname"] {
			case "PortscanExporterDown":
				down = append(down, instance)
			case "PortscanScrapeFailing":
				if a.Labels["target"] != instance || a.Labels["owner"] == "" {
					t.Fatalf("alert has no owner or a wrong target: %v", a.Labels)
				}
				failing = append(failing, instance+"/"+a.Labels["module"])
			}
		}
		slices.Sort(failing)
		if !slices.Equal(down, []string{addr}) || !slices.Equal(failing, targets) {
			return fmt.Errorf("exporters down = %v, failing targets = %v, want %s, %v", down, failing, addr, targets)
		}
		return nil
	})
}

// readScans returns the times of all scans in the audit files, by exporter and by target/module.
func (g *shardGroup) readScans(t *testing.T) (all [shardCount]map[string][]time.Time) {
	t.Helper()
	for i, file := range g.audits {
		all[i] = make(map[string][]time.Time)
		for line := range strings.Lines(readFile(t, file)) {
			if !strings.HasSuffix(line, "\n") {
				break // incomplete line
			}
			var entry struct {
				Time                           time.Time
				Event, Target, Module, Outcome string
			}
			if err := json.Unmarshal([]byte(line), &entry); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			if entry.Event == "probe" {
				continue
			}
			if entry.Event != "scan" || entry.Outcome != "complete" {
				t.Fatalf("exporter %d has an incomplete scan: %s", i, line)
			}
			name := entry.Target + "/" + entry.Module
			all[i][name] = append(all[i][name], entry.Time)
		}
	}
	return all
}

// awaitScans waits until each target has been scanned a number of times after the given time.
func (g *shardGroup) awaitScans(t *testing.T, owners map[string]int, after time.Time, times int) {
	t.Helper()
	eventually(t, 60*time.Second, "all targets are scanned again", func() error {
		all := g.readScans(t)
		for name, i := range owners {
			n := 0
			for _, at := range all[i][name] {
				if at.After(after) {
					n++
				}
			}
			if n < times {
				return fmt.Errorf("%s: got %d scans", name, n)
			}
		}
		return nil
	})
}

// awaitOwners waits until each target/module has been scanned and returns the exporter that scanned
// it. All modules of a target must have the same exporter.
func (g *shardGroup) awaitOwners(t *testing.T) map[string]int {
	t.Helper()
	const modules = 2
	owners, targets := make(map[string]int), make(map[string]int)
	eventually(t, 40*time.Second, "all targets are scanned", func() error {
		for i, names := range g.readScans(t) {
			for name := range names {
				target, _, _ := strings.Cut(name, "/")
				if other, taken := targets[target]; taken && other != i {
					t.Fatalf("%s was scanned by exporters %d and %d, want one", target, other, i)
				}
				owners[name], targets[target] = i, i
			}
		}
		if len(owners) != modules*shardTargets {
			return fmt.Errorf("got %d targets", len(owners))
		}
		return nil
	})
	return owners
}

// TestShardsExporterDown stops one of several exporters and starts it again.
func TestShardsExporterDown(t *testing.T) {
	t.Parallel()
	g := newShardGroup(t)
	p := g.startPrometheus(t)
	owners := g.awaitOwners(t)
	g.awaitScans(t, owners, time.Time{}, 4)
	g.checkScanRate(t, owners)
	g.checkScansMatchScrapes(t, p, owners)
	p.wantValue(t, `count(up{job="portscan"} == 1)`, float64(len(owners)))

	const stopped = 1
	remaining := make(map[string]int)
	var failing []string
	for name, i := range owners {
		if i == stopped {
			failing = append(failing, name)
		} else {
			remaining[name] = i
		}
	}
	slices.Sort(failing)
	t.Logf("of %d targets exporter %d has %d: %v", len(owners), stopped, len(failing), failing)
	if len(failing) == 0 || len(remaining) == 0 {
		t.Fatal("targets are not distributed over the exporters")
	}
	g.exporters[stopped].terminateAndWait(t)

	eventually(t, 30*time.Second, "the targets of the stopped exporter are down", func() error {
		var down []string
		for _, s := range p.query(t, `up{job="portscan"} == 0`) {
			down = append(down, s.Metric["instance"]+"/"+s.Metric["module"])
		}
		slices.Sort(down)
		if !slices.Equal(down, failing) {
			return fmt.Errorf("targets down = %v, want %v", down, failing)
		}
		return nil
	})
	awaitShardAlerts(t, p, g.exporters[stopped].addr, failing)
	g.awaitScans(t, remaining, time.Now(), 2)
	g.checkScanRate(t, g.awaitOwners(t))
	g.checkScansMatchScrapes(t, p, owners)
	eventually(t, 10*time.Second, "service discovery has failed", func() error {
		if n := p.scrapeMetrics(t)["prometheus_sd_http_failures_total"]; n < 3 {
			return fmt.Errorf("got %v failures", n)
		}
		return nil
	})
	p.wantValue(t, `count(up{job="portscan"})`, float64(len(owners))) // targets are kept while service discovery fails

	gone := g.exporters[stopped]
	startProcess(t, binary(t), "--config.file="+gone.config, "--web.listen-address="+gone.addr, "--audit.file="+g.audits[stopped])
	p.awaitValue(t, 30*time.Second, `count(up{job="portscan"} == 1)`, float64(len(owners)))
	if got := g.awaitOwners(t); !maps.Equal(got, owners) {
		t.Errorf("targets by exporter = %v, want %v as before", got, owners)
	}
}

// checkScanRate fails the test if a target was scanned more than once in an interval. A busy
// machine delays scrapes, but does not add any.
func (g *shardGroup) checkScanRate(t *testing.T, owners map[string]int) {
	t.Helper()
	all := g.readScans(t)
	for name, i := range owners {
		times := all[i][name]
		took := times[len(times)-1].Sub(times[0])
		if most := int(took/shardInterval) + 2; len(times) > most {
			t.Errorf("%s: got %d scans in %v, want at most %d", name, len(times), took, most)
		}
	}
}

// checkScansMatchScrapes compares the number of scans of each target with the number of scrapes. It
// does not measure times, so it is independent of the load of the machine.
func (g *shardGroup) checkScansMatchScrapes(t *testing.T, p *prometheusServer, owners map[string]int) {
	t.Helper()
	active, _ := p.listActiveTargets(t)
	for _, target := range active {
		if target.ScrapeInterval != shardInterval.String() {
			t.Errorf("%s: scrape interval = %s, want %v", target.name(), target.ScrapeInterval, shardInterval)
		}
	}
	const looks = `%s_over_time(up{job="portscan"}[10m])`
	before, asked := g.readScans(t), countByTarget(p.query(t, fmt.Sprintf(looks, "count")))
	answered, after := countByTarget(p.query(t, fmt.Sprintf(looks, "sum"))), g.readScans(t)
	for name, i := range owners {
		// One scan can be running or missing in the file.
		if most := asked[name] + 1; len(before[i][name]) > most {
			t.Errorf("%s: got %d scans and %d scrapes", name, len(before[i][name]), asked[name])
		}
		if least := answered[name] - 1; len(after[i][name]) < least {
			t.Errorf("%s: got %d scans and %d successful scrapes", name, len(after[i][name]), answered[name])
		}
	}
}

// countByTarget returns the values of series by target/module.
func countByTarget(all []series) map[string]int {
	values := make(map[string]int)
	for _, s := range all {
		values[s.Metric["instance"]+"/"+s.Metric["module"]] = int(s.Value.value())
	}
	return values
}

// terminateAndWait sends SIGTERM and waits until the program has ended.
func (p *process) terminateAndWait(t *testing.T) {
	t.Helper()
	p.terminate(t)
	<-p.done
}

// alert is an alert in the format of the Prometheus API.
type alert struct {
	Labels map[string]string
	State  string
}

// firingAlerts returns the firing alerts.
func (p *prometheusServer) firingAlerts(t *testing.T) (all []alert) {
	t.Helper()
	var a struct{ Data struct{ Alerts []alert } }
	getJSON(t, p.url+"/api/v1/alerts", &a)
	for _, each := range a.Data.Alerts {
		if each.State == "firing" {
			all = append(all, each)
		}
	}
	return all
}
