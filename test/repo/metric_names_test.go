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

// TestMetricNames holds the names of metrics in the code, in docs/metrics.md, in the
// dashboards and in Prometheus's rules against each other.
func TestMetricNames(t *testing.T) {
	t.Parallel()
	code, documented := namesInCode(t), namesInTables(t, "docs/metrics.md")
	for _, name := range missing(code, documented) {
		if !strings.HasPrefix(name, "go_") && !strings.HasPrefix(name, "process_") { // these are client_golang's
			t.Errorf("%s is exported, and no table of docs/metrics.md has it", name)
		}
	}
	for _, name := range missing(documented, code) {
		t.Errorf("docs/metrics.md has %s, which is not exported", name)
	}
	for file, names := range namesInUse(t) {
		for _, name := range missing(names, code) {
			t.Errorf("%s names %s, which is not exported", file, name)
		}
	}
}

// missing are the names that are in the one set and not in the other.
func missing(names, from map[string]bool) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(names)), func(name string) bool { return from[name] })
}

// describer is a registry that keeps the names of what is registered.
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

// namesInCode are the metrics of /probe and of /metrics.
func namesInCode(t *testing.T) map[string]bool {
	t.Helper()
	d := make(describer)
	d.MustRegister(collector.NewProbe(collector.ProbeResult{}))
	if _, err := collector.NewExporter(d, func() collector.ExporterStats { return collector.ExporterStats{} }); err != nil {
		t.Fatal(err)
	}
	return d
}

// namesInTables are the metrics that begin a row of a table.
func namesInTables(t *testing.T, file string) map[string]bool {
	t.Helper()
	names := make(map[string]bool)
	for _, row := range regexp.MustCompile("(?m)^\\| `((?:probe|portscan)_[a-z0-9_]+)` \\|").FindAllStringSubmatch(read(t, file), -1) {
		names[row[1]] = true
	}
	if len(names) == 0 {
		t.Fatalf("no table of metrics in %s", file)
	}
	return names
}

// namesInUse are the metrics of ours in the dashboards, and in the expressions and
// series of whatever YAML there is for Prometheus, by file.
func namesInUse(t *testing.T) map[string]map[string]bool {
	t.Helper()
	used := make(map[string]map[string]bool)
	dashboards, err := filepath.Glob("grafana/dashboards/*.json")
	if err != nil || len(dashboards) == 0 {
		t.Fatalf("no dashboards: %v", err)
	}
	for _, file := range dashboards {
		var d any
		if err := json.Unmarshal([]byte(read(t, file)), &d); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		used[file] = make(map[string]bool)
		gather(d, used[file], "expr", "query", "definition")
		if len(used[file]) == 0 {
			t.Errorf("%s names no metric", file)
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
				break // the end; promtool says what is wrong with a rule file
			}
			gather(document, used[file], "expr", "series")
		}
		if strings.Contains(file, "test") { // where there are blackbox_exporter's metrics too
			maps.DeleteFunc(used[file], func(name string, _ bool) bool { return strings.HasPrefix(name, "probe_") })
		}
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return used
}

// gather collects the names of our metrics from the texts under these keys.
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

// names are the names in an expression that only a metric of the exporter has. What is
// in quotes is none, and a histogram's series bear the histogram's.
func names(expr string) map[string]bool {
	expr = regexp.MustCompile(`"[^"]*"`).ReplaceAllString(expr, `""`)
	found := make(map[string]bool)
	ours := regexp.MustCompile(`^(?:probe|portscan|process|go)_[a-z0-9_]+$`) // one with a colon is a rule's own
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
