// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

// TestLabelsOfRules checks that each label that the shipped rules set or group by is reserved or
// a warning. vantage is a label that users set.
func TestLabelsOfRules(t *testing.T) {
	known := append(append(reservedLabels(), alertLabels()...), "vantage")
	grouping := regexp.MustCompile(`\b(?:by|on|without|ignoring|group_left) \(([a-z_, ]*)\)`)
	rules := 0
	for _, file := range []string{"alerts.yml", "vantage.yml"} {
		for _, r := range readRules(t, "../../prometheus/"+file) {
			rules++
			var used []string
			for name := range r.Labels {
				used = append(used, name)
			}
			for _, m := range grouping.FindAllStringSubmatch(r.Expr, -1) {
				used = append(used, strings.Split(m[1], ", ")...)
			}
			for _, name := range used {
				if name != "" && !slices.Contains(known, name) {
					t.Errorf("%s: a rule uses the label %s, which is neither reserved nor a warning", file, name)
				}
			}
		}
	}
	if rules < 20 {
		t.Errorf("rules = %d, want 20 or more", rules)
	}
}

type testRule struct {
	Expr   string            `yaml:"expr"`
	Labels map[string]string `yaml:"labels"`
}

// readRules returns the rules of a file of Prometheus.
func readRules(t *testing.T, file string) (rules []testRule) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var content struct {
		Groups []struct {
			Rules []testRule `yaml:"rules"`
		} `yaml:"groups"`
	}
	if err := yaml.Unmarshal(data, &content); err != nil {
		t.Fatal(err)
	}
	for _, g := range content.Groups {
		rules = append(rules, g.Rules...)
	}
	return rules
}
