package main

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const folder = "../dashboards"

// TestCommitted fails where somebody changed the JSON by hand, or forgot to run the
// generator.
func TestCommitted(t *testing.T) {
	t.Parallel()
	want, err := generate()
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if _, ok := want[e.Name()]; !ok {
			t.Errorf("nothing generates %s", e.Name())
		}
	}
	for name, text := range want {
		committed, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Error(err)
			continue
		}
		if string(committed) != string(text) {
			t.Errorf("%s is not what the generator gives: run make dashboards", name)
		}
	}
}

func TestWrite(t *testing.T) {
	t.Parallel()
	to := filepath.Join(t.TempDir(), "new")
	if err := write(to); err != nil {
		t.Fatal(err)
	}
	for _, uid := range []string{fleetUID, targetUID} {
		var d dashboard
		text, err := os.ReadFile(filepath.Join(to, uid+".json"))
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, &d); err != nil || d.UID != uid {
			t.Errorf("%s: %q, %v", uid, d.UID, err)
		}
	}
}

// dashboards are the committed ones.
func dashboards(t *testing.T) map[string]*dashboard {
	t.Helper()
	all := make(map[string]*dashboard)
	for _, uid := range []string{fleetUID, targetUID} {
		text, err := os.ReadFile(filepath.Join(folder, uid+".json"))
		if err != nil {
			t.Fatal(err)
		}
		var d dashboard
		if err := json.Unmarshal(text, &d); err != nil {
			t.Fatal(err)
		}
		all[uid] = &d
	}
	return all
}

// TestLayout fills the grid with the panels: no cell may be covered twice, and none
// may be left.
func TestLayout(t *testing.T) {
	t.Parallel()
	for uid, d := range dashboards(t) {
		covered := make(map[[2]int]string)
		bottom := 0
		for _, p := range d.Panels {
			g := p.GridPos
			if g.W < 1 || g.H < 1 || g.X < 0 || g.Y < 0 || g.X+g.W > 24 {
				t.Fatalf("%s: %q is out of the grid: %+v", uid, p.Title, g)
			}
			bottom = max(bottom, g.Y+g.H)
			for x := g.X; x < g.X+g.W; x++ {
				for y := g.Y; y < g.Y+g.H; y++ {
					if other, ok := covered[[2]int{x, y}]; ok {
						t.Fatalf("%s: %q and %q overlap", uid, p.Title, other)
					}
					covered[[2]int{x, y}] = p.Title
				}
			}
		}
		if len(covered) != 24*bottom {
			t.Errorf("%s: %d cells are covered of %d: a line is ragged", uid, len(covered), 24*bottom)
		}
	}
}

func TestRaggedLine(t *testing.T) {
	t.Parallel()
	for n, ragged := range map[int]bool{0: true, 1: false, 4: false, 5: true, 7: true} {
		_, err := place([]section{{title: "s", lines: []line{lineOf(4, slices.Repeat([]*panel{{}}, n)...)}}})
		if (err != nil) != ragged {
			t.Errorf("%d panels side by side: %v", n, err)
		}
	}
}

// TestPanels asks of each panel what a reader needs.
func TestPanels(t *testing.T) {
	t.Parallel()
	for uid, d := range dashboards(t) {
		ids, titles := make(map[int]bool), make(map[string]bool)
		for _, p := range d.Panels {
			if ids[p.ID] || titles[p.Title] || p.ID == 0 || p.Title == "" {
				t.Errorf("%s: the number %d or the title %q is none, or there twice", uid, p.ID, p.Title)
			}
			ids[p.ID], titles[p.Title] = true, true
			if p.Type != "row" {
				checkPanel(t, uid, p)
			}
		}
	}
}

func checkPanel(t *testing.T, uid string, p *panel) {
	t.Helper()
	if len(p.Description) < 20 || !strings.HasSuffix(p.Description, ".") {
		t.Errorf("%s: %q has no description: %q", uid, p.Title, p.Description)
	}
	if p.FieldConfig == nil || p.FieldConfig.Defaults.Unit == "" {
		t.Errorf("%s: %q has no unit", uid, p.Title)
	}
	if p.Datasource == nil || *p.Datasource != *chosen() || len(p.Targets) == 0 {
		t.Errorf("%s: %q has no query, or a data source of its own", uid, p.Title)
	}
	for _, q := range p.Targets {
		if q.Datasource == nil || *q.Datasource != *chosen() || q.Expr == "" || q.Instant == q.Range {
			t.Errorf("%s: query %s of %q is not one of the chosen data source, instant or over time", uid, q.RefID, p.Title)
		}
		if strings.Contains(q.Expr, "portscan_port") && strings.Contains(q.Expr, "by (module, ip") {
			t.Errorf("%s: query %s of %q counts a port for each module that scans it", uid, q.RefID, p.Title)
		}
	}
}

// TestPortable: nothing in a dashboard may be of the Grafana that it was made in.
func TestPortable(t *testing.T) {
	t.Parallel()
	for uid, d := range dashboards(t) {
		text, err := os.ReadFile(filepath.Join(folder, uid+".json"))
		if err != nil {
			t.Fatal(err)
		}
		var raw map[string]any
		if err := json.Unmarshal(text, &raw); err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"__inputs", "__requires", "__elements", "id", "version", "iteration"} {
			if _, ok := raw[key]; ok {
				t.Errorf("%s has the key %s", uid, key)
			}
		}
		if len(uid) > 40 || d.UID != uid { // as many as Grafana takes
			t.Errorf("%s has the uid %q", uid, d.UID)
		}
	}
}

// TestVariables fails where a query or a link has a variable that its dashboard has
// not.
func TestVariables(t *testing.T) {
	t.Parallel()
	variable := regexp.MustCompile(`\$(?:\{(\w+)[^}]*\}|(\w+))`)
	all := dashboards(t)
	for uid, d := range all {
		own := variables(d)
		used := make(map[string]bool)
		text, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range variable.FindAllStringSubmatch(string(text), -1) {
			used[m[1]+m[2]] = true
		}
		for name := range used {
			if !own[name] && !strings.HasPrefix(name, "__") && name != "1" { // $1 is of label_replace
				t.Errorf("%s uses $%s and has no such variable", uid, name)
			}
		}
		for name := range own {
			if !used[name] {
				t.Errorf("%s does not use its variable %s", uid, name)
			}
		}
	}
}

func variables(d *dashboard) map[string]bool {
	names := make(map[string]bool)
	for _, v := range d.Templating.List {
		names[v.Name] = true
	}
	return names
}

// TestLinks follows the links from one dashboard to another.
func TestLinks(t *testing.T) {
	t.Parallel()
	all := dashboards(t)
	reached := make(map[string]bool)
	for uid, d := range all {
		for _, url := range urls(t, d) {
			if strings.HasPrefix(url, "${exporter_url:raw}/") {
				continue // the tests in e2e follow these
			}
			path, query, _ := strings.Cut(url, "?")
			to, ok := all[strings.TrimPrefix(path, "/d/")]
			if !ok {
				t.Errorf("%s: %s leads to no dashboard of ours", uid, url)
				continue
			}
			reached[to.UID] = true
			there := variables(to)
			for _, m := range regexp.MustCompile(`var-(\w+)=|\$\{(\w+):queryparam\}`).FindAllStringSubmatch(query, -1) {
				if name := m[1] + m[2]; !there[name] {
					t.Errorf("%s: %s hands over %s, which %s has not", uid, url, name, to.UID)
				}
			}
		}
	}
	if len(reached) != len(all) {
		t.Errorf("links lead to %v alone", slices.Sorted(maps.Keys(reached)))
	}
}

// urls are the links of a dashboard and of its values.
func urls(t *testing.T, d *dashboard) []string {
	t.Helper()
	var found []string
	for _, l := range d.Links {
		found = append(found, l.URL)
	}
	for _, p := range d.Panels {
		if p.FieldConfig == nil {
			continue
		}
		for _, o := range p.FieldConfig.Overrides {
			for _, property := range o.Properties {
				if property.ID != "links" {
					continue
				}
				for _, l := range property.Value.([]any) {
					found = append(found, l.(map[string]any)["url"].(string))
				}
			}
		}
	}
	return found
}
