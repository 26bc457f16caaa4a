// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

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

// startPrometheus starts Prometheus with a configuration and waits until it is ready.
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

// series is a series in the result of a query.
type series struct {
	Metric map[string]string
	Value  sample   // for an instant vector
	Values []sample // for a range vector
}

// sample is a timestamp in seconds and a value.
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

// query evaluates an instant query.
func (p *prometheusServer) query(t *testing.T, expression string) []series {
	t.Helper()
	var a struct {
		Data struct{ Result []series }
	}
	getJSON(t, p.url+"/api/v1/query?query="+url.QueryEscape(expression), &a)
	return a.Data.Result
}

// queryValue returns the value of an expression, which must have one series.
func (p *prometheusServer) queryValue(t *testing.T, expression string) (float64, error) {
	t.Helper()
	all := p.query(t, expression)
	if len(all) != 1 {
		return 0, fmt.Errorf("%s: got %d series, want 1: %v", expression, len(all), all)
	}
	return all[0].Value.value(), nil
}

// wantValue fails the test unless the expression has one series with this value.
func (p *prometheusServer) wantValue(t *testing.T, expression string, want float64) {
	t.Helper()
	if got, err := p.queryValue(t, expression); err != nil || got != want {
		t.Errorf("%s = %v (%v), want %v", expression, got, err, want)
	}
}

// awaitValue waits until the expression has this value.
func (p *prometheusServer) awaitValue(t *testing.T, within time.Duration, expression string, want float64) {
	t.Helper()
	eventually(t, within, expression, func() error {
		got, err := p.queryValue(t, expression)
		if err == nil && got != want {
			err = fmt.Errorf("got %v, want %v", got, want)
		}
		return err
	})
}

// scrapeTarget is a target in the format of the Prometheus API.
type scrapeTarget struct {
	Labels         map[string]string
	ScrapePool     string // the job
	ScrapeURL      string
	LastError      string
	Health         string
	ScrapeInterval string
	ScrapeTimeout  string
}

// name returns the names of the target and its module.
func (s scrapeTarget) name() string { return s.Labels["instance"] + "/" + s.Labels["module"] }

// listTargets returns the active targets. It fails the test if relabeling dropped a target.
func (p *prometheusServer) listTargets(t *testing.T) []scrapeTarget {
	t.Helper()
	active, dropped := p.listActiveTargets(t)
	if dropped != 0 {
		t.Fatalf("got %d dropped targets, want 0", dropped)
	}
	return active
}

// listActiveTargets returns the active targets and the number of those that relabeling dropped. It
// fails the test if Prometheus could not create a target from a discovered entry, which its API does
// not report.
func (p *prometheusServer) listActiveTargets(t *testing.T) (active []scrapeTarget, dropped int) {
	t.Helper()
	var a struct {
		Data struct {
			ActiveTargets  []scrapeTarget
			DroppedTargets []any
		}
	}
	getJSON(t, p.url+"/api/v1/targets", &a)
	if n := p.scrapeMetrics(t).sumByPrefix("prometheus_target_sync_failed_total"); n != 0 {
		t.Fatalf("got %v entries without a target, want 0", n)
	}
	return a.Data.ActiveTargets, len(a.Data.DroppedTargets)
}

func (p *prometheusServer) scrapeMetrics(t *testing.T) metrics {
	t.Helper()
	return parseMetrics(t, getBody(t, p.url+"/metrics"))
}

// awaitTargetsUp waits until Prometheus has want targets, all of them up, and returns them by name.
func (p *prometheusServer) awaitTargetsUp(t *testing.T, want int) map[string]scrapeTarget {
	t.Helper()
	found := make(map[string]scrapeTarget)
	// Prometheus applies discovered targets every 5 s.
	eventually(t, 30*time.Second, "all targets are up", func() error {
		clear(found)
		for _, target := range p.listTargets(t) {
			if target.Health != "up" {
				return fmt.Errorf("%s is %s: %s", target.ScrapeURL, target.Health, target.LastError)
			}
			found[target.name()] = target
		}
		if len(found) != want {
			return fmt.Errorf("got %d targets, want %d: %v", len(found), want, slices.Sorted(maps.Keys(found)))
		}
		return nil
	})
	return found
}

// promtoolCheckMetrics checks an exposition with promtool, which must not report a problem.
func promtoolCheckMetrics(t *testing.T, exposition string) {
	t.Helper()
	cmd := exec.Command(needProgram(t, "promtool"), "check", "metrics")
	cmd.Stdin = strings.NewReader(exposition)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}
