// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"path/filepath"
	"testing"
)

func TestChecksum(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "config.yml")
	extra := filepath.Join(dir, "targets.d", "a.yml")
	seen := make(map[string]string)
	// step checks that the checksum differs from those of all earlier steps.
	step := func(name string) {
		t.Helper()
		sum, err := NewSafeConfig(file, nil).Checksum()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if before, ok := seen[sum]; ok {
			t.Errorf("%s: checksum equals that of %s", name, before)
		}
		seen[sum] = name
		if again, err := NewSafeConfig(file, nil).Checksum(); err != nil || again != sum {
			t.Errorf("%s: second checksum = %s, %v, want %s", name, again, err, sum)
		}
	}
	if _, err := NewSafeConfig(file, nil).Checksum(); err == nil {
		t.Error("Checksum of a missing file = nil error")
	}
	writeFile(t, file, goodText)
	step("no target files")
	writeFile(t, file, goodText+"target_files: ['targets.d/*.yml', literal.yml]\n")
	step("missing target files")
	writeFile(t, extra, "targets: []\n")
	step("target file")
	writeFile(t, extra, "targets: [\n")
	step("invalid target file")
	writeFile(t, filepath.Join(dir, "targets.d", "b.yml"), "")
	step("empty target file")
	writeFile(t, filepath.Join(dir, "literal.yml"), "")
	step("target file without a pattern")
	stepHostsFiles(t, dir, step)
	writeFile(t, file, "modules: [\n")
	step("invalid YAML")
	writeFile(t, file, "target_files: [[], '[']\nunknown: 1\n")
	step("invalid keys")
	writeFile(t, file, "- x\n")
	step("list")
}

// stepHostsFiles changes files of hosts that the configuration and a target file in dir name.
func stepHostsFiles(t *testing.T, dir string, step func(string)) {
	t.Helper()
	own, other := filepath.Join(dir, "hosts.txt"), filepath.Join(dir, "targets.d", "hosts.txt")
	writeFile(t, filepath.Join(dir, "config.yml"), goodText+"targets: [&a {hosts_file: hosts.txt}, {hosts_file: ''}, {hosts_file: []}, x, {<<: *a, name: b}]\ntarget_files: [targets.d/*.yml]\n")
	step("missing file of hosts")
	writeFile(t, own, "192.0.2.1\n")
	step("file of hosts")
	writeFile(t, own, "192.0.2.2\n")
	step("changed file of hosts")
	writeFile(t, filepath.Join(dir, "targets.d", "a.yml"), "- {name: x, hosts_file: hosts.txt}\n")
	step("missing file of hosts of a target file")
	writeFile(t, other, "192.0.2.1\n")
	step("file of hosts of a target file")
	writeFile(t, other, "192.0.2.2\n")
	step("changed file of hosts of a target file")
	writeFile(t, filepath.Join(dir, "targets.d", "a.yml"), "targets: [{name: x, hosts_file: "+own+"}]\n")
	step("absolute path")
}
