// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// testTime returns the time of all loads.
func testTime() time.Time { return time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC) }

// badCase is a fixture in testdata/bad with its errors.
type badCase struct {
	name string
	want []string
}

func TestLoadErrors(t *testing.T) {
	cases := slices.Concat(badFiles(), badModules(), badHosts(), badTargets())
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			cfg, _, err := Load("testdata/bad/"+c.name+".yml", testTime())
			if err == nil || cfg != nil {
				t.Fatalf("Load = %v, %v, want only an error", cfg, err)
			}
			got := strings.Split(strings.ReplaceAll(err.Error(), "testdata/bad/", ""), "\n")
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("errors (-want +got):\n%s", diff)
			}
		})
	}
	checkFixtureCount(t, "bad", len(cases))
}

// checkFixtureCount checks that all fixtures are tested.
func checkFixtureCount(t *testing.T, dir string, want int) {
	t.Helper()
	files, err := filepath.Glob("testdata/" + dir + "/*.yml")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != want {
		t.Errorf("fixtures in testdata/%s = %d, want %d", dir, len(files), want)
	}
}

func TestLoadWarnings(t *testing.T) {
	cases := []struct {
		name string
		want []string
	}{
		{"useless_networks", []string{
			`useless_networks.yml:8: targets[0].networks: networks has no effect, because hosts has no name: remove the key, or write a target with networks and without hosts to scan addresses on request`,
		}},
		{"alert_labels", []string{
			`alert_labels.yml:8: targets[0].labels.severity: alerts have a label severity of their own, which replaces this one: write another name`,
			`alert_labels.yml:8: targets[0].labels.seen: alerts have a label seen of their own, which replaces this one: write another name`,
			`alert_labels.yml:9: external_labels.alertstate: alerts have a label alertstate of their own, which replaces this one: write another name`,
		}},
		{"expect", []string{
			`expect.yml:9: targets[0].expect.tcp.open: module "tcp" excludes ports 80,443-444, which must be open: write each port only in open or only in exclude_ports`,
			`expect.yml:10: targets[0].expect.udp: no module of this target scans udp, so these ports are not checked: write a udp module in modules`,
			`expect.yml:21: targets[2].expect.tcp.open: module "tcp" excludes port 80, which must be open: write each port only in open or only in exclude_ports`,
		}},
		{"expired", []string{
			`expired.yml:7: targets[0].authorization.expires: authorization expired (2026-01-14) and probes of this target are refused: write a later date after renewal`,
			`expired.yml:15: targets[2].authorization.expires: authorization expired (2026-01-15T12:00:00Z) and probes of this target are refused: write a later date after renewal`,
		}},
		{"no_targets", []string{
			`no_targets.yml: no targets are configured: write at least one in targets`,
		}},
		{"scrape_interval", []string{
			`scrape_interval.yml:3: modules.rare.scrape_interval: 10m is longer than 4m, and Prometheus regards a series as gone 5m after its last sample: write scrape_interval: 4m, and max_age if hosts must be scanned less often`,
			`scrape_interval.yml:4: modules.late.scrape_interval: 4m1s is longer than 4m, and Prometheus regards a series as gone 5m after its last sample: write scrape_interval: 4m, and max_age if hosts must be scanned less often`,
		}},
		{"slow_udp", []string{
			`slow_udp.yml:2: modules.slow.ports: scanning 90 UDP ports can take 1m25s, longer than the timeout of 9s, because many hosts report six closed ports at once and then one per second: write fewer ports, or a longer timeout`,
			`slow_udp.yml:3: modules.top.ports: scanning 100 UDP ports can take 1m35s, longer than the timeout of 9s, because many hosts report six closed ports at once and then one per second: write fewer ports, or a longer timeout`,
		}},
		{"target_file", []string{
			`files/old.yml:5: targets[0].authorization.expires: authorization expired (2020-01-01) and probes of this target are refused: write a later date after renewal`,
		}},
		{"unused_module", []string{
			`unused_module.yml:3: modules.other: no target uses this module: write the name in the modules of a target, or remove the module`,
			`unused_module.yml:4: modules.third: no target uses this module: write the name in the modules of a target, or remove the module`,
		}},
		{"variables", []string{
			`variables.yml:7: targets[0].authorization.owner: environment variables are not expanded in "${OWNER}": write the value itself`,
			`variables.yml:8: targets[0].labels.env: environment variables are not expanded in "$ENV": write the value itself`,
			`variables.yml:8: targets[0].labels.region: environment variables are not expanded in "eu-${REGION:-west}": write the value itself`,
			`variables.yml:9: target_files[0]: environment variables are not expanded in "$HOME/*.yml": write the value itself`,
		}},
		{"zero_number", []string{
			`zero_number.yml:2: modules.tcp.ports: 0443 is read as 443: write 443`,
		}},
		{"zeros", []string{
			`zeros.yml:2: modules.tcp.ports: 0443 is read as 443: write 443`,
			`zeros.yml:2: modules.tcp.ports: 0080 is read as 80: write 80`,
			`zeros.yml:2: modules.tcp.ports: 0090 is read as 90: write 90`,
			`zeros.yml:2: modules.tcp.exclude_ports[0]: 0025 is read as 25: write 25`,
			`zeros.yml:2: modules.tcp.exclude_ports[1]: 01 is read as 1: write 1`,
			`zeros.yml:2: modules.tcp.retries: 03 is read as 3: write 3`,
			`zeros.yml:2: modules.tcp.max_retries: 010 is read as 10: write 10`,
			`zeros.yml:8: targets[0].expect.tcp.open: 0443 is read as 443: write 443`,
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, warnings, err := Load("testdata/warn/"+c.name+".yml", testTime())
			if err != nil {
				t.Fatal(err)
			}
			for i := range warnings {
				warnings[i] = strings.TrimPrefix(warnings[i], "testdata/warn/")
			}
			if diff := cmp.Diff(c.want, warnings); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
		})
	}
	checkFixtureCount(t, "warn", len(cases))
}

func TestLoadMissingFile(t *testing.T) {
	_, _, err := Load("testdata/missing.yml", testTime())
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Load = %v, want fs.ErrNotExist", err)
	}
	if got, want := err.Error(), "testdata/missing.yml: cannot read file: no such file or directory"; got != want {
		t.Errorf("Load = %q, want %q", got, want)
	}
}

// TestLoadInvalidTargetWarnings checks that a module of an invalid target is not
// reported as unused.
func TestLoadInvalidTargetWarnings(t *testing.T) {
	_, warnings, err := Load("testdata/bad/target_modules.yml", testTime())
	if err == nil || len(warnings) > 0 {
		t.Errorf("Load = %q, %v, want an error and no warnings", warnings, err)
	}
}

func TestLoadErrorType(t *testing.T) {
	_, _, err := Load("testdata/bad/merged_error.yml", testTime())
	e, ok := errors.AsType[*Error](err)
	if !ok {
		t.Fatalf("Load = %v, want an *Error", err)
	}
	if e.File != "testdata/bad/merged_error.yml" || e.Line != 2 || e.Path != "modules.base.timeout" {
		t.Errorf("first error = %q in %q, line %d, path %q", e.Msg, e.File, e.Line, e.Path)
	}
}

func TestLoadDirectoryWithMetacharacters(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "[ab]*?")
	writeFile(t, filepath.Join(dir, "config.yml"), "modules: {tcp: {ports: 22}}\ntarget_files: ['*.d/*.yml', targets.d/b.yml]\n")
	for _, name := range []string{"b", "a"} {
		writeFile(t, filepath.Join(dir, "targets.d", name+".yml"),
			"targets: [{name: "+name+", hosts: [192.0.2.1], modules: [tcp], authorization: {owner: x}}]\n")
	}
	cfg, _, err := Load(filepath.Join(dir, "config.yml"), testTime())
	if err != nil {
		t.Fatal(err)
	}
	if got := targetNames(cfg); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("targets = %q, want a and b", got)
	}
}

func targetNames(cfg *Config) []string {
	var names []string
	for _, target := range cfg.Targets() {
		names = append(names, target.Name)
	}
	return names
}

func writeFile(tb testing.TB, name, text string) {
	tb.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
}
