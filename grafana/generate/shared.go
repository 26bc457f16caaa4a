// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package main

import "fmt"

// UIDs of the dashboards. Users' links contain them, so they must not change.
const (
	fleetUID  = "portscan-fleet"
	targetUID = "portscan-target"
)

// newDashboard returns a dashboard with the common settings.
func newDashboard(uid, title, description string) *dashboard {
	return &dashboard{
		UID: uid, Title: title, Description: description, Tags: []string{"portscan"},
		SchemaVersion: schemaVersion, Editable: true, GraphTooltip: sharedCrosshair,
		Timezone: "browser", Refresh: "1m", Time: timeRange{From: "now-6h", To: "now"},
		Annotations: listOf[annotation]{List: []annotation{}},
	}
}

// variable is a template variable.
type variable struct {
	Type        string      `json:"type"`
	Name        string      `json:"name"`
	Label       string      `json:"label"`
	Description string      `json:"description"`
	Datasource  *datasource `json:"datasource,omitempty"`
	Query       any         `json:"query"`
	Definition  string      `json:"definition,omitempty"`
	Refresh     int         `json:"refresh,omitempty"`
	Sort        int         `json:"sort,omitempty"`
	Multi       bool        `json:"multi,omitempty"`
	IncludeAll  bool        `json:"includeAll,omitempty"`
	AllValue    string      `json:"allValue,omitempty"`
	Options     []option    `json:"options"`
	Current     option      `json:"current"`
}

type option struct {
	Text  string `json:"text"`
	Value string `json:"value"`
}

type variableQuery struct {
	Query string `json:"query"`
	RefID string `json:"refId"`
}

// datasourceVariable selects the Prometheus server.
func datasourceVariable() variable {
	return variable{
		Type: "datasource", Name: "datasource", Label: "Data source", Description: "Prometheus server that scrapes the exporters.",
		Query: "prometheus", Refresh: 1, Options: []option{},
	}
}

// labelVariable selects one value of a label.
func labelVariable(name, label, description, metric, of string) variable {
	const (
		onTimeRange  = 2
		alphabetical = 1
	)
	definition := fmt.Sprintf("label_values(%s, %s)", metric, of)
	return variable{
		Type: "query", Name: name, Label: label, Description: description, Datasource: selectedDatasource(),
		Query: variableQuery{Query: definition, RefID: "variable-" + name}, Definition: definition,
		Refresh: onTimeRange, Sort: alphabetical, Options: []option{},
	}
}

// withMulti allows several values or all. allValue is the regular expression for all;
// if empty, Grafana lists all values.
func (v variable) withMulti(allValue string) variable {
	v.Multi, v.IncludeAll, v.AllValue = true, true, allValue
	v.Current = option{Text: "All", Value: "$__all"}
	return v
}

// jobVariable selects the jobs that scrape targets. It has no expression for all, which
// would match all jobs of the Prometheus server.
func jobVariable() variable {
	return labelVariable("job", "Scrape job", "Jobs that scrape targets.", "portscan_target_info", "job").withMulti("")
}

// vantageVariable selects vantages. All includes series without the label.
func vantageVariable(metric string) variable {
	return labelVariable("vantage", "Vantage", "External label vantage of the exporter, if set.", metric, "vantage").withMulti(".*")
}

// exporterVariable has the base URL of links to the exporter's pages. Series of targets
// do not contain it.
func exporterVariable() variable {
	o := option{Text: "http://localhost:10115", Value: "http://localhost:10115"}
	return variable{
		Type: "textbox", Name: "exporter_url", Label: "Exporter URL",
		Description: "URL of the exporter for links to its pages, without trailing slash.",
		Query:       o.Value, Options: []option{o}, Current: o,
	}
}

// sharedVariables is the part of a link that passes variables to another dashboard.
const sharedVariables = "${datasource:queryparam}&${job:queryparam}&${vantage:queryparam}&${exporter_url:queryparam}"

// targetLinks returns links from a target's name to its dashboard and exporter page.
func targetLinks() []dataLink {
	return []dataLink{
		{Title: "Dashboard of ${__value.raw}", URL: "/d/" + targetUID + "?var-target=${__value.raw}&" + sharedVariables + "&${__url_time_range}"},
		{Title: "${__value.raw} at the exporter", URL: "${exporter_url:raw}/target/${__value.raw}", TargetBlank: true},
	}
}

// dashboardLink returns a link to another dashboard with the same time range.
func dashboardLink(title, tooltip, uid string) link {
	return link{
		Type: "link", Title: title, Tooltip: tooltip, Icon: "dashboard", URL: "/d/" + uid + "?" + sharedVariables,
		Tags: []string{}, KeepTime: true,
	}
}

// exporterLink returns a link to a page of the exporter.
func exporterLink(title, tooltip, path string) link {
	return link{
		Type: "link", Title: title, Tooltip: tooltip, Icon: "external link", URL: "${exporter_url:raw}" + path,
		Tags: []string{}, TargetBlank: true,
	}
}
