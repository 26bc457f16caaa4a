package main

import "fmt"

// What both dashboards are called in links, and for good: people's own links hold
// them, too.
const (
	fleetUID  = "portscan-fleet"
	targetUID = "portscan-target"
)

// newDashboard is what our dashboards have in common.
func newDashboard(uid, title, description string) *dashboard {
	return &dashboard{
		UID: uid, Title: title, Description: description, Tags: []string{"portscan"},
		SchemaVersion: schemaVersion, Editable: true, GraphTooltip: sharedCrosshair,
		Timezone: "browser", Refresh: "1m", Time: timeRange{From: "now-6h", To: "now"},
		Annotations: listOf[annotation]{List: []annotation{}},
	}
}

// variable is a variable of a dashboard.
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

// datasourceVariable lets people choose the Prometheus.
func datasourceVariable() variable {
	return variable{
		Type: "datasource", Name: "datasource", Label: "Data source", Description: "The Prometheus that scrapes the exporters.",
		Query: "prometheus", Refresh: 1, Options: []option{},
	}
}

// labelVariable lets people choose one value of a label.
func labelVariable(name, label, description, metric, of string) variable {
	const (
		onTimeRange  = 2
		alphabetical = 1
	)
	definition := fmt.Sprintf("label_values(%s, %s)", metric, of)
	return variable{
		Type: "query", Name: name, Label: label, Description: description, Datasource: chosen(),
		Query: variableQuery{Query: definition, RefID: "variable-" + name}, Definition: definition,
		Refresh: onTimeRange, Sort: alphabetical, Options: []option{},
	}
}

// any lets people choose several values, or all. What stands for all is a regular
// expression; without it, it is every value that there is.
func (v variable) any(all string) variable {
	v.Multi, v.IncludeAll, v.AllValue = true, true, all
	v.Current = option{Text: "All", Value: "$__all"}
	return v
}

// jobVariable has no expression for all: any job of this Prometheus is meant to be
// one of ours.
func jobVariable() variable {
	return labelVariable("job", "Scrape job", "The jobs that scrape targets by way of /sd.", "portscan_target_info", "job").any("")
}

// vantageVariable matches series without that label, too, where all are chosen.
func vantageVariable(metric string) variable {
	return labelVariable("vantage", "Vantage", "Where the exporter stands: the external label vantage, where there is one.", metric, "vantage").any(".*")
}

// exporterVariable is where links to the exporter's own pages lead. Series of
// targets don't say which exporter they came from.
func exporterVariable() variable {
	o := option{Text: "http://localhost:10115", Value: "http://localhost:10115"}
	return variable{
		Type: "textbox", Name: "exporter_url", Label: "Exporter URL",
		Description: "Where people reach the exporter, for links to its pages; without a slash at the end.",
		Query:       o.Value, Options: []option{o}, Current: o,
	}
}

// keep is the part of a link that carries a dashboard's variables over to another.
const keep = "${datasource:queryparam}&${job:queryparam}&${vantage:queryparam}&${exporter_url:queryparam}"

// targetLinks lead from a target's name in a table to all there is on it.
func targetLinks() []dataLink {
	return []dataLink{
		{Title: "Dashboard of ${__value.raw}", URL: "/d/" + targetUID + "?var-target=${__value.raw}&" + keep + "&${__url_time_range}"},
		{Title: "${__value.raw} at the exporter", URL: "${exporter_url:raw}/target/${__value.raw}", TargetBlank: true},
	}
}

// dashboardLink leads to another dashboard, in the same time range.
func dashboardLink(title, tooltip, uid string) link {
	return link{
		Type: "link", Title: title, Tooltip: tooltip, Icon: "dashboard", URL: "/d/" + uid + "?" + keep,
		Tags: []string{}, KeepTime: true,
	}
}

// exporterLink leads to a page of the exporter.
func exporterLink(title, tooltip, path string) link {
	return link{
		Type: "link", Title: title, Tooltip: tooltip, Icon: "external link", URL: "${exporter_url:raw}" + path,
		Tags: []string{}, TargetBlank: true,
	}
}
