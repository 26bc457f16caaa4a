// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// dashboard is the part of Grafana's dashboard schema that these dashboards use.
type dashboard struct {
	UID           string             `json:"uid"`
	Title         string             `json:"title"`
	Description   string             `json:"description"`
	Tags          []string           `json:"tags"`
	SchemaVersion int                `json:"schemaVersion"`
	Editable      bool               `json:"editable"`
	GraphTooltip  int                `json:"graphTooltip"`
	Timezone      string             `json:"timezone"`
	Refresh       string             `json:"refresh"`
	Time          timeRange          `json:"time"`
	Annotations   listOf[annotation] `json:"annotations"`
	Templating    listOf[variable]   `json:"templating"`
	Links         []link             `json:"links"`
	Panels        []*panel           `json:"panels"`
}

// Settings of all dashboards.
const (
	schemaVersion   = 39 // of Grafana 11; 10 accepts it, later versions convert it
	sharedCrosshair = 1
)

type timeRange struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// listOf is the object in which Grafana wraps some lists.
type listOf[T any] struct {
	List []T `json:"list"`
}

type annotation struct{}

// datasource names a data source.
type datasource struct {
	Type string `json:"type"`
	UID  string `json:"uid"`
}

// selectedDatasource returns the data source of the variable "datasource".
func selectedDatasource() *datasource { return &datasource{Type: "prometheus", UID: "${datasource}"} }

// link is a dashboard link.
type link struct {
	Type        string   `json:"type"`
	Title       string   `json:"title"`
	Tooltip     string   `json:"tooltip"`
	Icon        string   `json:"icon"`
	URL         string   `json:"url"`
	Tags        []string `json:"tags"`
	AsDropdown  bool     `json:"asDropdown"`
	TargetBlank bool     `json:"targetBlank"`
	IncludeVars bool     `json:"includeVars"`
	KeepTime    bool     `json:"keepTime"`
}

// panel is a panel or a row header.
type panel struct {
	ID          int          `json:"id"`
	Type        string       `json:"type"`
	Title       string       `json:"title"`
	Description string       `json:"description,omitempty"`
	GridPos     gridPos      `json:"gridPos"`
	Datasource  *datasource  `json:"datasource,omitempty"`
	Targets     []target     `json:"targets,omitempty"`
	FieldConfig *fieldConfig `json:"fieldConfig,omitempty"`
	Options     any          `json:"options,omitempty"`

	Transformations []transformation `json:"transformations,omitempty"`

	// Only in row headers.
	Collapsed *bool     `json:"collapsed,omitempty"`
	Panels    *[]*panel `json:"panels,omitempty"`
}

// gridPos is a position in the grid of 24 columns.
type gridPos struct {
	H int `json:"h"`
	W int `json:"w"`
	X int `json:"x"`
	Y int `json:"y"`
}

// target is one query of a panel.
type target struct {
	RefID        string      `json:"refId"`
	Datasource   *datasource `json:"datasource"`
	Expr         string      `json:"expr"`
	LegendFormat string      `json:"legendFormat,omitempty"`
	Format       string      `json:"format"`
	Instant      bool        `json:"instant"`
	Range        bool        `json:"range"`
}

type transformation struct {
	ID      string `json:"id"`
	Options any    `json:"options"`
}

// fieldConfig defines how values are displayed.
type fieldConfig struct {
	Defaults  field      `json:"defaults"`
	Overrides []override `json:"overrides"`
}

type field struct {
	Unit       string      `json:"unit"`
	Decimals   *int        `json:"decimals,omitempty"`
	Min        *float64    `json:"min,omitempty"`
	Max        *float64    `json:"max,omitempty"`
	NoValue    string      `json:"noValue,omitempty"`
	Color      *color      `json:"color,omitempty"`
	Mappings   []mapping   `json:"mappings,omitempty"`
	Thresholds *thresholds `json:"thresholds,omitempty"`
	Custom     any         `json:"custom,omitempty"`
}

type color struct {
	Mode       string `json:"mode"`
	FixedColor string `json:"fixedColor,omitempty"`
}

// mapping maps values to texts.
type mapping struct {
	Type    string               `json:"type"`
	Options map[string]valueText `json:"options"`
}

type valueText struct {
	Text  string `json:"text"`
	Color string `json:"color,omitempty"`
	Index int    `json:"index"`
}

type thresholds struct {
	Mode  string `json:"mode"`
	Steps []step `json:"steps"`
}

// step is the color from a value on; the first step has no value.
type step struct {
	Value *float64 `json:"value"`
	Color string   `json:"color"`
}

// override changes the defaults of some fields.
type override struct {
	Matcher    matcher    `json:"matcher"`
	Properties []property `json:"properties"`
}

type matcher struct {
	ID      string `json:"id"`
	Options string `json:"options"`
}

type property struct {
	ID    string `json:"id"`
	Value any    `json:"value"`
}

// dataLink is a link on a value.
type dataLink struct {
	Title       string `json:"title"`
	URL         string `json:"url"`
	TargetBlank bool   `json:"targetBlank"`
}

// encodeDashboard returns the dashboard as indented JSON.
func encodeDashboard(d *dashboard) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // queries contain < and >
	e.SetIndent("", "  ")
	if err := e.Encode(d); err != nil {
		return nil, fmt.Errorf("encoding %s: %w", d.UID, err)
	}
	return b.Bytes(), nil
}
