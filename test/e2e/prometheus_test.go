package e2e

import (
	"fmt"
	"maps"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// prometheusServer is a running Prometheus.
type prometheusServer struct {
	*process
	url     string
	started time.Time
}

// startPrometheus starts a Prometheus whose scrape configuration is the given text,
// and waits until it answers.
func startPrometheus(t *testing.T, config string) *prometheusServer {
	t.Helper()
	path := needProgram(t, "prometheus")
	addr := freeAddress(t)
	file := writeFile(t, "prometheus.yml", config)
	p := &prometheusServer{url: "http://" + addr, started: time.Now()}
	p.process = startProcess(t, path, "--config.file="+file, "--web.listen-address="+addr, "--log.level=warn",
		"--storage.tsdb.path="+filepath.Join(filepath.Dir(file), "data"))
	eventually(t, 30*time.Second, "Prometheus is ready", func() error {
		p.checkRunning(t)
		return checkStatus(p.url+"/-/ready", 200)
	})
	return p
}

// series is one series of a query's result.
type series struct {
	Metric map[string]string
	Value  sample   // of an instant vector
	Values []sample // of a range vector
}

// sample is a time in seconds and a value.
type sample [2]any

func (s sample) time() time.Time {
	return time.UnixMilli(int64(s[0].(float64) * 1000))
}

func (s sample) value() float64 {
	v, err := strconv.ParseFloat(s[1].(string), 64)
	if err != nil {
		panic(err)
	}
	return v
}

// query asks Prometheus.
func (p *prometheusServer) query(t *testing.T, expression string) []series {
	t.Helper()
	var a struct {
		Data struct{ Result []series }
	}
	getJSON(t, p.url+"/api/v1/query?query="+url.QueryEscape(expression), &a)
	return a.Data.Result
}

// queryValue returns the value of the only series that the expression has.
func (p *prometheusServer) queryValue(t *testing.T, expression string) (float64, error) {
	t.Helper()
	all := p.query(t, expression)
	if len(all) != 1 {
		return 0, fmt.Errorf("%s has %d series: %v", expression, len(all), all)
	}
	return all[0].Value.value(), nil
}

// wantValue fails the test unless the expression has one series, of this value.
func (p *prometheusServer) wantValue(t *testing.T, expression string, want float64) {
	t.Helper()
	if got, err := p.queryValue(t, expression); err != nil || got != want {
		t.Errorf("%s is %v (%v), want %v", expression, got, err, want)
	}
}

// awaitValue waits until the expression has this value.
func (p *prometheusServer) awaitValue(t *testing.T, within time.Duration, expression string, want float64) {
	t.Helper()
	eventually(t, within, expression, func() error {
		got, err := p.queryValue(t, expression)
		if err == nil && got != want {
			err = fmt.Errorf("it is %v, want %v", got, want)
		}
		return err
	})
}

// scrapeTarget is one target of Prometheus as its API shows it.
type scrapeTarget struct {
	Labels         map[string]string
	ScrapePool     string // the name of its job
	ScrapeURL      string
	LastError      string
	Health         string
	ScrapeInterval string
	ScrapeTimeout  string
}

// name is the target's name and its module.
func (s scrapeTarget) name() string { return s.Labels["instance"] + "/" + s.Labels["module"] }

// listTargets returns the active targets. It fails the test if relabeling dropped a target, or if
// Prometheus could not create a target from a discovered entry, which its API does not report.
func (p *prometheusServer) listTargets(t *testing.T) []scrapeTarget {
	t.Helper()
	var a struct {
		Data struct {
			ActiveTargets  []scrapeTarget
			DroppedTargets []any
		}
	}
	getJSON(t, p.url+"/api/v1/targets", &a)
	failed := p.scrapeMetrics(t).sumByPrefix("prometheus_target_sync_failed_total")
	if dropped := len(a.Data.DroppedTargets); dropped != 0 || failed != 0 {
		t.Fatalf("got %d dropped targets and %v entries without a target, want 0", dropped, failed)
	}
	return a.Data.ActiveTargets
}

func (p *prometheusServer) scrapeMetrics(t *testing.T) metrics {
	t.Helper()
	return parseMetrics(t, getBody(t, p.url+"/metrics"))
}

// awaitTargetsUp waits until Prometheus has as many active targets, all up, and returns
// them by their labels instance and module. None may have been dropped.
func (p *prometheusServer) awaitTargetsUp(t *testing.T, want int) map[string]scrapeTarget {
	t.Helper()
	found := make(map[string]scrapeTarget)
	// Prometheus takes up what it has discovered every 5 s.
	eventually(t, 30*time.Second, "Prometheus has found its targets", func() error {
		clear(found)
		for _, target := range p.listTargets(t) {
			if target.Health != "up" {
				return fmt.Errorf("%s is %s: %s", target.ScrapeURL, target.Health, target.LastError)
			}
			found[target.name()] = target
		}
		if len(found) != want {
			return fmt.Errorf("%d targets, want %d: %v", len(found), want, slices.Sorted(maps.Keys(found)))
		}
		return nil
	})
	return found
}

// promtoolCheckMetrics feeds an exposition to promtool, which must find nothing.
func promtoolCheckMetrics(t *testing.T, exposition string) {
	t.Helper()
	cmd := exec.Command(needProgram(t, "promtool"), "check", "metrics")
	cmd.Stdin = strings.NewReader(exposition)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}
