// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// dashboardFixture is two exporters with targets in all states, and ports that open and close. The
// outer exporter caches its first result for the complete test.
type dashboardFixture struct {
	inner, outer                                  *exporter
	listening, down, unexpected, closing, waiting int
	closePort                                     func()
}

func newDashboardFixture(t *testing.T) *dashboardFixture {
	t.Helper()
	s := &dashboardFixture{
		listening: freePort(t), down: freePort(t), unexpected: freePort(t), closing: freePort(t), waiting: freePort(t),
	}
	listenLocal(t, s.listening)
	s.closePort = listenLocal(t, s.closing)
	ports := fmt.Sprintf(`[%d, %d, %d, %d]`, s.listening, s.down, s.unexpected, s.closing)
	violating := fmt.Sprintf(`
    hosts: [127.0.0.1]
    authorization: {owner: "web team", reference: "T-1", expires: %s}
    expect: {tcp: {open: "%d,%d", allow: "%d"}}
`, time.Now().AddDate(0, 0, 10).Format(time.DateOnly), s.listening, s.down, s.closing)
	s.inner = startExporter(t, fmt.Sprintf(`modules:
  quick: {ports: %[1]s}
  again: {ports: [%[2]d, %[3]d]}
  fine: {ports: [%[2]d]}
  slow: {ports: "1-2000", rate: 100, timeout: 1s}
  sweep: {ports: "1-200", rate: 40, timeout: 60s, max_age: 1s}
targets:
  - name: violating
    modules: [quick, again]%[4]s
  - {name: fine, hosts: [127.0.0.1], modules: [fine], authorization: {owner: "net team"}, expect: {tcp: {open: %[2]d}}}
  - {name: incomplete, hosts: [127.0.0.1], modules: [slow], authorization: {owner: "net team"}}
  - {name: swept, hosts: [127.0.0.1, 127.0.0.2], modules: [sweep], authorization: {owner: "net team"}}
  - {name: ended, hosts: [127.0.0.1], modules: [quick], authorization: {owner: "net team", expires: 2020-01-01}}
external_labels: {vantage: inner}
`, ports, s.listening, s.unexpected, violating))
	s.outer = startExporter(t, fmt.Sprintf(`modules:
  quick: {ports: %s, max_age: 1h}
targets:
  - name: violating
    modules: [quick]%s
external_labels: {vantage: outer}
`, ports, violating))
	return s
}

// TestDashboards runs the queries of both dashboards on a Prometheus server that scrapes both
// exporters, after ports have opened and closed.
func TestDashboards(t *testing.T) {
	t.Parallel()
	const interval = 2 * time.Second
	s := newDashboardFixture(t)
	v := dashboardClient{start: time.Now(), step: interval}
	v.prometheus = startPrometheus(t, fmt.Sprintf(`global: {scrape_interval: 2s, scrape_timeout: 2s}
scrape_configs:
  - {job_name: portscan, http_sd_configs: [{url: %s/sd}]}
  - {job_name: portscan_outer, http_sd_configs: [{url: %s/sd}]}
  - {job_name: portscan_exporter, static_configs: [{targets: ["%s", "%s"]}]}
`, s.inner.url, s.outer.url, s.inner.addr, s.outer.addr))
	open := func(vantage string, port int) string {
		return fmt.Sprintf(`min(portscan_port_open{instance="violating",vantage="%s",port="%d"})`, vantage, port)
	}
	v.prometheus.awaitValue(t, 60*time.Second, open("inner", s.closing), 1)
	v.prometheus.awaitValue(t, 30*time.Second, open("outer", s.closing), 1)
	// A change is visible only after a few scrapes of the previous state.
	v.prometheus.awaitValue(t, 30*time.Second, `count(count_over_time(probe_success{instance="violating"}[1m]) > 2)`, 3)
	listenLocal(t, s.unexpected)
	s.closePort()
	v.prometheus.awaitValue(t, 30*time.Second, open("inner", s.unexpected), 1)
	v.prometheus.awaitValue(t, 30*time.Second, open("inner", s.closing), 0)
	v.prometheus.awaitValue(t, 60*time.Second, `probe_success{instance="swept"}`, 1)

	fleet, target := readDashboard(t, "portscan-fleet"), readDashboard(t, "portscan-target")
	// On a busy machine a scan can be late and appear with the next scrape.
	eventually(t, 60*time.Second, "the dashboards show all values", func() error {
		v.end = time.Now()
		of, one := v.runQueries(t, fleet, nil), v.runQueries(t, target, map[string]string{"target": "violating"})
		if t.Failed() {
			t.FailNow()
		}
		return errors.Join(
			fleet.checkComplete(of), target.checkComplete(one),
			s.checkFleetStats(of), s.checkFleetTables(of), s.checkTargetDashboard(one),
		)
	})
	for _, name := range []string{"fine", "incomplete", "swept", "ended"} {
		v.runQueries(t, target, map[string]string{"target": name}) // fails if Prometheus refuses a query
	}
	v.runQueries(t, fleet, map[string]string{"target": "violating", "vantage": "outer"})
	s.checkLinks(t, fleet, target)
}

// checkComplete returns an error for each variable without a value and each query without a sample.
func (d *dashboard) checkComplete(a queryResults) error {
	var errs []error
	for _, variable := range d.Templating.List {
		if variable.Type == "query" && len(a["$"+variable.Name]) == 0 {
			errs = append(errs, fmt.Errorf("%s: variable %s has no value", d.UID, variable.Name))
		}
	}
	for _, p := range d.Panels {
		for _, q := range p.Targets {
			if !a.hasData(p.Title + "/" + q.RefID) {
				errs = append(errs, fmt.Errorf("%s: panel %s is empty: %s", d.UID, p.Title, q.Expr))
			}
		}
	}
	return errors.Join(errs...)
}

// checkFleetStats checks the single-value panels of the fleet dashboard.
func (f *dashboardFixture) checkFleetStats(a queryResults) error {
	var errs []error
	for title, want := range map[string]float64{
		"Targets":                      5,
		"Refused or down":              1, // target ended
		"Incomplete":                   1, // target incomplete
		"Violating":                    1,
		"Unexpected open":              1, // in two modules
		"Expected, not open":           1, // from two vantages
		"Suspect addresses":            0,
		"Authorizations to renew":      2,
		"Exporters":                    2,
		"Exporters down":               0,
		"Failed configuration reloads": 0,
		"Configured targets":           6,
		"Lost audit entries":           0,
	} {
		errs = append(errs, a.checkStat(title, want))
	}
	for query, change := range map[string]string{"Ports opened and closed/A": "opened", "Ports opened and closed/B": "closed"} {
		if len(a[query]) != 1 || slices.Max(a[query][0].allValues()) < 1 {
			errs = append(errs, fmt.Errorf("got no %s port: %v", change, a[query]))
		}
	}
	return errors.Join(errs...)
}

// tableRows returns a row for each series: the values of the labels and the value, sorted.
func tableRows(all []series, labels ...string) []string {
	var found []string
	for _, s := range all {
		var cells []string
		for _, l := range labels {
			cells = append(cells, s.Metric[l])
		}
		found = append(found, strings.Join(append(cells, fmt.Sprint(s.Value.value())), " "))
	}
	slices.Sort(found)
	return found
}

// checkFleetTables checks the tables of the fleet dashboard.
func (f *dashboardFixture) checkFleetTables(a queryResults) error {
	var errs []error
	want := func(query string, labels []string, want ...string) {
		slices.Sort(want)
		if got := tableRows(a[query], labels...); !slices.Equal(got, want) {
			errs = append(errs, fmt.Errorf("rows of %s = %q, want %q", query, got, want))
		}
	}
	port := []string{"instance", "owner", "ip", "port", "protocol", "vantage"}
	missing := fmt.Sprintf("violating web team 127.0.0.1 %d tcp ", f.down)
	want("Expected ports not open/A", port, missing+"inner 0", missing+"outer 0")
	want("Open from some vantages only/A", []string{"instance", "ip", "port", "vantage"},
		fmt.Sprintf("violating 127.0.0.1 %d inner 1", f.unexpected), fmt.Sprintf("violating 127.0.0.1 %d outer 1", f.closing))
	want("All targets/B", []string{"instance"}, "violating 1", "fine 1", "incomplete 1", "swept 1", "ended 0")
	want("All targets/C", []string{"instance"}, "violating 1", "fine 1", "incomplete 0", "swept 1")
	want("All targets/D", []string{"instance"}, "violating 1", "fine 0", "incomplete 0", "swept 0")
	want("All targets/I", []string{"instance"}, "violating 1", "fine 1", "incomplete 1", "swept 2")
	want("All targets/J", []string{"instance"}, "violating 1", "fine 1", "incomplete 1", "swept 2")
	want("All targets/E", []string{"instance"}, "violating 1", "fine 0", "incomplete 0", "swept 0")
	unexpected := a["Unexpected open ports/A"]
	since := func(v float64) bool { return v > float64(time.Now().Add(-time.Hour).UnixMilli()) }
	if got := fmt.Sprintf("violating web team 127.0.0.1 %d tcp inner", f.unexpected); len(unexpected) != 1 ||
		!strings.HasPrefix(tableRows(unexpected, port...)[0], got) || !since(unexpected[0].Value.value()) {
		errs = append(errs, fmt.Errorf("unexpected open ports = %q, want %s within the last hour", tableRows(unexpected, port...), got))
	}
	return errors.Join(errs...)
}

// checkTargetDashboard checks the dashboard of the target violating.
func (f *dashboardFixture) checkTargetDashboard(a queryResults) error {
	const closed, open, unexpected, missing = 0, 1, 4, 5
	want := map[string]float64{
		fmt.Sprint(f.listening, " inner"): open, fmt.Sprint(f.listening, " outer"): open,
		fmt.Sprint(f.down, " inner"): missing, fmt.Sprint(f.down, " outer"): missing,
		fmt.Sprint(f.unexpected, " inner"): unexpected,
		fmt.Sprint(f.closing, " inner"):    closed, fmt.Sprint(f.closing, " outer"): open,
	}
	got := make(map[string]float64)
	for _, band := range a["State of each port/A"] {
		values := band.allValues()
		got[band.Metric["port"]+" "+band.Metric["vantage"]] = values[len(values)-1]
	}
	var errs []error
	if !maps.Equal(got, want) {
		errs = append(errs, fmt.Errorf("states of the ports = %v, want %v", got, want))
	}
	for title, want := range map[string]float64{
		"Scrapes": 1, "Scans": 1, "Unexpected open": 1, "Expected, not open": 1, "Alive": 1, "Progress": 1,
	} {
		errs = append(errs, a.checkStat(title, want))
	}
	if alive := a["Alive/A"]; len(alive) != 1 || alive[0].Metric["total"] != "1" {
		errs = append(errs, fmt.Errorf("alive addresses = %v, want of a total of 1", alive))
	}
	return errors.Join(errs...)
}

// checkLinks requests the exporter's pages that the dashboards link to.
func (f *dashboardFixture) checkLinks(t *testing.T, all ...*dashboard) {
	t.Helper()
	values := map[string]string{"target": "violating", "__value.raw": "violating"}
	for _, d := range all {
		for _, path := range d.exporterLinks(t) {
			for name, value := range values {
				path = strings.ReplaceAll(path, "${"+name+"}", value)
			}
			if err := checkStatus(f.inner.url+path, 200); err != nil {
				t.Errorf("%s: %v", d.UID, err)
			}
		}
	}
}
