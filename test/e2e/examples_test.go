// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"
)

// exampleConfig has the targets and addresses that the examples name.
func exampleConfig(t *testing.T) string {
	t.Helper()
	return fmt.Sprintf(`modules:
  tcp_default: {ports: %d}
  udp_default: {protocol: udp, ports: %d}
targets:
  - name: web
    hosts: [127.0.0.1, "::1"]
    modules: [tcp_default, udp_default]
    authorization: {owner: "the test"}
  - name: mail
    hosts: [127.0.0.2]
    modules: [tcp_default]
    authorization: {owner: "the test"}
`, freePort(t), freePort(t))
}

// TestScrapeExamples runs Prometheus with each example. Only paths, the exporter's address and the
// intervals are changed.
func TestScrapeExamples(t *testing.T) {
	t.Parallel()
	e := startExporter(t, exampleConfig(t))
	ported := writeFile(t, "nodes.json", `[{"targets": ["127.0.0.1:9100", "[::1]:9100"]}, {"targets": ["127.0.0.2:9100"]}]`)
	bare := writeFile(t, "nodes.json", `[{"targets": ["127.0.0.1", "::1", "127.0.0.2"]}]`)
	alerts := absolutePath(t, rulesDir+"/alerts.yml")
	names := []string{"mail/tcp_default", "web/tcp_default", "web/udp_default"}
	addresses := []string{"127.0.0.1/tcp_default", "127.0.0.2/tcp_default", "::1/tcp_default"}
	for _, test := range []struct {
		name, nodes string
		want        []string
	}{
		{"sd", "", names},
		{"static", "", names},
		{"discovery", ported, addresses},
		{"discovery", bare, addresses},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			name, nodes, want := test.name, test.nodes, slices.Clone(test.want)
			config := strings.NewReplacer("localhost:10115", e.addr, "nodes/*.json", nodes, "../alerts.yml", alerts).
				Replace(readFile(t, rulesDir+"/examples/"+name+".yml"))
			p := startPrometheus(t, "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"+config)
			targets := p.awaitTargetsUp(t, len(want)+1)
			for _, target := range append(want, e.addr+"/") { // the last one is the exporter itself
				if _, ok := targets[target]; !ok {
					t.Errorf("target %s is missing", target)
				}
			}
			for _, target := range want {
				instance, module, _ := strings.Cut(target, "/")
				p.awaitValue(t, 20*time.Second, fmt.Sprintf(`portscan:up{job="portscan",instance="%s",module="%s",owner="the test"}`, instance, module), 1)
			}
			p.wantValue(t, "count(portscan:up)", float64(len(want)))
			p.awaitValue(t, 20*time.Second, "portscan:exporter_info", 1)
		})
	}
}

// TestOperatorExampleJobs compares the jobs of operator.yml and sd.yml.
func TestOperatorExampleJobs(t *testing.T) {
	t.Parallel()
	var plain struct {
		Scrape []struct {
			Name string `yaml:"job_name"`
		} `yaml:"scrape_configs"`
	}
	if err := yaml.Unmarshal([]byte(readFile(t, rulesDir+"/examples/sd.yml")), &plain); err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for _, job := range plain.Scrape {
		want = append(want, job.Name)
	}
	documents := yaml.NewDecoder(strings.NewReader(readFile(t, rulesDir+"/examples/operator.yml")))
	for {
		var resource struct {
			APIVersion string `yaml:"apiVersion"`
			Kind       string
			Spec       struct {
				JobName string `yaml:"jobName"`
			}
		}
		if err := documents.Decode(&resource); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if resource.APIVersion != "monitoring.coreos.com/v1alpha1" || resource.Kind != "ScrapeConfig" {
			t.Errorf("resource = %s %s, want monitoring.coreos.com/v1alpha1 ScrapeConfig", resource.APIVersion, resource.Kind)
		}
		got = append(got, resource.Spec.JobName)
	}
	if !slices.Equal(got, want) {
		t.Errorf("jobs of operator.yml = %v, want those of sd.yml: %v", got, want)
	}
}
