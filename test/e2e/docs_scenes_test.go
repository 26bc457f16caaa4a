// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"os/exec"
	"strings"
	"testing"
)

// setUpReadme defines a scene for each console block of README.md.
func (d *document) setUpReadme(t *testing.T) {
	t.Helper()
	d.startGoRun(t)
	// The reader has created these files before running promtool.
	d.writeFile(t, "/etc/prometheus/prometheus.yml", strings.NewReader(d.yamlBlock(t, "rule_files")+d.yamlBlock(t, "job_name: portscan_exporter")))
	d.scenes = []func(*testing.T){
		func(*testing.T) {}, // the probe of localhost
		func(t *testing.T) { // check and scan the first target
			t.Helper()
			d.writeConfig(t, d.yamlBlock(t, "name: web"))
			d.startExporter(t, sandboxRepository+"/config.yml", "192.0.2.10:22", "192.0.2.10:443")
		},
		func(t *testing.T) { // two mistakes
			t.Helper()
			d.writeConfig(t, `modules:
  tcp_default:
    protocol: tcp
    ports: "1-1024"
    timeout: 9
    rate: 100
targets:
  - name: web
    hosts: [192.0.2.10]
    modules: [tcp_default]
    authorization:
      owner: "net team"
    expect:
      tcp: {open: 22,443}
`)
		},
		func(t *testing.T) { // the scan after an alert
			t.Helper()
			d.writeConfig(t, d.yamlBlock(t, "name: web"))
			d.startExporter(t, sandboxRepository+"/config.yml", "192.0.2.10:8022")
		},
		func(*testing.T) {}, // debug=true
	}
}

// setUpConfiguration defines a scene for each console block of docs/configuration.md.
func (d *document) setUpConfiguration(t *testing.T) {
	t.Helper()
	d.writeConfig(t, "")
	d.scenes = []func(*testing.T){
		func(t *testing.T) {
			t.Helper()
			d.run(t, "cp", sandboxRepository+"/config.yml", d.dir)
		},
		func(t *testing.T) { // with a misspelled module
			t.Helper()
			d.writeConfig(t, `modules:
  tcp_default:
    protocol: tcp
    ports: 8100-8000
    timeout: 9s
    exclude_ports: 0443
targets:
  - name: web
    hosts: [192.0.2.10]
    authorization: {owner: "net team"}
    modules: [tcp_def`+"ualt]\n")
		},
		func(t *testing.T) { // with a reversed range in a hosts file
			t.Helper()
			d.writeConfig(t, `modules:
  tcp_default: {ports: "1-1024"}
targets:
  - name: web
    hosts_file: hosts.txt
    authorization: {owner: "net team"}
    modules: [tcp_default]
`)
			d.writeFile(t, d.dir+"/hosts.txt", strings.NewReader("# rack 7\n192.0.2.50-10\n"))
		},
	}
}

// setUpCLI sets up the two addresses of the example in docs/cli.md.
func (d *document) setUpCLI(t *testing.T) {
	t.Helper()
	d.writeConfig(t, `modules:
  tcp_default: {ports: "1-1024,8000-8100,10115"}
targets:
  - name: web
    hosts: [192.0.2.10, "2001:db8::a"]
    modules: [tcp_default]
    authorization: {owner: "net team"}
    expect: {tcp: {open: "22,443"}}
`)
	d.scenes = []func(*testing.T){func(t *testing.T) {
		t.Helper()
		runCommand(t, exec.CommandContext(t.Context(), d.network[0], d.network[1], "nft",
			"add table inet doc; add chain inet doc in { type filter hook input priority 0; }; "+
				"add rule inet doc in ip6 daddr 2001:db8::a tcp dport 100-122 drop"))
		d.startExporter(t, sandboxRepository+"/config.yml", "192.0.2.10:22", "[2001:db8::a]:22", "[2001:db8::a]:443", "[2001:db8::a]:10115")
	}}
}
