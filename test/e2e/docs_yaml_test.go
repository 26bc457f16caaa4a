// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

// checkYAML checks a YAML block with the program that reads it. Parts that the reader must add are
// added.
func (d *document) checkYAML(t *testing.T, b codeBlock) {
	t.Helper()
	var content any
	if err := yaml.Unmarshal([]byte(b.text), &content); err != nil {
		t.Errorf("%v: %v", b, err)
		return
	}
	keys := slices.Sorted(maps.Keys(asMapping(content)))
	has := func(either ...string) bool {
		return slices.ContainsFunc(either, func(key string) bool { return slices.Contains(keys, key) })
	}
	switch {
	case has("scrape_configs", "rule_files"):
		d.checkFile(t, b, b.text, "promtool", "check", "config")
	case has("modules", "targets", "target_files", "external_labels"):
		d.checkFile(t, b, completeConfig(b.text, has), "portscan_exporter", "--config.check", "--config.file")
	case strings.HasPrefix(strings.TrimLeft(b.text, "# ./abcdefghijklmnopqrstuvwxyz\n"), "- name:"):
		d.writeFile(t, "/yaml/targets.d/mail.yml", strings.NewReader(b.text))
		config := completeConfig("target_files: [targets.d/*.yml]\n", func(all ...string) bool { return all[0] == "targets" })
		d.checkFile(t, b, config, "portscan_exporter", "--config.check", "--config.file")
	case has("tls_server_config"):
		cert, key, _ := writeServerCertificate(t)
		d.copyIn(t, cert, "/yaml/tls.crt")
		d.copyIn(t, key, "/yaml/tls.key")
		d.checkFile(t, b, strings.ReplaceAll(b.text, "$2y$10$...", hashPassword(t, "secret")), "promtool", "check", "web-config")
	case has("route"):
		d.checkFile(t, b, b.text+"receivers: [{name: default}, {name: net_team}]\n", "amtool", "check-config")
	case asMapping(content)["kind"] == "Kustomization":
		// The Kustomization refers to files that the reader creates. The tests of
		// deploy/kubernetes/check build its base.
	default:
		t.Errorf("%v: no checker for YAML with the keys %v", b, keys)
	}
}

func asMapping(content any) map[string]any {
	m, _ := content.(map[string]any)
	return m
}

// checkFile runs a checker in a directory that has the files that the blocks refer to.
func (d *document) checkFile(t *testing.T, b codeBlock, text string, checker ...string) {
	t.Helper()
	d.writeFile(t, "/yaml/snippet.yml", strings.NewReader(text))
	d.run(t, "sh", "-c", `cd /yaml; touch password; cp /src/prometheus/*.yml .`)
	args := append([]string{"sh", "-c", `cd /yaml && exec "$0" "$@" snippet.yml`}, checker...)
	out, err := d.command(t, args...).CombinedOutput()
	if err != nil || strings.Contains(normalizeOutput(string(out)), "warning: ") {
		t.Errorf("%v: %s: %v\n%s", b, strings.Join(checker, " "), err, out)
	}
}

// completeConfig adds the module or target that a configuration lacks.
func completeConfig(text string, has func(...string) bool) string {
	if !has("modules") {
		text += "modules:\n  tcp_default: {ports: 22}\n"
	}
	if !has("targets") {
		module := "tcp_default"
		if strings.Contains(text, "tcp_sweep:") {
			module = "tcp_sweep"
		}
		text += fmt.Sprintf("targets:\n  - {name: one, hosts: [192.0.2.10], modules: [%s], authorization: {owner: \"the test\"}}\n", module)
	}
	return text
}
