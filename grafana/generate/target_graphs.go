// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package main

import "fmt"

func targetStates() *panel {
	return graph{
		title: "Ports by state", unit: "short", stacked: true,
		description: "Number of ports of the plan by state. If several modules or vantages scan an address, the largest number of each state is used.",
		queries: []query{{
			expr:   sumBy("state", maxBy("ip, protocol, state", targetPortScope.selector("portscan_ports"))),
			legend: "{{state}}",
		}},
	}.panel()
}

func targetChanges() *panel {
	return graph{
		title: "Ports opened and closed", unit: "none", bars: true, stacked: true,
		description: "Number of ports that opened or closed between two steps of this graph. Only complete scans count, so ports that were unknown are not changes.",
		queries:     []query{{expr: openedPorts(targetPortScope, targetScope), legend: "opened"}, {expr: closedPorts(targetPortScope, targetScope), legend: "closed"}},
	}.panel()
}

func responseTimes() *panel {
	return graph{
		title: "Response times", unit: "s",
		description: "Time from the last attempt to its answer, for each reported port that answered. If several modules scan a port, the longest is used.",
		queries: []query{{
			expr:   maxBy(port, targetPortScope.selector("portscan_port_response_seconds")),
			legend: "{{ip}} {{port}}/{{protocol}} {{vantage}}",
		}},
	}.panel()
}

func addressTimeline() *panel {
	const address = "vantage, ip, protocol"
	return timeline{
		title:       "Addresses",
		description: "State of each address. No response: the address itself did not answer. Suspect: a middlebox probably answers, so the states of its ports are not reliable.",
		queries: []query{{
			expr: fmt.Sprintf("%s\n+ %s",
				maxBy(address, targetPortScope.selector("portscan_address_responding")), maxBy(address, targetPortScope.selector("portscan_address_suspect"))),
			legend: "{{ip}} {{protocol}} {{vantage}}",
		}},
		mappings: valueMappings(valueText{Text: "no response", Color: "#7b8087"}, valueText{Text: "responds", Color: "green"}, valueText{Text: "suspect", Color: "orange"}),
	}.panel()
}

func targetDuration() *panel {
	return graph{
		title: "Scan duration", unit: "s", limits: []string{"timeout"},
		description: "Duration of the scan shown, and timeout of the module. Prometheus's scrape timeout may be shorter.",
		queries: []query{
			{expr: byModule("max", "portscan_scan_duration_seconds"), legend: "{{module}} {{vantage}}"},
			{expr: byModule("max", "portscan_scan_timeout_seconds"), legend: "timeout of {{module}} {{vantage}}"},
		},
	}.panel()
}

// byModule returns an aggregation by module and vantage.
func byModule(aggregate, metric string) string {
	return fmt.Sprintf("%s by (module, vantage) (%s)", aggregate, targetScope.selector(metric))
}

func targetAttempts() *panel {
	return graph{
		title: "Attempts and retries", unit: "short",
		description: "Number of attempts (packets or connections) of the scan shown, and of those that were not a port's first.",
		queries: []query{
			{expr: byModule("sum", "portscan_scan_attempts"), legend: "attempts of {{module}} {{vantage}}"},
			{expr: byModule("sum", "portscan_scan_retries"), legend: "retries of {{module}} {{vantage}}"},
		},
	}.panel()
}

func targetAge() *panel {
	return graph{
		title: "Scan age", unit: "s", limits: []string{"stale"},
		description: "Time since the end of the scan shown, by module. With max_age, a result is stale if it is older than max_age plus timeout; then probe_success is 0.",
		queries: []query{
			{
				expr:   fmt.Sprintf("time() - min by (module, vantage) (%s > 0)", targetScope.selector("portscan_scan_timestamp_seconds")),
				legend: "{{module}} {{vantage}}",
			},
			{
				expr: fmt.Sprintf("max by (module, vantage) (\n  (%s > 0)\n  + %s\n)",
					targetScope.selector("portscan_scan_max_age_seconds"), targetScope.selector("portscan_scan_timeout_seconds")),
				legend: "stale from {{module}} {{vantage}}",
			},
		},
	}.panel()
}

func targetProgress() *panel {
	return graph{
		title: "Progress over time", unit: "percentunit", percentScale: true,
		description: "Progress of the scan running behind a cached result (max_age). 100 % if none is running.",
		queries:     []query{{expr: byModule("min", "portscan_scan_progress_ratio"), legend: "{{module}} {{vantage}}"}},
	}.panel()
}

func targetUnknown() *panel {
	return graph{
		title: "Unknown ports by reason", unit: "short", stacked: true,
		description: "Number of unknown ports by reason. docs/metrics.md describes the reasons.",
		queries:     []query{{expr: sumBy("reason", targetScope.selector("portscan_ports_unknown")), legend: "{{reason}}"}},
	}.panel()
}

func targetFailures() *panel {
	return graph{
		title: "Failed scans by reason", unit: "none", bars: true, stacked: true,
		description: "Number of failed scans by reason. docs/metrics.md describes the reasons.",
		queries:     []query{{expr: sumBy("reason", targetScope.selector("portscan_scan_failed")), legend: "{{reason}}"}},
	}.panel()
}

func resolvedAddresses() *panel {
	return graph{
		title: "Resolved addresses", unit: "none",
		description: "Number of addresses that the target resolved to: scanned, or refused because they are outside its networks.",
		queries: []query{
			{expr: byModule("max", "portscan_addresses"), legend: "scanned by {{module}} {{vantage}}"},
			{expr: byModule("max", "portscan_addresses_refused"), legend: "refused by {{module}} {{vantage}}"},
		},
	}.panel()
}

func probeDuration() *panel {
	return graph{
		title: "Probe duration", unit: "s",
		description: "Time from the arrival of the probe to the answer, and time for name resolution.",
		queries: []query{
			{expr: byModule("max", "probe_duration_seconds"), legend: "{{module}} {{vantage}}"},
			{expr: byModule("max", "probe_dns_lookup_time_seconds"), legend: "name resolution of {{module}} {{vantage}}"},
		},
	}.panel()
}

func omittedPorts() *panel {
	return graph{
		title: "Omitted ports", unit: "none",
		description: "Number of ports without series because of max_ports. They are counted, but not in the bands and tables of this dashboard.",
		queries: []query{{
			expr:   fmt.Sprintf("sum by (module, vantage) (%s)", targetPortScope.selector("portscan_ports_omitted")),
			legend: "{{module}} {{vantage}}",
		}},
	}.panel()
}
