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
	writeFile(t, file, "modules: [\n")
	step("invalid YAML")
	writeFile(t, file, "target_files: [[], '[']\nunknown: 1\n")
	step("invalid keys")
	writeFile(t, file, "- x\n")
	step("list")
}
