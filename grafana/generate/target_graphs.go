package main

import "fmt"

func targetStates() *panel {
	return graph{
		title: "Ports by state", unit: "short", stacked: true,
		description: "All ports of the plan by state. Where several modules or vantages scan an address, the largest number of each state counts.",
		queries: []query{{
			expr:   sumBy("state", maxBy("ip, protocol, state", onePorts.of("portscan_ports"))),
			legend: "{{state}}",
		}},
	}.panel()
}

func targetChanges() *panel {
	return graph{
		title: "Ports opened and closed", unit: "none", bars: true, stacked: true,
		description: "Ports whose state changed from one step of this graph to the next, in scans that know all ports of the target: what was unknown for a while is no change.",
		queries:     []query{{expr: opened(onePorts, one), legend: "opened"}, {expr: closed(onePorts, one), legend: "closed"}},
	}.panel()
}

func responseTimes() *panel {
	return graph{
		title: "Response times", unit: "s",
		description: "Time from the last attempt to its answer, of each reported port that gave one. Where several modules scan it, the longest.",
		queries: []query{{
			expr:   maxBy(port, onePorts.of("portscan_port_response_seconds")),
			legend: "{{ip}} {{port}}/{{protocol}} {{vantage}}",
		}},
	}.panel()
}

func addressStates() *panel {
	const address = "vantage, ip, protocol"
	return timeline{
		title:       "Addresses",
		description: "Whether each address answered anything: dark, it did not; suspect, something in between seems to answer for it, so don't believe what its ports are.",
		queries: []query{{
			expr: fmt.Sprintf("%s\n+ %s",
				maxBy(address, onePorts.of("portscan_address_responding")), maxBy(address, onePorts.of("portscan_address_suspect"))),
			legend: "{{ip}} {{protocol}} {{vantage}}",
		}},
		words: words(word{Text: "dark", Color: "#7b8087"}, word{Text: "answers", Color: "green"}, word{Text: "suspect", Color: "orange"}),
	}.panel()
}

func targetDuration() *panel {
	return graph{
		title: "Scan duration", unit: "s", limits: []string{"timeout"},
		description: "How long the scan shown took, by module, and the module's timeout. Prometheus's own scrape timeout may be shorter.",
		queries: []query{
			{expr: byModule("max", "portscan_scan_duration_seconds"), legend: "{{module}} {{vantage}}"},
			{expr: byModule("max", "portscan_scan_timeout_seconds"), legend: "timeout of {{module}} {{vantage}}"},
		},
	}.panel()
}

// byModule keeps modules and vantages apart, as scans are.
func byModule(aggregate, metric string) string {
	return fmt.Sprintf("%s by (module, vantage) (%s)", aggregate, one.of(metric))
}

func targetAttempts() *panel {
	return graph{
		title: "Attempts and repeats", unit: "short",
		description: "Packets or connects that the scan shown took, by module, and those of them that were not a port's first.",
		queries: []query{
			{expr: byModule("sum", "portscan_scan_attempts"), legend: "attempts of {{module}} {{vantage}}"},
			{expr: byModule("sum", "portscan_scan_retries"), legend: "repeats of {{module}} {{vantage}}"},
		},
	}.panel()
}

func targetAge() *panel {
	return graph{
		title: "Scan age", unit: "s", limits: []string{"stale"},
		description: "How long ago the scan shown ended, by module. With max_age it may go up to max_age and timeout together; beyond that the result is stale, and probe_success is 0.",
		queries: []query{
			{
				expr:   fmt.Sprintf("time() - min by (module, vantage) (%s > 0)", one.of("portscan_scan_timestamp_seconds")),
				legend: "{{module}} {{vantage}}",
			},
			{
				expr: fmt.Sprintf("max by (module, vantage) (\n  (%s > 0)\n  + %s\n)",
					one.of("portscan_scan_max_age_seconds"), one.of("portscan_scan_timeout_seconds")),
				legend: "stale from {{module}} {{vantage}}",
			},
		},
	}.panel()
}

func targetProgress() *panel {
	return graph{
		title: "Progress over time", unit: "percentunit", full: true,
		description: "How far the scan is that is under way behind the answer, with max_age; 100 % if there is none.",
		queries:     []query{{expr: byModule("min", "portscan_scan_progress_ratio"), legend: "{{module}} {{vantage}}"}},
	}.panel()
}

func targetUnknown() *panel {
	return graph{
		title: "Unknown ports, by cause", unit: "short", stacked: true,
		description: "Ports of which nothing is known, and why. docs/metrics.md says of each cause what to do.",
		queries:     []query{{expr: sumBy("reason", one.of("portscan_ports_unknown")), legend: "{{reason}}"}},
	}.panel()
}

func targetFailures() *panel {
	return graph{
		title: "What failed", unit: "none", bars: true, stacked: true,
		description: "Scans that something kept from being whole, by what it was. docs/metrics.md says of each what to do.",
		queries:     []query{{expr: sumBy("reason", one.of("portscan_scan_failed")), legend: "{{reason}}"}},
	}.panel()
}

func addressCounts() *panel {
	return graph{
		title: "Addresses resolved", unit: "none",
		description: "Addresses that the target resolved to: in its networks, and scanned; outside them, and not touched.",
		queries: []query{
			{expr: byModule("max", "portscan_addresses"), legend: "scanned by {{module}} {{vantage}}"},
			{expr: byModule("max", "portscan_addresses_refused"), legend: "refused to {{module}} {{vantage}}"},
		},
	}.panel()
}

func lookupTime() *panel {
	return graph{
		title: "Time to answer", unit: "s",
		description: "How long the answer took from the arrival of the probe, and name lookups.",
		queries: []query{
			{expr: byModule("max", "probe_duration_seconds"), legend: "{{module}} {{vantage}}"},
			{expr: byModule("max", "probe_dns_lookup_time_seconds"), legend: "names of {{module}} {{vantage}}"},
		},
	}.panel()
}

func portsOmitted() *panel {
	return graph{
		title: "Ports left out", unit: "none",
		description: "Ports worth reporting one by one for which the module's max_ports left no room. They are in the counts, and in no band or table here.",
		queries: []query{{
			expr:   fmt.Sprintf("sum by (module, vantage) (%s)", onePorts.of("portscan_ports_omitted")),
			legend: "{{module}} {{vantage}}",
		}},
	}.panel()
}
