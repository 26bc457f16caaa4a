// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzLoad checks that all messages are single lines, and that a loaded
// configuration can be encoded and loaded again.
func FuzzLoad(f *testing.F) {
	for _, pattern := range []string{"testdata/*/*.yml", "testdata/*/*/*.yml"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg, problems := fuzzLoad(t, data)
		for _, p := range problems {
			if msg := p.Error(); strings.ContainsAny(msg, "\n\r") {
				t.Errorf("message = %q, want one line", msg)
			}
		}
		if cfg == nil {
			return
		}
		for _, target := range cfg.Targets() {
			for _, m := range target.Modules {
				if (Selection{Target: target}).Task(m).Plan.IsZero() {
					t.Errorf("target %q has no plan for module %q", target.Name, m.Name)
				}
			}
		}
		text := mustYAML(t, cfg)
		again, problems := fuzzLoad(t, []byte(text))
		if again == nil {
			t.Fatalf("loading the encoded configuration: %v\n%s", problems, text)
		}
		if got := mustYAML(t, again); got != text {
			t.Errorf("YAML = %s, want %s", got, text)
		}
	})
}

// fuzzLoad loads a configuration without further files.
func fuzzLoad(t *testing.T, data []byte) (*Config, []*Error) {
	t.Helper()
	if strings.Contains(string(data), "target_files") || strings.Contains(string(data), "hosts_file") {
		t.Skip("the keys can name any file of this machine")
	}
	l := newLoader(newReader(), "config.yml", testTime())
	cfg, _, err := l.load(data)
	if (cfg == nil) != (err != nil) {
		t.Errorf("load = %v, %v, want either a configuration or an error", cfg, err)
	}
	return cfg, append(l.errs, l.warnings...)
}
