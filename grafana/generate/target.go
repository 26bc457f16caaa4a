// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package main

import "fmt"

// Series of the selected target: of its scans, and of its ports, which have an address.
const (
	targetScope     scope = `job=~"$job", instance="$target", module=~"$module", vantage=~"$vantage"`
	targetPortScope scope = targetScope + `, ip=~"$ip"`
)

// newTargetDashboard returns the dashboard of one target.
func newTargetDashboard() (*dashboard, error) {
	d := newDashboard(targetUID, "Ports: target", "One target of portscan_exporter: port states and response times, changes, and scan details.")
	const target = `up{job=~"$job", instance="$target"}`
	d.Templating.List = []variable{
		datasourceVariable(),
		jobVariable(),
		labelVariable("target", "Target", "A configured target.", `up{job=~"$job"}`, "instance"),
		labelVariable("module", "Module", "Modules that scan the target.", target, "module").withMulti(".*"),
		vantageVariable(target),
		labelVariable("ip", "Address", "Addresses of the target.", `portscan_ports{job=~"$job", instance="$target"}`, "ip").withMulti(".+"),
		exporterVariable(),
	}
	d.Links = []link{
		dashboardLink("Fleet", "All targets", fleetUID),
		exporterLink("Exporter page", "Page of this target at the exporter", "/target/${target}"),
		exporterLink("Probe now", "Scan the target with its first module and show debug output", "/probe?target=${target}&debug=true"),
	}
	var err error
	d.Panels, err = layOutSections([]section{
		{title: "Current state", lines: []panelLine{newPanelLine(4, targetStats()...), newPanelLine(4, scanStats()...)}},
		{title: "Ports", lines: []panelLine{
			newPanelLine(11, portTimeline()),
			newPanelLine(9, openPortsTable(), lastChangesTable()),
			newPanelLine(8, targetStates(), targetChanges()),
			newPanelLine(8, responseTimes(), addressTimeline()),
		}},
		{title: "Scan details", lines: []panelLine{
			newPanelLine(8, targetDuration(), targetAttempts(), targetAge()),
			newPanelLine(8, targetProgress(), targetUnknown(), targetFailures()),
			newPanelLine(8, resolvedAddresses(), probeDuration(), omittedPorts()),
		}},
	})
	return d, err
}

// targetStats returns the results of scans.
func targetStats() []*panel {
	violating := func(expected string) string {
		return sumOf(maxBy("ip, protocol", targetPortScope.selector("portscan_ports_violating", `expected="`+expected+`"`)))
	}
	return []*panel{
		stat{
			title: "Scrapes", unit: "none",
			description: "Whether all scrapes of the target succeed. They fail if the authorization has expired, the scan limit is reached, or the exporter is down.",
			expr:        fmt.Sprintf("min(%s)", targetScope.selector("up")),
			mappings:    valueMappings(valueText{Text: "fail", Color: "red"}, valueText{Text: "succeed", Color: "green"}), steps: fixedColor("text"),
		}.panel(),
		stat{
			title: "Scans", unit: "none",
			description: "Whether all scans are complete. If not, the counts of violations are lower bounds.",
			expr:        fmt.Sprintf("min(%s)", targetScope.selector("probe_success")),
			mappings:    valueMappings(valueText{Text: "incomplete", Color: "orange"}, valueText{Text: "complete", Color: "green"}), steps: fixedColor("text"),
		}.panel(),
		stat{
			title: "Unexpected open", unit: "none", steps: colorAboveZero("red"),
			description: "Number of open ports that must not be open.",
			expr:        violating("closed"),
		}.panel(),
		stat{
			title: "Expected, not open", unit: "none", steps: colorAboveZero("orange"),
			description: "Number of closed and filtered ports that must be open.",
			expr:        violating("open"),
		}.panel(),
		stat{
			title: "Open", unit: "none", steps: fixedColor("text"),
			description: "Number of open ports, expected or not.",
			expr:        sumOf(maxBy("ip, protocol", targetPortScope.selector("portscan_ports", `state="open"`))),
		}.panel(),
		stat{
			title: "Alive", unit: "none", steps: fixedColor("text"), legend: "of {{total}} addresses",
			description: "Number of addresses that responded to the last scan of any module, and number of addresses that the target resolved to.",
			expr: fmt.Sprintf("count_values(\"total\", max(%s))\n* on () group_left ()\nsum(%s)",
				targetScope.selector("portscan_addresses"), maxBy("ip", targetScope.selector("portscan_address_responding"))),
		}.panel(),
	}
}

// scanStats returns the times of scans and of the authorization.
func scanStats() []*panel {
	return []*panel{
		stat{
			title: "Age", unit: "s", steps: fixedColor("text"), noValue: "no scan yet",
			description: "Time since the end of the oldest scan shown. With max_age, this may be an earlier scan.",
			expr:        fmt.Sprintf("time() - min(%s > 0)", targetScope.selector("portscan_scan_timestamp_seconds")),
		}.panel(),
		stat{
			title: "Progress", unit: "percentunit", steps: fixedColor("text"),
			description: "Progress of the scan running behind a cached result (max_age). 100 % if none is running.",
			expr:        fmt.Sprintf("min(%s)", targetScope.selector("portscan_scan_progress_ratio")),
		}.panel(),
		stat{
			title: "Authorization", unit: "s", noValue: "no expiry",
			steps:       []step{{Color: "red"}, {Value: new(0.0), Color: "orange"}, {Value: new(renewalPeriod), Color: "green"}},
			description: "Time until the authorization to scan the target expires; negative if it has expired. No value: it does not expire, or the exporters' metrics are not scraped.",
			expr:        `min(portscan_exporter_target_authorization_expiry_timestamp_seconds{target="$target"}) - time()`,
		}.panel(),
	}
}

// Values of the port timeline.
const (
	isClosed = iota
	isOpen
	isFiltered
	isOpenFiltered
	isUnexpected
	isMissingClosed
	isMissingFiltered
)

func stateMappings() []mapping {
	return valueMappings(
		valueText{Text: "closed", Color: "#7b8087"},
		valueText{Text: "open", Color: "green"},
		valueText{Text: "filtered", Color: "purple"},
		valueText{Text: "open or filtered", Color: "super-light-purple"},
		valueText{Text: "open, must not be", Color: "red"},
		valueText{Text: "closed, must be open", Color: "orange"},
		valueText{Text: "filtered, must be open", Color: "dark-orange"},
	)
}

// portState returns a query for the timeline value of each port. The first operand
// that has the port wins, so violations come first. A silent UDP port has no
// portscan_port_open.
func portState() string {
	open := func(more ...string) string {
		return maxBy(port, targetPortScope.selector("portscan_port_open", more...))
	}
	silent := func(more ...string) string {
		return maxBy(port, targetPortScope.selector("portscan_port_filtered", more...)) + " == 1"
	}
	return fmt.Sprintf(`  %d * (%s == 1)
or
  %s == 1
or
  %d * (%s and %s)
or
  %d + %s
or
  %d * (%s and %s)
or
  %s
or
  %d * (%s)`,
		isUnexpected, open(`expected="closed"`),
		open(),
		isMissingFiltered, silent(`expected="open"`), open(`expected="open"`),
		isMissingClosed, open(`expected="open"`),
		isFiltered, silent(), open(),
		open(),
		isOpenFiltered, silent())
}

func portTimeline() *panel {
	return timeline{
		title:       "State of each port",
		description: "One band per reported port. In gaps, the port was not reported: it was unknown, or neither open nor expected. Violations have their own colors.",
		queries:     []query{{expr: portState(), legend: "{{ip}} {{port}}/{{protocol}} {{vantage}}"}},
		mappings:    stateMappings(),
	}.panel()
}

func openPortsTable() *panel {
	return table{
		title:       "Open ports",
		description: "Open ports reported by the last scrape, and their expectation.",
		noValue:     "No open ports in complete scans",
		queries:     []string{maxBy(port+", expected", targetPortScope.selector("portscan_port_open")) + " == 1"},
		columns: []column{
			{field: "ip", name: "Address"},
			{field: "port", name: "Port"},
			{field: "protocol", name: "Protocol"},
			{field: "expected", name: "Expected", mappings: []mapping{{Type: "value", Options: map[string]valueText{
				"closed": {Text: "no", Color: "red", Index: 0},
				"open":   {Text: "yes", Color: "green", Index: 1},
				"any":    {Text: "allowed", Color: "text", Index: 2},
			}}}},
			{field: "vantage", name: "Vantage"},
			{field: "instance"},
			{field: "Value"},
		},
		sortBy: "Expected",
	}.panel()
}

func lastChangesTable() *panel {
	change := maxBy(port, targetPortScope.selector("portscan_port_last_change_timestamp_seconds"))
	return table{
		title:       "Last change of each port",
		description: "Time of the last state change of each reported port, and its current state.",
		noValue:     "No change seen",
		queries:     []string{"1000 * " + change, fmt.Sprintf("(\n%s\n)\nand\n%s", indent(portState()), change)},
		columns: []column{
			{field: "Value #A", name: "Changed", unit: "dateTimeAsIso"},
			{field: "ip", name: "Address"},
			{field: "port", name: "Port"},
			{field: "protocol", name: "Protocol"},
			{field: "Value #B", name: "Now", mappings: stateMappings()},
			{field: "vantage", name: "Vantage"},
			{field: "instance"},
		},
		sortBy: "Changed", descending: true,
	}.panel()
}
