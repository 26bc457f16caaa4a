// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// discoveredNodes are the nodes that a discovery finds. The first one has two services. The last
// two are not inside the exporter's target: an address, and a name.
const discoveredNodes = `[
  {"targets": ["127.0.0.9:9100", "127.0.0.9:9256"], "labels": {"__meta_kubernetes_node_name": "one", "__meta_consul_node": "one"}},
  {"targets": ["127.0.0.10:9100", "[::1]:9100"], "labels": {"__meta_kubernetes_node_name": "two", "__meta_consul_node": "two"}},
  {"targets": ["127.0.0.99:9100", "localhost:9100"]}
]`

// fileDiscovery replaces the discovery of a scrape job by files.
func fileDiscovery(t *testing.T, config, file string) string {
	t.Helper()
	discovery := regexp.MustCompile(`(?m)^    \w+_sd_configs:\n(      .*\n)+`)
	if all := discovery.FindAllString(config, -1); len(all) != 1 {
		t.Fatalf("got discoveries %q, want one", all)
	}
	return discovery.ReplaceAllLiteralString(config, "    file_sd_configs:\n      - files: ["+file+"]\n")
}

// TestDiscoveryExamples has Prometheus scrape the addresses that it discovers itself, with the
// relabeling of each example. The exporter has a target without hosts.
func TestDiscoveryExamples(t *testing.T) {
	t.Parallel()
	needIPv6(t)
	port := freePort(t)
	for _, host := range []string{"127.0.0.9", "127.0.0.10", "[::1]"} {
		listenOn(t, fmt.Sprintf("%s:%d", host, port))
	}
	e := startExporter(t, fmt.Sprintf(`modules: {tcp_default: {ports: %d}}
targets:
  - name: servers
    networks: [127.0.0.8/29, "::1"]
    modules: [tcp_default]
    authorization: {owner: "the test"}
`, port))
	alerts := absolutePath(t, rulesDir+"/alerts.yml")
	nodes := writeFile(t, "nodes.json", discoveredNodes)
	for _, name := range []string{"discovery", "kubernetes", "consul"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := strings.NewReplacer("localhost:10115", e.addr, "portscan-exporter.portscan-exporter.svc:10115", e.addr, "../alerts.yml", alerts).
				Replace(fileDiscovery(t, readFile(t, rulesDir+"/examples/"+name+".yml"), nodes))
			p := startPrometheus(t, "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"+config)
			p.checkDiscovered(t, e, port, map[string]string{"discovery": "", "kubernetes": "one", "consul": "one"}[name])
		})
	}
}

// checkDiscovered checks the targets of Prometheus for discoveredNodes, and the label node of the
// first one.
func (p *prometheusServer) checkDiscovered(t *testing.T, e *exporter, port int, node string) {
	t.Helper()
	inside, outside := []string{"127.0.0.9", "127.0.0.10", "::1"}, []string{"127.0.0.99", "localhost:9100"}
	want := []string{e.addr + "/"}
	for _, instance := range append(inside, outside...) {
		want = append(want, instance+"/tcp_default")
	}
	p.awaitTargets(t, want...)
	for _, ip := range inside {
		p.awaitValue(t, 30*time.Second, fmt.Sprintf(`portscan_port_open{job="portscan",instance=%[1]q,module="tcp_default",ip=%[1]q,port="%d"}`, ip, port), 1)
	}
	for _, instance := range outside {
		p.awaitValue(t, 30*time.Second, fmt.Sprintf(`up{job="portscan",instance=%q,module="tcp_default"}`, instance), 0)
	}
	for _, target := range p.listTargets(t) {
		switch instance := target.Labels["instance"]; {
		case slices.Contains(outside, instance) && !strings.Contains(target.LastError, "403"):
			t.Errorf("error of %s = %q, want status 403", instance, target.LastError)
		case instance == inside[0] && target.Labels["node"] != node:
			t.Errorf("node of %s = %q, want %q", instance, target.Labels["node"], node)
		}
	}
	p.wantValue(t, `count(portscan_port_open)`, float64(len(inside)))
}
