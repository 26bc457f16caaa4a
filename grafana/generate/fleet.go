// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package main

import "fmt"

// fleetScope selects the targets of the variables.
const fleetScope scope = `job=~"$job", instance=~"$target", vantage=~"$vantage"`

// exporterScope selects the exporters' own metrics.
const exporterScope scope = `job=~"$exporter_job"`

// newFleetDashboard returns the dashboard of all targets and exporters.
func newFleetDashboard() (*dashboard, error) {
	d := newDashboard(fleetUID, "Ports: fleet", "All targets of portscan_exporter: violations, incomplete scans, changes, and exporter health.")
	d.Templating.List = []variable{
		datasourceVariable(),
		jobVariable(),
		labelVariable("target", "Target", "Configured targets, including refused ones.", `up{job=~"$job"}`, "instance").withMulti(".+"),
		vantageVariable(`up{job=~"$job"}`),
		labelVariable("exporter_job", "Exporter job", "Jobs that scrape /metrics of exporters.", "portscan_exporter_build_info", "job").withMulti(""),
		exporterVariable(),
	}
	d.Links = []link{
		dashboardLink("Target", "Ports of one target", targetUID),
		exporterLink("Exporter", "Status page of the exporter", "/"),
		exporterLink("Configuration", "Configuration in use, including defaults", "/config"),
	}
	var err error
	d.Panels, err = layOutSections([]section{
		{title: "Current state", lines: []panelLine{
			newPanelLine(4, fleetStats()...),
			newPanelLine(9, unexpectedPortsTable()),
			newPanelLine(8, missingPortsTable(), vantageDifferenceTable()),
		}},
		{title: "Target overview", lines: []panelLine{newPanelLine(10, targetTable())}},
		{title: "History", lines: []panelLine{
			newPanelLine(8, fleetChanges(), fleetViolations()),
			newPanelLine(8, fleetStates(), fleetUnknown()),
		}},
		{title: "Authorizations", lines: []panelLine{newPanelLine(8, authorizationTable())}},
		{title: "Scan performance", lines: []panelLine{
			newPanelLine(8, longestScans(), timeoutUsage(), scanDurations()),
			newPanelLine(8, attemptRate(), retryRatio(), samplesPerScrape()),
		}},
		{title: "Exporter health", lines: []panelLine{
			newPanelLine(4, exporterStats()...),
			newPanelLine(8, scanRate(), refusedProbes(), inFlight()),
			newPanelLine(8, memoryUsage(), cpuUsage(), descriptorUsage()),
		}},
	})
	return d, err
}

// fleetStats returns the counts. A count is 0 only if the underlying series exist;
// without them, the panel shows "no data".
func fleetStats() []*panel {
	violating := func(expected string) string {
		return sumOf(maxBy("instance, ip, protocol", fleetScope.selector("portscan_ports_violating", `expected="`+expected+`"`)))
	}
	return []*panel{
		stat{
			title: "Targets", unit: "none", steps: fixedColor("blue"),
			description: "Number of targets that Prometheus scrapes, including failing ones.",
			expr:        fmt.Sprintf("count(count by (instance) (%s))", fleetScope.selector("up")),
		}.panel(),
		stat{
			title: "Refused or down", unit: "none", steps: colorAboveZero("red"),
			description: "Number of targets with a failing scrape: the authorization has expired, the scan limit is reached, or the exporter is down. Their ports are unknown.",
			expr:        fmt.Sprintf("sum(%s == bool 0)", minBy("instance", fleetScope.selector("up"))),
		}.panel(),
		stat{
			title: "Incomplete", unit: "none", steps: colorAboveZero("orange"),
			description: "Number of targets with an incomplete scan. Violations of unknown ports are not counted.",
			expr:        fmt.Sprintf("sum(%s == bool 0)", minBy("instance", fleetScope.selector("probe_success"))),
		}.panel(),
		stat{
			title: "Violating", unit: "none", steps: colorAboveZero("red"),
			description: "Number of targets with an unexpected open port, or an expected port that is not open.",
			expr:        fmt.Sprintf("sum(%s > bool 0)", maxBy("instance", fleetScope.selector("portscan_ports_violating"))),
		}.panel(),
		stat{
			title: "Unexpected open", unit: "none", steps: colorAboveZero("red"),
			description: "Number of open ports that must not be open. If several modules or vantages scan an address, the largest number is used.",
			expr:        violating("closed"),
		}.panel(),
		stat{
			title: "Expected, not open", unit: "none", steps: colorAboveZero("orange"),
			description: "Number of closed and filtered ports that must be open. If several modules or vantages scan an address, the largest number is used.",
			expr:        violating("open"),
		}.panel(),
		stat{
			title: "Suspect addresses", unit: "none", steps: colorAboveZero("orange"),
			description: "Number of addresses for which a middlebox probably answers. The states of their ports are not reliable.",
			expr:        sumOf(maxBy("instance, ip, protocol", fleetScope.selector("portscan_address_suspect"))),
		}.panel(),
		stat{
			title: "Authorizations to renew", unit: "none", steps: colorAboveZero("orange"), noValue: "none expires",
			description: "Number of authorizations that expire within 30 days or have expired. No value: none expires, or the exporters' metrics are not scraped.",
			expr:        fmt.Sprintf("sum(%s - time() < bool %.0f)", minBy("target", authorizationEnd()), renewalPeriod),
		}.panel(),
	}
}

func sumOf(expr string) string { return "sum(" + expr + ")" }

func authorizationEnd() string {
	return exporterScope.selector("portscan_exporter_target_authorization_expiry_timestamp_seconds", `target=~"$target"`)
}

// unexpectedPortsTable has the time of the change as its value. It is 0 if no change
// was seen, so that the row exists.
func unexpectedPortsTable() *panel {
	open := maxBy(port, fleetScope.selector("portscan_port_open", `expected="closed"`)) + " == 1"
	return table{
		title:       "Unexpected open ports",
		description: "Open ports that must not be open, from the last scrape, with the target's owner. Ports omitted by max_ports are not listed, but counted above.",
		noValue:     "No unexpected open ports in complete scans",
		queries: []string{fleetScope.joinOwner(fmt.Sprintf(`  1000 * %s
and
  %s
or
  0 * (%s)`, maxBy(port, fleetScope.selector("portscan_port_last_change_timestamp_seconds")), open, open))},
		columns: []column{
			{field: "instance", name: "Target", links: targetLinks()},
			{field: "owner", name: "Owner"},
			{field: "ip", name: "Address"},
			{field: "port", name: "Port"},
			{field: "protocol", name: "Protocol"},
			{field: "vantage", name: "Vantage"},
			{field: "Value", name: "Since", unit: "dateTimeAsIso", mappings: valueMappings(valueText{Text: "no change seen", Color: "text"}), steps: fixedColor("text")},
		},
		sortBy: "Since", descending: true,
	}.panel()
}

func missingPortsTable() *panel {
	expected := `expected="open"`
	return table{
		title:       "Expected ports not open",
		description: "Closed and filtered ports that must be open. Closed: the host refused. Filtered: silence, or a filter rejected.",
		noValue:     "All expected ports in complete scans are open",
		queries: []string{fleetScope.joinOwner(fmt.Sprintf("  %s\nand\n  %s == 0",
			maxBy(port, fleetScope.selector("portscan_port_filtered", expected)), maxBy(port, fleetScope.selector("portscan_port_open", expected))))},
		columns: []column{
			{field: "instance", name: "Target", links: targetLinks()},
			{field: "owner", name: "Owner"},
			{field: "ip", name: "Address"},
			{field: "port", name: "Port"},
			{field: "protocol", name: "Protocol"},
			{field: "vantage", name: "Vantage"},
			{field: "Value", name: "State", mappings: valueMappings(valueText{Text: "closed", Color: "orange"}, valueText{Text: "filtered", Color: "purple"})},
		},
		sortBy: "Target",
	}.panel()
}

// vantageDifferenceTable compares scans of the same address with the same module. A
// port that is neither open nor expected has no series. The query therefore requires
// a vantage without unknown and omitted ports that does not report the port open.
func vantageDifferenceTable() *panel {
	vantage := `vantage!=""`
	open := maxBy("instance, module, vantage, ip, port, protocol", fleetScope.selector("portscan_port_open", vantage)) + " == 1"
	const address = "instance, module, vantage, ip, protocol"
	complete := fmt.Sprintf("(%s == bool 0) * (%s == bool 0)",
		sumBy(address, fleetScope.selector("portscan_ports", vantage, `state=~"unknown|open_filtered"`)),
		sumBy(address, fleetScope.selector("portscan_ports_omitted", vantage)))
	return table{
		title:       "Open from some vantages only",
		description: "Ports that are open from one vantage, and closed or filtered from another one with the same module that has no unknown ports for the address. One row for each vantage from which the port is open.",
		noValue:     "No differences, or only one vantage",
		queries: []string{fmt.Sprintf(`max by (%s) (
    (%s)
  and on (instance, module, ip, port, protocol) (
      sum by (instance, module, ip, port, protocol) (
          (%s)
        * on (instance, module, vantage, ip, protocol) group_left ()
          (%s)
      )
    < on (instance, module, ip, protocol) group_left ()
      sum by (instance, module, ip, protocol) (%s)
  )
)`, port, open, open, complete, complete)},
		columns: []column{
			{field: "instance", name: "Target", links: targetLinks()},
			{field: "ip", name: "Address"},
			{field: "port", name: "Port"},
			{field: "protocol", name: "Protocol"},
			{field: "vantage", name: "Open from"},
			{field: "Value"},
		},
		sortBy: "Target",
	}.panel()
}

// targetTable has a row for each target, including refused ones.
func targetTable() *panel {
	violating := func(expected string) string {
		return sumBy("instance", maxBy("instance, ip, protocol", fleetScope.selector("portscan_ports_violating", `expected="`+expected+`"`)))
	}
	return table{
		title:       "All targets",
		description: "One row per target: results of its scrapes and scans, number of addresses that respond, number of violations, age of the oldest scan, share of the timeout that the scans use, and expiry of the authorization.",
		noValue:     "No targets are scraped",
		queries: []string{
			maxBy("instance, owner", fleetScope.selector("portscan_target_info")),
			minBy("instance", fleetScope.selector("up")),
			minBy("instance", fleetScope.selector("probe_success")),
			violating("closed"),
			violating("open"),
			"time() - " + minBy("instance", fleetScope.selector("portscan_scan_timestamp_seconds")+" > 0"),
			maxBy("instance", fleetScope.selector("portscan_scan_duration_seconds")+" / "+fleetScope.selector("portscan_scan_timeout_seconds")),
			fmt.Sprintf(`1000 * max by (instance) (label_replace(%s, "instance", "$1", "target", "(.+)"))`, minBy("target", authorizationEnd())),
			sumBy("instance", maxBy("instance, ip", fleetScope.selector("portscan_address_responding"))),
			maxBy("instance", fleetScope.selector("portscan_addresses")),
		},
		columns: []column{
			{field: "instance", name: "Target", links: targetLinks()},
			{field: "owner", name: "Owner"},
			{field: "Value #A"},
			{field: "Value #B", name: "Scrapes", mappings: valueMappings(valueText{Text: "fail", Color: "red"}, valueText{Text: "succeed", Color: "green"})},
			{field: "Value #C", name: "Scans", mappings: valueMappings(valueText{Text: "incomplete", Color: "orange"}, valueText{Text: "complete", Color: "green"})},
			{field: "Value #I", name: "Alive"},
			{field: "Value #J", name: "Addresses"},
			{field: "Value #D", name: "Unexpected open", steps: colorAboveZero("red")},
			{field: "Value #E", name: "Expected, not open", steps: colorAboveZero("orange")},
			{field: "Value #F", name: "Age", unit: "s"},
			{field: "Value #G", name: "Timeout usage", unit: "percentunit", steps: colorFrom(0.8, "orange")},
			{field: "Value #H", name: "Authorization expires", unit: "dateTimeAsIso"},
		},
		sortBy: "Unexpected open", descending: true,
	}.panel()
}

func authorizationTable() *panel {
	end := minBy("target", authorizationEnd())
	return table{
		title:       "Authorization expiry",
		description: "Expiry of each target's authorization, earliest first. Probes of expired targets are refused. Targets without an expiry are not listed.",
		noValue:     "No authorization expires, or the exporters' metrics are not scraped",
		queries:     []string{"1000 * " + end, end + " - time()"},
		columns: []column{
			{field: "target", name: "Target", links: targetLinks()},
			{field: "Value #A", name: "Expires", unit: "dateTimeAsIso"},
			{field: "Value #B", name: "Time left", unit: "s", steps: []step{{Color: "red"}, {Value: new(0.0), Color: "orange"}, {Value: new(renewalPeriod), Color: "green"}}},
		},
		sortBy: "Time left",
	}.panel()
}
