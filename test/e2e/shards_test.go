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

// shardGroup is exporters that have one configuration, and share its targets.
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
	f := &shardGroup{config: strings.Replace(text, "targets:", "  more: {ports: \"1-20\"}\ntargets:", 1)}
	for i := range f.exporters {
		f.audits[i] = filepath.Join(t.TempDir(), "audit.log")
		f.exporters[i] = startExporter(t, f.config, "--audit.file="+f.audits[i])
	}
	return f
}

// startPrometheus starts a Prometheus with the jobs that docs/scaling.md shows.
func (f *shardGroup) startPrometheus(t *testing.T) *prometheusServer {
	t.Helper()
	jobs := readExample(t, "docs/scaling.md", "hashmod")
	for i, e := range f.exporters {
		written := fmt.Sprintf("ports-%d.example.org:10115", i)
		if !strings.Contains(jobs, written+`/sd"}`) {
			t.Fatalf("the example does not ask %s for its list:\n%s", written, jobs)
		}
		jobs = strings.ReplaceAll(jobs, written, e.addr)
	}
	jobs = strings.ReplaceAll(jobs, `/sd"}`, `/sd", refresh_interval: 1s}`)
	global := fmt.Sprintf("global: {scrape_interval: %v, scrape_timeout: %v, evaluation_interval: 1s}\n", shardInterval, shardInterval)
	return startPrometheus(t, global+"rule_files: ["+writeImmediateRules(t, filepath.Join(repository, "prometheus", "alerts.yml"))+"]\n"+jobs)
}

// readExample returns the example of a document that has this word in it.
func readExample(t *testing.T, document, word string) string {
	t.Helper()
	return findYAML(t, codeBlocks(document, readFile(t, filepath.Join(repository, document))), word)
}

// writeImmediateRules returns a copy of a file of rules that wait for nothing, and look back for
// seconds where those of the file do for minutes.
func writeImmediateRules(t *testing.T, path string) string {
	t.Helper()
	waits := regexp.MustCompile(`(?m)^(\s*(?:keep_firing_)?for:).*$`)
	looks := regexp.MustCompile(`\[1[05]m\]`)
	return writeFile(t, filepath.Base(path), looks.ReplaceAllString(waits.ReplaceAllString(readFile(t, path), "$1 0s"), "[10s]"))
}

// awaitShardAlerts waits until alerts tell of this exporter and of each of these targets, by
// its name and module. None tells of another.
func awaitShardAlerts(t *testing.T, p *prometheusServer, addr string, targets []string) {
	t.Helper()
	eventually(t, 30*time.Second, "alerts say which exporter is down and what is dark", func() error {
		down, dark := []string{}, []string{}
		for _, a := range p.firingAlerts(t) {
			switch instance := a.Labels["instance"]; a.Labels["alertname"] {
			case "PortscanExporterDown":
				down = append(down, instance)
			case "PortscanScrapeFailing":
				if a.Labels["target"] != instance || a.Labels["owner"] == "" {
					t.Fatalf("an alert does not say whose target it is: %v", a.Labels)
				}
				dark = append(dark, instance+"/"+a.Labels["module"])
			}
		}
		slices.Sort(dark)
		if !slices.Equal(down, []string{addr}) || !slices.Equal(dark, targets) {
			return fmt.Errorf("down are %v, and dark are %v; want %s and %v", down, dark, addr, targets)
		}
		return nil
	})
}

// readScans is when each target was scanned by each of its modules, by the number of the
// exporter and by "target/module".
func (f *shardGroup) readScans(t *testing.T) (all [shardCount]map[string][]time.Time) {
	t.Helper()
	for i, file := range f.audits {
		all[i] = make(map[string][]time.Time)
		for line := range strings.Lines(readFile(t, file)) {
			if !strings.HasSuffix(line, "\n") {
				break // is being written
			}
			var entry struct {
				Time                           time.Time
				Event, Target, Module, Outcome string
			}
			if err := json.Unmarshal([]byte(line), &entry); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			if entry.Event != "scan" || entry.Outcome != "complete" {
				t.Fatalf("exporter %d: %s", i, line)
			}
			name := entry.Target + "/" + entry.Module
			all[i][name] = append(all[i][name], entry.Time)
		}
	}
	return all
}

// awaitScans waits until each target of these exporters was scanned so often after
// that moment, by each of its modules.
func (f *shardGroup) awaitScans(t *testing.T, owners map[string]int, after time.Time, times int) {
	t.Helper()
	eventually(t, 60*time.Second, "every target is scanned", func() error {
		all := f.readScans(t)
		for name, i := range owners {
			n := 0
			for _, at := range all[i][name] {
				if at.After(after) {
					n++
				}
			}
			if n < times {
				return fmt.Errorf("%s: %d times", name, n)
			}
		}
		return nil
	})
}

// awaitOwners waits until every target has been scanned by every module, and returns by
// which exporter. It fails the test if that is more than one, or another one than
// that of the target's other module.
func (f *shardGroup) awaitOwners(t *testing.T) map[string]int {
	t.Helper()
	const modules = 2
	owners, targets := make(map[string]int), make(map[string]int)
	eventually(t, 40*time.Second, "every target has been scanned", func() error {
		for i, names := range f.readScans(t) {
			for name := range names {
				target, _, _ := strings.Cut(name, "/")
				if other, taken := targets[target]; taken && other != i {
					t.Fatalf("%s is scanned by exporters %d and %d", target, other, i)
				}
				owners[name], targets[target] = i, i
			}
		}
		if len(owners) != modules*shardTargets {
			return fmt.Errorf("%d of them", len(owners))
		}
		return nil
	})
	return owners
}

// TestShardsExporterDown has them share the targets of one configuration. One ends, and
// comes again.
func TestShardsExporterDown(t *testing.T) {
	t.Parallel()
	f := newShardGroup(t)
	p := f.startPrometheus(t)
	owners := f.awaitOwners(t)
	f.awaitScans(t, owners, time.Time{}, 4)
	checkScanRate(t, f, owners)
	f.checkScansMatchScrapes(t, p, owners)
	p.wantValue(t, `count(up{job="portscan"} == 1)`, float64(len(owners)))

	const dies = 1
	theirs := make(map[string]int)
	var dark []string
	for name, i := range owners {
		if i == dies {
			dark = append(dark, name)
		} else {
			theirs[name] = i
		}
	}
	slices.Sort(dark)
	t.Logf("of %d, exporter %d has %d: %v", len(owners), dies, len(dark), dark)
	if len(dark) == 0 || len(theirs) == 0 {
		t.Fatal("the targets are not shared: the test does not test")
	}
	f.exporters[dies].terminateAndWait(t)

	eventually(t, 30*time.Second, "its targets are down, and no others", func() error {
		var down []string
		for _, s := range p.query(t, `up{job="portscan"} == 0`) {
			down = append(down, s.Metric["instance"]+"/"+s.Metric["module"])
		}
		slices.Sort(down)
		if !slices.Equal(down, dark) {
			return fmt.Errorf("down are %v, want %v", down, dark)
		}
		return nil
	})
	awaitShardAlerts(t, p, f.exporters[dies].addr, dark)
	f.awaitScans(t, theirs, time.Now(), 2)
	checkScanRate(t, f, f.awaitOwners(t))
	f.checkScansMatchScrapes(t, p, owners)
	eventually(t, 10*time.Second, "Prometheus has asked it in vain for its list", func() error {
		if n := p.scrapeMetrics(t)["prometheus_sd_http_failures_total"]; n < 3 {
			return fmt.Errorf("%v times", n)
		}
		return nil
	})
	p.wantValue(t, `count(up{job="portscan"})`, float64(len(owners))) // and it forgets none

	gone := f.exporters[dies]
	startProcess(t, binary(t), "--config.file="+gone.config, "--web.listen-address="+gone.addr, "--audit.file="+f.audits[dies])
	p.awaitValue(t, 30*time.Second, `count(up{job="portscan"} == 1)`, float64(len(owners)))
	if got := f.awaitOwners(t); !maps.Equal(got, owners) {
		t.Errorf("the targets are shared in another way than before: %v, want %v", got, owners)
	}
}

// checkScanRate fails the test where a target was scanned more often than once in
// each interval. Prometheus's clock ticks at each target's own moment: a busy machine
// makes a scrape late, and never makes one more.
func checkScanRate(t *testing.T, f *shardGroup, owners map[string]int) {
	t.Helper()
	all := f.readScans(t)
	for name, i := range owners {
		times := all[i][name]
		took := times[len(times)-1].Sub(times[0])
		if most := int(took/shardInterval) + 2; len(times) > most {
			t.Errorf("%s was scanned %d times in %v, want %d at the most", name, len(times), took, most)
		}
	}
}

// checkScansMatchScrapes fails the test unless Prometheus scrapes each target once an interval,
// and the exporters have scanned each as often as it was scraped. Both are counted, and
// no time is measured: a busy machine makes both late alike.
func (f *shardGroup) checkScansMatchScrapes(t *testing.T, p *prometheusServer, owners map[string]int) {
	t.Helper()
	for _, target := range p.listTargets(t) {
		if target.ScrapeInterval != shardInterval.String() {
			t.Errorf("%s is scraped every %s, want %v", target.name(), target.ScrapeInterval, shardInterval)
		}
	}
	const looks = `%s_over_time(up{job="portscan"}[10m])`
	before, asked := f.readScans(t), countByTarget(p.query(t, fmt.Sprintf(looks, "count")))
	answered, after := countByTarget(p.query(t, fmt.Sprintf(looks, "sum"))), f.readScans(t)
	for name, i := range owners {
		// One may be under way, or on its way to the file.
		if most := asked[name] + 1; len(before[i][name]) > most {
			t.Errorf("%s was scanned %d times, and scraped %d times", name, len(before[i][name]), asked[name])
		}
		if least := answered[name] - 1; len(after[i][name]) < least {
			t.Errorf("%s was scanned %d times, and scraped %d times with success", name, len(after[i][name]), answered[name])
		}
	}
}

// countByTarget is what a query says of each target, by "target/module".
func countByTarget(all []series) map[string]int {
	values := make(map[string]int)
	for _, s := range all {
		values[s.Metric["instance"]+"/"+s.Metric["module"]] = int(s.Value.value())
	}
	return values
}

// terminateAndWait ends the program and waits until it is gone.
func (p *process) terminateAndWait(t *testing.T) {
	t.Helper()
	p.terminate(t)
	<-p.done
}

// alert is one as Prometheus shows it.
type alert struct {
	Labels map[string]string
	State  string
}

// firingAlerts returns the alerts that fire.
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
