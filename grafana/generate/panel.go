// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"strconv"
)

// query is an expression and the legend of its series.
type query struct{ expr, legend string }

// queries returns targets with reference IDs A, B, ...
func queries(format string, instant bool, all ...query) []target {
	targets := make([]target, len(all))
	for i, q := range all {
		targets[i] = target{
			RefID: string(rune('A' + i)), Datasource: selectedDatasource(), Expr: q.expr, LegendFormat: q.legend,
			Format: format, Instant: instant, Range: !instant,
		}
	}
	return targets
}

// stat is a panel with a single value.
type stat struct {
	title, description string
	unit               string
	expr               string
	legend             string // text below the value; empty: none
	noValue            string // text without data
	steps              []step
	mappings           []mapping
}

type statOptions struct {
	GraphMode              string        `json:"graphMode"`
	ColorMode              string        `json:"colorMode"`
	JustifyMode            string        `json:"justifyMode"`
	TextMode               string        `json:"textMode"`
	Orientation            string        `json:"orientation"`
	WideLayout             bool          `json:"wideLayout"`
	ShowPercentChange      bool          `json:"showPercentChange"`
	PercentChangeColorMode string        `json:"percentChangeColorMode"`
	ReduceOptions          reduceOptions `json:"reduceOptions"`
}

type reduceOptions struct {
	Calcs  []string `json:"calcs"`
	Fields string   `json:"fields"`
	Values bool     `json:"values"`
}

func (s stat) panel() *panel {
	textMode := "auto"
	if s.legend != "" {
		textMode = "value_and_name"
	}
	return &panel{
		Type: "stat", Title: s.title, Description: s.description, Datasource: selectedDatasource(),
		Targets: queries("time_series", true, query{expr: s.expr, legend: s.legend}),
		FieldConfig: &fieldConfig{
			Defaults: field{
				Unit: s.unit, NoValue: cmp.Or(s.noValue, "no data"), Color: &color{Mode: "thresholds"}, Mappings: s.mappings,
				Thresholds: &thresholds{Mode: "absolute", Steps: s.steps},
			},
			Overrides: []override{},
		},
		Options: statOptions{
			GraphMode: "none", ColorMode: "value", JustifyMode: "auto", TextMode: textMode, Orientation: "auto",
			WideLayout: true, PercentChangeColorMode: "standard",
			ReduceOptions: reduceOptions{Calcs: []string{"lastNotNull"}},
		},
	}
}

// graph is a time series panel.
type graph struct {
	title, description string
	unit               string
	stacked, bars      bool
	percentScale       bool // the scale ends at 1
	queries            []query
	limits             []string // prefixes of series drawn as limits
}

type graphStyle struct {
	DrawStyle   string   `json:"drawStyle"`
	LineWidth   int      `json:"lineWidth"`
	FillOpacity int      `json:"fillOpacity"`
	ShowPoints  string   `json:"showPoints"`
	SpanNulls   bool     `json:"spanNulls"`
	Stacking    stacking `json:"stacking"`
}

type stacking struct {
	Mode  string `json:"mode"`
	Group string `json:"group"`
}

type graphOptions struct {
	Legend  legend  `json:"legend"`
	Tooltip tooltip `json:"tooltip"`
}

type legend struct {
	DisplayMode string   `json:"displayMode"`
	Placement   string   `json:"placement"`
	ShowLegend  bool     `json:"showLegend"`
	Calcs       []string `json:"calcs"`
}

type tooltip struct {
	Mode string `json:"mode"`
	Sort string `json:"sort"`
}

func (g graph) panel() *panel {
	style := graphStyle{
		DrawStyle: "line", LineWidth: 1, FillOpacity: 10, ShowPoints: "auto",
		Stacking: stacking{Mode: "none", Group: "A"},
	}
	if g.bars {
		style.DrawStyle, style.FillOpacity = "bars", 60
	}
	if g.stacked {
		style.FillOpacity, style.Stacking.Mode = 40, "normal"
	}
	defaults := field{Unit: g.unit, Min: new(float64), Color: &color{Mode: "palette-classic"}, Custom: style}
	if g.percentScale {
		defaults.Max = new(1.0)
	}
	return &panel{
		Type: "timeseries", Title: g.title, Description: g.description, Datasource: selectedDatasource(),
		Targets:     queries("time_series", false, g.queries...),
		FieldConfig: &fieldConfig{Defaults: defaults, Overrides: limitStyle(g.limits)},
		Options: graphOptions{
			Legend:  legend{DisplayMode: "list", Placement: "bottom", ShowLegend: true, Calcs: []string{}},
			Tooltip: tooltip{Mode: "multi", Sort: "desc"},
		},
	}
}

// limitStyle returns overrides that draw limits as dashed red lines.
func limitStyle(names []string) []override {
	overrides := make([]override, len(names))
	for i, name := range names {
		overrides[i] = override{
			Matcher: matcher{ID: "byRegexp", Options: "/^" + name + "/"},
			Properties: []property{
				{ID: "color", Value: color{Mode: "fixed", FixedColor: "red"}},
				{ID: "custom.lineStyle", Value: map[string]any{"fill": "dash", "dash": []int{10, 10}}},
				{ID: "custom.fillOpacity", Value: 0},
			},
		}
	}
	return overrides
}

// timeline is a state timeline panel with a band per series.
type timeline struct {
	title, description string
	queries            []query
	mappings           []mapping
}

type timelineOptions struct {
	ShowValue   string  `json:"showValue"`
	RowHeight   float64 `json:"rowHeight"`
	MergeValues bool    `json:"mergeValues"`
	AlignValue  string  `json:"alignValue"`
	PerPage     int     `json:"perPage"`
	Legend      legend  `json:"legend"`
	Tooltip     tooltip `json:"tooltip"`
}

type timelineStyle struct {
	LineWidth   int  `json:"lineWidth"`
	FillOpacity int  `json:"fillOpacity"`
	SpanNulls   bool `json:"spanNulls"` // unset: gaps are unknown ports
}

func (t timeline) panel() *panel {
	const page = 20 // bands per page
	return &panel{
		Type: "state-timeline", Title: t.title, Description: t.description, Datasource: selectedDatasource(),
		Targets: queries("time_series", false, t.queries...),
		FieldConfig: &fieldConfig{
			Defaults: field{
				Unit: "none", Color: &color{Mode: "thresholds"}, Mappings: t.mappings,
				Thresholds: &thresholds{Mode: "absolute", Steps: fixedColor("text")},
				Custom:     timelineStyle{FillOpacity: 80},
			},
			Overrides: []override{},
		},
		Options: timelineOptions{
			ShowValue: "never", RowHeight: 0.8, MergeValues: true, AlignValue: "left", PerPage: page,
			Legend:  legend{DisplayMode: "list", Placement: "bottom", ShowLegend: true, Calcs: []string{}},
			Tooltip: tooltip{Mode: "single", Sort: "none"},
		},
	}
}

// renewalPeriod is the time before expiry at which to renew an authorization, in seconds.
const renewalPeriod = 30 * 86400.0

// fixedColor returns one color for all values.
func fixedColor(color string) []step { return []step{{Color: color}} }

// colorAboveZero returns green for 0 and the color from 1.
func colorAboveZero(color string) []step { return colorFrom(1, color) }

// colorFrom returns green below the value and the color from it.
func colorFrom(value float64, color string) []step {
	return []step{{Color: "green"}, {Value: new(value), Color: color}}
}

// valueMappings maps 0, 1, ... to the texts.
func valueMappings(all ...valueText) []mapping {
	m := make(map[string]valueText, len(all))
	for i, w := range all {
		m[strconv.Itoa(i)] = valueText{Text: w.Text, Color: w.Color, Index: i}
	}
	return []mapping{{Type: "value", Options: m}}
}
