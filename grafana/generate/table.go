// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package main

// table is a table panel of instant queries. Queries with the same labels share rows.
type table struct {
	title, description string
	noValue            string // text without rows
	queries            []string
	columns            []column // from left to right
	sortBy             string   // a column's name
	descending         bool
}

// column is a label or the value of a query.
type column struct {
	field    string // label, "Value", or "Value #A" with several queries
	name     string // header; empty: hidden
	unit     string
	links    []dataLink
	mappings []mapping
	steps    []step
	width    int
}

type tableOptions struct {
	ShowHeader bool     `json:"showHeader"`
	CellHeight string   `json:"cellHeight"`
	FrameIndex int      `json:"frameIndex"`
	Footer     footer   `json:"footer"`
	SortBy     []sortBy `json:"sortBy"`
}

type footer struct {
	Show    bool     `json:"show"`
	Reducer []string `json:"reducer"`
}

type sortBy struct {
	DisplayName string `json:"displayName"`
	Desc        bool   `json:"desc"`
}

// cells has the default cell options.
type cells struct {
	Align      string `json:"align"`
	Inspect    bool   `json:"inspect"`
	Filterable bool   `json:"filterable"`
}

type organize struct {
	ExcludeByName map[string]bool   `json:"excludeByName"`
	IndexByName   map[string]int    `json:"indexByName"`
	RenameByName  map[string]string `json:"renameByName"`
}

func (t table) panel() *panel {
	all := make([]query, len(t.queries))
	for i, q := range t.queries {
		all[i].expr = q
	}
	// Time is the same in all rows.
	o := organize{
		ExcludeByName: map[string]bool{"Time": true}, IndexByName: map[string]int{}, RenameByName: map[string]string{},
	}
	overrides := []override{}
	for i, c := range t.columns {
		if c.name == "" { // its value only selects the row
			o.ExcludeByName[c.field] = true
			continue
		}
		o.IndexByName[c.field] = i
		o.RenameByName[c.field] = c.name
		if p := c.properties(); len(p) > 0 {
			overrides = append(overrides, override{Matcher: matcher{ID: "byName", Options: c.name}, Properties: p})
		}
	}
	transformations := []transformation{{ID: "organize", Options: o}}
	if len(all) > 1 {
		transformations = append([]transformation{{ID: "merge", Options: struct{}{}}}, transformations...)
	}
	return &panel{
		Type: "table", Title: t.title, Description: t.description, Datasource: selectedDatasource(),
		Targets: queries("table", true, all...),
		FieldConfig: &fieldConfig{
			Defaults: field{
				Unit: "none", NoValue: t.noValue, Color: &color{Mode: "thresholds"},
				Thresholds: &thresholds{Mode: "absolute", Steps: fixedColor("text")},
				Custom:     cells{Align: "auto", Filterable: true},
			},
			Overrides: overrides,
		},
		Options: tableOptions{
			ShowHeader: true, CellHeight: "sm", Footer: footer{Reducer: []string{"sum"}},
			SortBy: []sortBy{{DisplayName: t.sortBy, Desc: t.descending}},
		},
		Transformations: transformations,
	}
}

// properties returns the overrides of the column.
func (c column) properties() []property {
	var p []property
	if c.unit != "" {
		p = append(p, property{ID: "unit", Value: c.unit})
	}
	if len(c.links) > 0 {
		p = append(p, property{ID: "links", Value: c.links})
	}
	if len(c.mappings) > 0 {
		p = append(p, property{ID: "mappings", Value: c.mappings})
	}
	if len(c.steps) > 0 {
		p = append(p, property{ID: "thresholds", Value: thresholds{Mode: "absolute", Steps: c.steps}})
	}
	if len(c.mappings) > 0 || len(c.steps) > 0 {
		p = append(p, property{ID: "custom.cellOptions", Value: map[string]string{"type": "color-text"}})
	}
	if c.width > 0 {
		p = append(p, property{ID: "custom.width", Value: c.width})
	}
	return p
}
