// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// TestTargetFilesHidden has files of editors, file systems and Kubernetes beside target files.
func TestTargetFilesHidden(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{
		"mail", "targets.d/a", "targets.d/.#mail", "targets.d/._mail", "targets.d/.old",
		"targets.d/..2026_11_28/a", ".d/hidden", ".d/.twice", "targets.d/sub.yml/b",
	} {
		owned := strings.NewReplacer("/", "_", "#", "_").Replace(name)
		writeFile(t, filepath.Join(dir, name+".yml"), "[{name: "+owned+", hosts: [192.0.2.1], modules: [tcp], authorization: {owner: x}}]\n")
	}
	if err := os.Symlink("..2026_11_28", filepath.Join(dir, "targets.d", "..data")); err != nil {
		t.Skip("SKIPPED, NOT TESTED:", err)
	}
	for pattern, want := range map[string][]string{
		"targets.d/*.yml":     {"targets.d_a"},
		"targets.d/*":         {"targets.d_a"},
		"targets.d/[.a]*.yml": {"targets.d_a"},
		"targets.d/?old.yml":  nil,
		"targets.d/.o*.yml":   {"targets.d_.old"},
		"targets.d/..data/*":  {"targets.d_..2026_11_28_a"},
		"*/*.yml":             {"targets.d_a"},
		"*/*/*.yml":           {"targets.d_sub.yml_b"},
		".d/*.yml":            {".d_hidden"},
		`\.d/*.yml`:           {".d_hidden"},
		".*/*.yml":            {".d_hidden"},
		"./targets.d/./*.yml": {"targets.d_a"},
		dir + "/targets.d/*":  {"targets.d_a"},
		"none.d/*.yml":        nil,
	} {
		file := filepath.Join(dir, "config.yml")
		writeFile(t, file, goodText+"target_files: ['"+pattern+"']\n")
		cfg, _, err := Load(file, testTime())
		if err != nil {
			t.Errorf("%s: %v", pattern, err)
		} else if got := targetNames(cfg); !slices.Equal(got, want) {
			t.Errorf("targets of %s = %q, want %q", pattern, got, want)
		}
	}
}

// TestTargetFilesHiddenDirectory has a configuration in a hidden directory, whose name no pattern has.
func TestTargetFilesHiddenDirectory(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), ".config")
	writeFile(t, filepath.Join(dir, "a.d", "a.yml"), "[{name: a, hosts: [192.0.2.1], modules: [tcp], authorization: {owner: x}}]\n")
	file := filepath.Join(dir, "config.yml")
	writeFile(t, file, goodText+"target_files: ['a.d/*']\n")
	cfg, _, err := Load(file, testTime())
	if err != nil || len(cfg.Targets()) != 1 {
		t.Errorf("Load = %v, %v, want one target", cfg, err)
	}
}

// TestTargetFilesUnreadableDirectory requires that an unreadable directory does not look empty.
func TestTargetFilesUnreadableDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file, notDir := filepath.Join(dir, "config.yml"), filepath.Join(dir, "file")
	writeFile(t, notDir, "")
	writeFile(t, file, goodText+"target_files: ['file/*.yml']\n")
	_, _, err := Load(file, testTime())
	if want := file + ":2: target_files[0]: cannot read " + notDir + ": not a directory"; err == nil || err.Error() != want {
		t.Errorf("Load = %v, want %q", err, want)
	}
	if runtime.GOOS == "windows" || os.Geteuid() == 0 {
		return // a mode does not prevent reading
	}
	closed := filepath.Join(dir, "closed")
	writeFile(t, file, goodText+"target_files: ['closed/*.yml']\n")
	if err := os.Mkdir(closed, 0o100); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Load(file, testTime()); err == nil || !strings.Contains(err.Error(), "cannot read "+closed+": permission denied") {
		t.Errorf("Load = %v, want an error", err)
	}
}
