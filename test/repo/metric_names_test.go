// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package repo

import (
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.yaml.in/yaml/v4"

	"portscan_exporter/collector"
)

// TestMetricNames requires that docs/metrics.md documents exactly the exported metrics, and
// that dashboards and Prometheus rules use no others.
func TestMetricNames(t *testing.T) {
	t.Parallel()
	code, documented := namesInCode(t), namesInTables(t, "docs/metrics.md")
	for _, name := range missing(code, documented) {
		if !strings.HasPrefix(name, "go_") && !strings.HasPrefix(name, "process_") { // these are client_golang's
			t.Errorf("docs/metrics.md: metric %s is not documented", name)
		}
	}
	for _, name := range missing(documented, code) {
		t.Errorf("docs/metrics.md: metric %s is not exported", name)
	}
	for file, names := range namesInUse(t) {
		for _, name := range missing(names, code) {
			t.Errorf("%s: metric %s is not exported", file, name)
		}
	}
}

// missing returns the names that are not in the other set.
func missing(names, from map[string]bool) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(names)), func(name string) bool { return from[name] })
}

// describer is a registry that collects the names of metrics.
type describer map[string]bool

func (d describer) Register(c prometheus.Collector) error {
	descs := make(chan *prometheus.Desc)
	go func() {
		defer close(descs)
		c.Describe(descs)
	}()
	name := regexp.MustCompile(`fqName: "([^"]+)"`)
	for desc := range descs {
		found := name.FindStringSubmatch(desc.String())
		if found == nil {
			return errors.New("no name in " + desc.String())
		}
		d[found[1]] = true
	}
	return nil
}

func (d describer) MustRegister(all ...prometheus.Collector) {
	for _, c := range all {
		if err := d.Register(c); err != nil {
			panic(err)
		}
	}
}

func (d describer) Unregister(prometheus.Collector) bool { return false }

// namesInCode returns the metrics of /probe and of /metrics.
func namesInCode(t *testing.T) map[string]bool {
	t.Helper()
	d := make(describer)
	d.MustRegister(collector.NewProbe(collector.ProbeResult{}))
	if _, err := collector.NewExporter(d, func() collector.ExporterStats { return collector.ExporterStats{} }); err != nil {
		t.Fatal(err)
	}
	return d
}

// namesInTables returns the metrics in the first column of tables.
func namesInTables(t *testing.T, file string) map[string]bool {
	t.Helper()
	names := make(map[string]bool)
	for _, row := range regexp.MustCompile("(?m)^\\| `((?:probe|portscan)_[a-z0-9_]+)` \\|").FindAllStringSubmatch(read(t, file), -1) {
		names[row[1]] = true
	}
	if len(names) == 0 {
		t.Fatalf("%s: no table of metrics", file)
	}
	return names
}

// namesInUse returns the exporter's metrics in the dashboards, and in the expressions and
// series of the YAML files for Prometheus, by file.
func namesInUse(t *testing.T) map[string]map[string]bool {
	t.Helper()
	used := make(map[string]map[string]bool)
	dashboards, err := filepath.Glob("grafana/dashboards/*.json")
	if err != nil || len(dashboards) == 0 {
		t.Fatalf("reading dashboards: %v", err)
	}
	for _, file := range dashboards {
		var d any
		if err := json.Unmarshal([]byte(read(t, file)), &d); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		used[file] = make(map[string]bool)
		gather(d, used[file], "expr", "query", "definition")
		if len(used[file]) == 0 {
			t.Errorf("%s: no metrics", file)
		}
	}
	err = filepath.WalkDir("prometheus", func(file string, e fs.DirEntry, err error) error {
		if err != nil || !slices.Contains([]string{".yml", ".yaml"}, filepath.Ext(file)) {
			return err
		}
		used[file] = make(map[string]bool)
		for decoder := yaml.NewDecoder(strings.NewReader(read(t, file))); ; {
			var document any
			if err := decoder.Decode(&document); err != nil {
				break // the end, or an error that promtool reports
			}
			gather(document, used[file], "expr", "series")
		}
		if strings.Contains(file, "test") { // tests of rules have metrics of blackbox_exporter, too
			maps.DeleteFunc(used[file], func(name string, _ bool) bool { return strings.HasPrefix(name, "probe_") })
		}
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return used
}

// gather collects the names of the exporter's metrics from the strings under the keys.
func gather(v any, into map[string]bool, keys ...string) {
	inside := func(key string, v any) {
		text, ok := v.(string)
		if !ok || !slices.Contains(keys, key) {
			gather(v, into, keys...)
			return
		}
		for name := range names(text) {
			into[name] = true
		}
	}
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			inside(key, value)
		}
	case map[any]any:
		for key, value := range v {
			text, _ := key.(string)
			inside(text, value)
		}
	case []any:
		for _, value := range v {
			gather(value, into, keys...)
		}
	}
}

// names returns the names in an expression that can only be metrics of the exporter, with
// the histogram's name for its series. Quoted strings are ignored.
func names(expr string) map[string]bool {
	expr = regexp.MustCompile(`"[^"]*"`).ReplaceAllString(expr, `""`)
	found := make(map[string]bool)
	ours := regexp.MustCompile(`^(?:probe|portscan|process|go)_[a-z0-9_]+$`) // names of recording rules have a colon
	for _, name := range regexp.MustCompile(`[a-zA-Z0-9_:]+`).FindAllString(expr, -1) {
		if !ours.MatchString(name) {
			continue
		}
		if base, ok := strings.CutSuffix(name, "_seconds_bucket"); ok {
			name = base + "_seconds"
		}
		found[name] = true
	}
	return found
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
