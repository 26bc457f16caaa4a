// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"fmt"
	"math"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// dashboard is the part of a Grafana dashboard that the tests read.
type dashboard struct {
	UID        string
	Links      []struct{ URL string }
	Templating struct{ List []dashboardVariable }
	Panels     []dashboardPanel
}

type dashboardVariable struct {
	Type, Name, Definition, AllValue string
	IncludeAll                       bool
}

type dashboardPanel struct {
	Type, Title string
	Targets     []struct {
		RefID, Expr string
		Instant     bool
	}
	FieldConfig struct {
		Overrides []struct {
			Properties []struct {
				ID    string
				Value json.RawMessage
			}
		}
	}
}

// readDashboard reads a committed dashboard.
func readDashboard(t *testing.T, uid string) *dashboard {
	t.Helper()
	d := new(dashboard)
	if err := json.Unmarshal([]byte(readFile(t, filepath.Join(repository, "grafana", "dashboards", uid+".json"))), d); err != nil {
		t.Fatal(err)
	}
	return d
}

// dashboardClient evaluates dashboards as Grafana does: it resolves the variables and runs the
// queries.
type dashboardClient struct {
	prometheus *prometheusServer
	start, end time.Time
	step       time.Duration
}

// queryResults are the results of a dashboard's queries. Keys are panel/query, or $name for a
// variable, which has one series a value.
type queryResults map[string][]series

// runQueries runs each query of a dashboard with the chosen values of variables. Others have their
// defaults.
func (c dashboardClient) runQueries(t *testing.T, d *dashboard, chosen map[string]string) queryResults {
	t.Helper()
	all := make(queryResults)
	values := c.resolveVariables(t, d, chosen, all)
	for _, p := range d.Panels {
		for _, q := range p.Targets {
			expr := interpolate(q.Expr, values)
			if strings.Contains(expr, "$") && !strings.Contains(expr, `"$1"`) { // used by label_replace
				t.Errorf("%s: %s: unresolved variable in %s", d.UID, p.Title, expr)
			}
			all[p.Title+"/"+q.RefID] = c.runQuery(t, expr, q.Instant)
		}
	}
	return all
}

// runQuery runs a query. A query that Prometheus refuses fails the test.
func (c dashboardClient) runQuery(t *testing.T, expr string, instant bool) []series {
	t.Helper()
	query := url.Values{"query": {expr}}
	path := "/api/v1/query?"
	if instant {
		query.Set("time", formatUnix(c.end))
	} else {
		path = "/api/v1/query_range?"
		query.Set("start", formatUnix(c.start))
		query.Set("end", formatUnix(c.end))
		query.Set("step", fmt.Sprint(c.step.Seconds()))
	}
	a, err := request("GET", c.prometheus.url+path+query.Encode())
	if err != nil {
		t.Fatal(err)
	}
	var result struct {
		Data struct{ Result []series }
	}
	if a.status != 200 || json.Unmarshal([]byte(a.body), &result) != nil {
		t.Errorf("Prometheus refused a query: %s\n%s", a.body, expr)
	}
	return result.Data.Result
}

func formatUnix(t time.Time) string { return fmt.Sprintf("%d.%03d", t.Unix(), t.UnixMilli()%1000) }

// resolveVariables queries the values of the variables in order, because a variable may depend on
// earlier ones.
func (c dashboardClient) resolveVariables(t *testing.T, d *dashboard, chosen map[string]string, all queryResults) map[string]string {
	t.Helper()
	const scrapes = 4 // the range of a rate in Grafana, in scrape intervals
	values := map[string]string{
		"__interval":      c.step.String(),
		"__rate_interval": (scrapes * c.step).String(),
		"__range":         c.end.Sub(c.start).Round(time.Second).String(),
	}
	for _, variable := range d.Templating.List {
		if variable.Type != "query" {
			continue
		}
		options := c.labelValues(t, interpolate(variable.Definition, values))
		all["$"+variable.Name] = make([]series, len(options))
		switch value, ok := chosen[variable.Name]; {
		case ok && !slices.Contains(options, value):
			t.Errorf("%s: %s is not a value of variable %s: %v", d.UID, value, variable.Name, options)
		case ok:
			values[variable.Name] = value
		case variable.IncludeAll && variable.AllValue != "":
			values[variable.Name] = variable.AllValue
		case variable.IncludeAll:
			values[variable.Name] = "(" + strings.Join(options, "|") + ")"
		case len(options) > 0:
			values[variable.Name] = options[0]
		}
	}
	return values
}

// labelValues returns the values that label_values selects.
func (c dashboardClient) labelValues(t *testing.T, definition string) []string {
	t.Helper()
	m := regexp.MustCompile(`^label_values\((.+), (\w+)\)$`).FindStringSubmatch(definition)
	if m == nil {
		t.Fatalf("not a label_values query: %s", definition)
	}
	ask := url.Values{"match[]": {m[1]}, "start": {formatUnix(c.start)}, "end": {formatUnix(c.end)}}
	var a struct{ Data []string }
	getJSON(t, c.prometheus.url+"/api/v1/label/"+m[2]+"/values?"+ask.Encode(), &a)
	return a.Data
}

// interpolate replaces variables, written $name or ${name}. Unknown variables stay unchanged.
func interpolate(text string, values map[string]string) string {
	return regexp.MustCompile(`\$\{?(\w+)\}?`).ReplaceAllStringFunc(text, func(found string) string {
		if value, ok := values[strings.Trim(found, "${}")]; ok {
			return value
		}
		return found
	})
}

// checkStat returns an error unless a panel shows one number, which must be want.
func (q queryResults) checkStat(title string, want float64) error {
	all := q[title+"/A"]
	if len(all) != 1 || all[0].Value.value() != want {
		return fmt.Errorf("%s = %v, want %v", title, all, want)
	}
	return nil
}

// hasData reports whether a query returned a number.
func (q queryResults) hasData(query string) bool {
	for _, s := range q[query] {
		for _, v := range s.allValues() {
			if !math.IsNaN(v) {
				return true
			}
		}
	}
	return false
}

// allValues returns the values of an instant or range vector.
func (s series) allValues() []float64 {
	if s.Value[0] != nil {
		return []float64{s.Value.value()}
	}
	values := make([]float64, len(s.Values))
	for i, v := range s.Values {
		values[i] = v.value()
	}
	return values
}

// exporterLinks returns the paths of the links that lead to the exporter.
func (d *dashboard) exporterLinks(t *testing.T) []string {
	t.Helper()
	var paths []string
	add := func(url string) {
		if path, ok := strings.CutPrefix(url, "${exporter_url:raw}"); ok && !slices.Contains(paths, path) {
			paths = append(paths, path)
		}
	}
	for _, l := range d.Links {
		add(l.URL)
	}
	for _, p := range d.Panels {
		for _, o := range p.FieldConfig.Overrides {
			for _, property := range o.Properties {
				if property.ID != "links" {
					continue
				}
				var links []struct{ URL string }
				if err := json.Unmarshal(property.Value, &links); err != nil {
					t.Fatal(err)
				}
				for _, l := range links {
					add(l.URL)
				}
			}
		}
	}
	return paths
}
