// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/VictoriaMetrics/metricsql"
	"go.yaml.in/yaml/v4"
)

const rulesDir = repository + "/prometheus"

// rule is a rule in alerts.yml.
type rule struct {
	Record, Alert, Expr string
	For                 string
	KeepFiringFor       string `yaml:"keep_firing_for"`
	Labels, Annotations map[string]string
}

// readRules reads alerts.yml.
func readRules(t *testing.T) []rule {
	t.Helper()
	var file struct {
		Groups []struct {
			Name  string
			Rules []rule
		}
	}
	decodeYAML(t, readFile(t, rulesDir+"/alerts.yml"), &file)
	if len(file.Groups) != 1 {
		t.Fatalf("got %d groups, want 1: a rule uses series that earlier rules of its group have recorded", len(file.Groups))
	}
	if len(file.Groups[0].Rules) == 0 {
		t.Fatal("got no rules")
	}
	return file.Groups[0].Rules
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func absolutePath(t *testing.T, path string) string {
	t.Helper()
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// decodeYAML decodes YAML and refuses unknown keys.
func decodeYAML(t *testing.T, text string, into any) {
	t.Helper()
	d := yaml.NewDecoder(strings.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(into); err != nil {
		t.Fatal(err)
	}
}

// runPromtool runs promtool in the directory of the rules.
func runPromtool(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.Command(needProgram(t, "promtool"), args...)
	cmd.Dir = rulesDir
	out, err := cmd.CombinedOutput()
	if err != nil || bytes.Contains(out, []byte("duplicate")) {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func TestRulesValid(t *testing.T) {
	t.Parallel()
	runPromtool(t, "check", "rules", "alerts.yml")
	runPromtool(t, "test", "rules", "alerts_test.yml")
	examples, err := filepath.Glob(rulesDir + "/examples/*.yml")
	if err != nil || len(examples) == 0 {
		t.Fatalf("examples = %v, %v, want at least one", examples, err)
	}
	for _, example := range examples {
		switch filepath.Base(example) {
		case "operator.yml": // resources for Kubernetes
		case "consul.yml", "kubernetes.yml": // Debian's promtool lacks these discoveries
			text := strings.Replace(readFile(t, example), "../alerts.yml", absolutePath(t, rulesDir+"/alerts.yml"), 1)
			runPromtool(t, "check", "config", writeFile(t, "config.yml", fileDiscovery(t, text, "nodes.json")))
		default:
			runPromtool(t, "check", "config", "examples/"+filepath.Base(example))
		}
	}
}

// TestRulesHaveTests requires a test in which each alert fires with each severity, and one in which
// it does not fire.
func TestRulesHaveTests(t *testing.T) {
	t.Parallel()
	var file struct {
		Tests []struct {
			Cases []struct {
				Name   string `yaml:"alertname"`
				Alerts []struct {
					Labels map[string]string `yaml:"exp_labels"`
				} `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		}
	}
	if err := yaml.Unmarshal([]byte(readFile(t, rulesDir+"/alerts_test.yml")), &file); err != nil {
		t.Fatal(err)
	}
	fires, quiet := make(map[string]bool), make(map[string]bool)
	for _, test := range file.Tests {
		for _, c := range test.Cases {
			if len(c.Alerts) == 0 {
				quiet[c.Name] = true
			}
			for _, alert := range c.Alerts {
				fires[c.Name+" "+alert.Labels["severity"]] = true
			}
		}
	}
	for _, r := range readRules(t) {
		if r.Alert == "" {
			continue
		}
		if !fires[r.Alert+" "+r.Labels["severity"]] {
			t.Errorf("alerts_test.yml has no case in which %s fires with severity %s", r.Alert, r.Labels["severity"])
		}
		if !quiet[r.Alert] {
			t.Errorf("alerts_test.yml has no case in which %s does not fire", r.Alert)
		}
	}
}

// TestRulesMetricsDocumented compares the metrics in rules and annotations with docs/metrics.md.
func TestRulesMetricsDocumented(t *testing.T) {
	t.Parallel()
	known := map[string]bool{"up": true} // added by Prometheus
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z0-9_]+)` \\|").FindAllStringSubmatch(readFile(t, repository+"/docs/metrics.md"), -1) {
		known[m[1]] = true
	}
	all := readRules(t)
	for _, r := range all {
		if r.Record != "" {
			known[r.Record] = true
		}
	}
	used := make(map[string]bool)
	for _, r := range all {
		for _, name := range selectedMetrics(t, r.Expr) {
			used[name] = true
			if !known[name] {
				t.Errorf("%s%s selects %s, which docs/metrics.md does not list", r.Record, r.Alert, name)
			}
		}
	}
	for _, r := range all {
		for _, text := range r.Annotations {
			for _, name := range regexp.MustCompile(`(portscan|probe)_\w+`).FindAllString(text, -1) {
				if !known[name] {
					t.Errorf("annotation of %s names %s, which docs/metrics.md does not list", r.Alert, name)
				}
			}
		}
		if r.Record != "" && !used[r.Record] {
			t.Errorf("no rule uses %s", r.Record)
		}
	}
}

// selectedMetrics returns the names of the metrics that an expression selects.
func selectedMetrics(t *testing.T, expression string) []string {
	t.Helper()
	parsed, err := metricsql.Parse(expression) // accepts a superset of PromQL; promtool checks the rest
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	names := make(map[string]bool)
	metricsql.VisitAll(parsed, func(e metricsql.Expr) {
		selector, ok := e.(*metricsql.MetricExpr)
		if !ok {
			return
		}
		for _, filters := range selector.LabelFilterss {
			for _, f := range filters {
				if f.Label == "__name__" {
					names[f.Value] = true
				}
			}
		}
	})
	return slices.Sorted(maps.Keys(names))
}

// TestRulesSummaryTable compares severity and duration of the alerts with the table in
// docs/alerts.md.
func TestRulesSummaryTable(t *testing.T) {
	t.Parallel()
	want, got := make(map[string]bool), make(map[string]bool)
	for _, r := range readRules(t) {
		if r.Alert != "" {
			want[fmt.Sprintf("%s %s %s", r.Alert, r.Labels["severity"], cmp.Or(r.For, "0m"))] = true
		}
	}
	rows := regexp.MustCompile(`(?m)^\| \[(Portscan\w+)\]\(#\w+\) \| ([a-z, ]+) \| (\w+) \|`)
	for _, m := range rows.FindAllStringSubmatch(readFile(t, repository+"/docs/alerts.md"), -1) {
		for severity := range strings.SplitSeq(m[2], ", ") {
			got[fmt.Sprintf("%s %s %s", m[1], severity, m[3])] = true
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("table of alerts = %q, want %q", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
	}
}

// TestRulesAnnotations checks the names, severities, summaries, descriptions and runbooks of the
// alerts.
func TestRulesAnnotations(t *testing.T) {
	t.Parallel()
	runbook := readFile(t, repository+"/docs/alerts.md")
	for _, r := range readRules(t) {
		if r.Alert == "" {
			continue
		}
		if !regexp.MustCompile(`^Portscan([A-Z][a-z]+|UDP)+$`).MatchString(r.Alert) {
			t.Errorf("alert name = %s, want Portscan and CamelCase", r.Alert)
		}
		if !slices.Contains([]string{"critical", "warning", "info"}, r.Labels["severity"]) {
			t.Errorf("severity of %s = %q, want critical, warning or info", r.Alert, r.Labels["severity"])
		}
		if s := r.Annotations["summary"]; s == "" || strings.Contains(s, "{{") {
			t.Errorf("summary of %s = %q, want a constant text", r.Alert, s)
		}
		if !strings.Contains(r.Annotations["description"], "{{") && r.Expr != "absent(portscan:exporter_info)" {
			t.Errorf("description of %s has no variable", r.Alert)
		}
		if want := "docs/alerts.md#" + strings.ToLower(r.Alert); r.Annotations["runbook"] != want {
			t.Errorf("runbook of %s = %q, want %q", r.Alert, r.Annotations["runbook"], want)
		}
		if !strings.Contains(runbook, "\n### "+r.Alert+"\n") {
			t.Errorf("docs/alerts.md has no section %s", r.Alert)
		}
	}
}
