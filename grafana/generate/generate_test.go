// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

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

func TestDashboardsUpToDate(t *testing.T) {
	t.Parallel()
	want, err := renderDashboards()
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if _, ok := want[e.Name()]; !ok {
			t.Errorf("%s is not generated", e.Name())
		}
	}
	for name, text := range want {
		committed, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Error(err)
			continue
		}
		if string(committed) != string(text) {
			t.Errorf("%s is out of date: run make dashboards", name)
		}
	}
}

func TestWriteDashboards(t *testing.T) {
	t.Parallel()
	to := filepath.Join(t.TempDir(), "new")
	if err := writeDashboards(to); err != nil {
		t.Fatal(err)
	}
	for _, uid := range []string{fleetUID, targetUID} {
		var d dashboard
		text, err := os.ReadFile(filepath.Join(to, uid+".json"))
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, &d); err != nil || d.UID != uid {
			t.Errorf("got UID %q, %v, want %q", d.UID, err, uid)
		}
	}
}

// readDashboards returns the committed dashboards.
func readDashboards(t *testing.T) map[string]*dashboard {
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

// TestPanelsFillGrid checks that panels cover each grid cell once.
func TestPanelsFillGrid(t *testing.T) {
	t.Parallel()
	for uid, d := range readDashboards(t) {
		covered := make(map[[2]int]string)
		bottom := 0
		for _, p := range d.Panels {
			g := p.GridPos
			if g.W < 1 || g.H < 1 || g.X < 0 || g.Y < 0 || g.X+g.W > 24 {
				t.Fatalf("%s: panel %q is outside the grid: %+v", uid, p.Title, g)
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
			t.Errorf("%s: panels cover %d cells, want %d", uid, len(covered), 24*bottom)
		}
	}
}

func TestLayOutSectionsPanelCount(t *testing.T) {
	t.Parallel()
	for n, wantErr := range map[int]bool{0: true, 1: false, 4: false, 5: true, 7: true} {
		_, err := layOutSections([]section{{title: "s", lines: []panelLine{newPanelLine(4, slices.Repeat([]*panel{{}}, n)...)}}})
		if (err != nil) != wantErr {
			t.Errorf("layOutSections with %d panels: got error %v, want error %v", n, err, wantErr)
		}
	}
}

func TestPanelsComplete(t *testing.T) {
	t.Parallel()
	for uid, d := range readDashboards(t) {
		ids, titles := make(map[int]bool), make(map[string]bool)
		for _, p := range d.Panels {
			if ids[p.ID] || titles[p.Title] || p.ID == 0 || p.Title == "" {
				t.Errorf("%s: ID %d or title %q is empty or repeated", uid, p.ID, p.Title)
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
		t.Errorf("%s: panel %q has description %q, want a sentence", uid, p.Title, p.Description)
	}
	if p.FieldConfig == nil || p.FieldConfig.Defaults.Unit == "" {
		t.Errorf("%s: panel %q has no unit", uid, p.Title)
	}
	if p.Datasource == nil || *p.Datasource != *selectedDatasource() || len(p.Targets) == 0 {
		t.Errorf("%s: panel %q has no query or another data source", uid, p.Title)
	}
	for _, q := range p.Targets {
		if q.Datasource == nil || *q.Datasource != *selectedDatasource() || q.Expr == "" || q.Instant == q.Range {
			t.Errorf("%s: query %s of panel %q has another data source, no expression, or not one of instant and range", uid, q.RefID, p.Title)
		}
		if strings.Contains(q.Expr, "portscan_port") && strings.Contains(q.Expr, "by (module, ip") {
			t.Errorf("%s: query %s of panel %q counts a port once per module", uid, q.RefID, p.Title)
		}
	}
}

// TestDashboardsPortable checks that dashboards have no keys of a Grafana instance.
func TestDashboardsPortable(t *testing.T) {
	t.Parallel()
	for uid, d := range readDashboards(t) {
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
		if len(uid) > 40 || d.UID != uid { // Grafana's limit
			t.Errorf("got UID %q, want %q, at most 40 characters", d.UID, uid)
		}
	}
}

// TestVariablesUsedAndDefined covers variables in queries and links.
func TestVariablesUsedAndDefined(t *testing.T) {
	t.Parallel()
	variable := regexp.MustCompile(`\$(?:\{(\w+)[^}]*\}|(\w+))`)
	all := readDashboards(t)
	for uid, d := range all {
		defined := variableNames(d)
		used := make(map[string]bool)
		text, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range variable.FindAllStringSubmatch(string(text), -1) {
			used[m[1]+m[2]] = true
		}
		for name := range used {
			if !defined[name] && !strings.HasPrefix(name, "__") && name != "1" { // $1 is of label_replace
				t.Errorf("%s: variable $%s is not defined", uid, name)
			}
		}
		for name := range defined {
			if !used[name] {
				t.Errorf("%s: variable $%s is not used", uid, name)
			}
		}
	}
}

func variableNames(d *dashboard) map[string]bool {
	names := make(map[string]bool)
	for _, v := range d.Templating.List {
		names[v.Name] = true
	}
	return names
}

// TestLinksBetweenDashboards checks links from one dashboard to another.
func TestLinksBetweenDashboards(t *testing.T) {
	t.Parallel()
	all := readDashboards(t)
	reached := make(map[string]bool)
	for uid, d := range all {
		for _, url := range linkURLs(t, d) {
			if strings.HasPrefix(url, "${exporter_url:raw}/") {
				continue // tested in test/e2e
			}
			path, query, _ := strings.Cut(url, "?")
			to, ok := all[strings.TrimPrefix(path, "/d/")]
			if !ok {
				t.Errorf("%s: link %s has no dashboard", uid, url)
				continue
			}
			reached[to.UID] = true
			defined := variableNames(to)
			for _, m := range regexp.MustCompile(`var-(\w+)=|\$\{(\w+):queryparam\}`).FindAllStringSubmatch(query, -1) {
				if name := m[1] + m[2]; !defined[name] {
					t.Errorf("%s: link %s sets variable %s, which %s does not define", uid, url, name, to.UID)
				}
			}
		}
	}
	if len(reached) != len(all) {
		t.Errorf("only %v have links to them, want all dashboards", slices.Sorted(maps.Keys(reached)))
	}
}

// linkURLs returns the URLs of a dashboard's links and data links.
func linkURLs(t *testing.T, d *dashboard) []string {
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
