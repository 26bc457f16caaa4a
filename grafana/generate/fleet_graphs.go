// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package main

import "fmt"

func fleetChanges() *panel {
	return graph{
		title: "Ports opened and closed", unit: "none", bars: true, stacked: true,
		description: "Number of ports that opened or closed between two steps of this graph. Only complete scans count, so ports that were unknown are not changes.",
		queries:     []query{{expr: openedPorts(fleetScope, fleetScope), legend: "opened"}, {expr: closedPorts(fleetScope, fleetScope), legend: "closed"}},
	}.panel()
}

func fleetViolations() *panel {
	return graph{
		title: "Violations", unit: "none", stacked: true,
		description: "Number of open ports that must not be open, and of closed and filtered ports that must be open.",
		queries: []query{
			{expr: sumOf(maxBy("instance, ip, protocol", fleetScope.selector("portscan_ports_violating", `expected="closed"`))), legend: "unexpected open"},
			{expr: sumOf(maxBy("instance, ip, protocol", fleetScope.selector("portscan_ports_violating", `expected="open"`))), legend: "expected, not open"},
		},
	}.panel()
}

func fleetStates() *panel {
	return graph{
		title: "Ports by state", unit: "short", stacked: true,
		description: "Number of ports by state over all scans. If several modules or vantages scan an address, the largest number of each state is used.",
		queries: []query{{
			expr:   sumBy("state", maxBy("instance, ip, protocol, state", fleetScope.selector("portscan_ports"))),
			legend: "{{state}}",
		}},
	}.panel()
}

func fleetUnknown() *panel {
	return graph{
		title: "Reasons for incomplete scans", unit: "short",
		description: "Number of unknown ports and of failed targets by reason. docs/metrics.md describes the reasons.",
		queries: []query{
			{expr: sumBy("reason", fleetScope.selector("portscan_ports_unknown")), legend: "unknown ports: {{reason}}"},
			{expr: sumBy("reason", maxBy("instance, reason", fleetScope.selector("portscan_scan_failed"))), legend: "failed targets: {{reason}}"},
		},
	}.panel()
}

func longestScans() *panel {
	return graph{
		title: "Longest scans", unit: "s",
		description: "Duration of the ten longest scans, by target and module.",
		queries: []query{{
			expr:   fmt.Sprintf("topk(10, %s)", maxBy("instance, module", fleetScope.selector("portscan_scan_duration_seconds"))),
			legend: "{{instance}} {{module}}",
		}},
	}.panel()
}

func timeoutUsage() *panel {
	return graph{
		title: "Timeout usage by target", unit: "percentunit", percentScale: true,
		description: "Share of the module's timeout that scans use, for the ten largest. Close to 100 %, scans become incomplete. Prometheus's scrape timeout may be shorter.",
		queries: []query{{
			expr: fmt.Sprintf("topk(10, %s)", maxBy("instance, module",
				fleetScope.selector("portscan_scan_duration_seconds")+" / "+fleetScope.selector("portscan_scan_timeout_seconds"))),
			legend: "{{instance}} {{module}}",
		}},
	}.panel()
}

func scanDurations() *panel {
	quantile := func(q string) string {
		return fmt.Sprintf("histogram_quantile(%s, %s)", q,
			sumBy("module, le", fmt.Sprintf("rate(%s[$__rate_interval])", exporterScope.selector("portscan_exporter_scan_duration_seconds_bucket"))))
	}
	return graph{
		title: "Scan duration by module", unit: "s",
		description: "Median and 95th percentile of scan durations, from the exporters' histogram. Gaps are times without scans.",
		queries: []query{
			{expr: quantile("0.5"), legend: "{{module}} median"},
			{expr: quantile("0.95"), legend: "{{module}} 95 %"},
		},
	}.panel()
}

func attemptRate() *panel {
	return graph{
		title: "Attempts", unit: "cps", stacked: true,
		description: "Connections, SYNs and datagrams per second over all exporters.",
		queries:     []query{{expr: sumBy("protocol", rate("portscan_exporter_attempts_total")), legend: "{{protocol}}"}},
	}.panel()
}

func retryRatio() *panel {
	return graph{
		title: "Retry ratio", unit: "percentunit", percentScale: true,
		description: "Share of attempts that were not a port's first. It rises with silent ports and with packet loss.",
		queries: []query{{
			expr: fmt.Sprintf("sum by (protocol) (%s)\n/ (sum by (protocol) (%s) > 0)",
				fleetScope.selector("portscan_scan_retries"), fleetScope.selector("portscan_scan_attempts")),
			legend: "{{protocol}}",
		}},
	}.panel()
}

func samplesPerScrape() *panel {
	return graph{
		title: "Samples per scrape", unit: "short", stacked: true,
		description: "Number of samples in one scrape of all targets, by module.",
		queries:     []query{{expr: sumBy("module", fleetScope.selector("scrape_samples_scraped")), legend: "{{module}}"}},
	}.panel()
}

func rate(counter string) string {
	return fmt.Sprintf("rate(%s[$__rate_interval])", exporterScope.selector(counter))
}

func exporterStats() []*panel {
	return []*panel{
		stat{
			title: "Exporters", unit: "none", steps: fixedColor("blue"),
			description: "Number of exporters whose /metrics Prometheus scrapes, including failing ones.",
			expr:        fmt.Sprintf("count(%s)", exporterScope.selector("up")),
		}.panel(),
		stat{
			title: "Exporters down", unit: "none", steps: colorAboveZero("red"),
			description: "Number of exporters that do not respond.",
			expr:        fmt.Sprintf("sum(%s == bool 0)", exporterScope.selector("up")),
		}.panel(),
		stat{
			title: "Failed configuration reloads", unit: "none", steps: colorAboveZero("red"),
			description: "Number of exporters whose last configuration reload failed. They use the previous configuration.",
			expr:        fmt.Sprintf("sum(%s == bool 0)", exporterScope.selector("portscan_exporter_config_last_reload_successful")),
		}.panel(),
		stat{
			title: "Oldest configuration", unit: "s", steps: fixedColor("text"),
			description: "Time since the least recent successful configuration reload of an exporter.",
			expr:        fmt.Sprintf("time() - min(%s)", exporterScope.selector("portscan_exporter_config_last_reload_success_timestamp_seconds")),
		}.panel(),
		stat{
			title: "Configured targets", unit: "none", steps: fixedColor("text"),
			description: "Number of configured targets over all exporters. Exporters with the same configuration each count their targets.",
			expr:        sumOf(exporterScope.selector("portscan_exporter_config_targets")),
		}.panel(),
		stat{
			title: "Lost audit entries", unit: "none", steps: colorAboveZero("red"),
			description: "Number of audit entries that could not be written in the selected time range.",
			expr:        fmt.Sprintf("sum(ceil(increase(%s[$__range])))", exporterScope.selector("portscan_exporter_audit_failures_total")),
		}.panel(),
	}
}

func scanRate() *panel {
	return graph{
		title: "Scans and probes", unit: "cps",
		description: "Finished scans, incomplete scans, and probes that joined a running scan, per second.",
		queries: []query{
			{expr: sumOf(rate("portscan_exporter_scans_total")), legend: "scans"},
			{expr: sumOf(rate("portscan_exporter_scan_failures_total")), legend: "incomplete scans"},
			{expr: sumOf(rate("portscan_exporter_probes_coalesced_total")), legend: "joined probes"},
		},
	}.panel()
}

func refusedProbes() *panel {
	return graph{
		title: "Refused probes", unit: "cps", stacked: true,
		description: "Refused probes per second, by reason. limit: limits.max_scans scans were running.",
		queries:     []query{{expr: sumBy("reason", rate("portscan_exporter_probes_refused_total")), legend: "{{reason}}"}},
	}.panel()
}

func inFlight() *panel {
	return graph{
		title: "Scans and attempts in flight", unit: "short", limits: []string{"limit"},
		description: "Number of running scans and attempts in flight for each exporter, and the limit of attempts, which depends on descriptors and memory.",
		queries: []query{
			{expr: sumBy("instance", exporterScope.selector("portscan_exporter_scans_in_flight")), legend: "scans {{instance}}"},
			{expr: sumBy("instance", exporterScope.selector("portscan_exporter_attempts_in_flight")), legend: "attempts {{instance}}"},
			{expr: sumBy("instance", exporterScope.selector("portscan_exporter_attempts_in_flight_limit")), legend: "limit {{instance}}"},
		},
	}.panel()
}

func memoryUsage() *panel {
	return graph{
		title: "Memory", unit: "bytes",
		description: "Resident memory of each exporter.",
		queries:     []query{{expr: exporterScope.selector("process_resident_memory_bytes"), legend: "{{instance}}"}},
	}.panel()
}

func cpuUsage() *panel {
	return graph{
		title: "CPU usage", unit: "percentunit",
		description: "CPU cores that each exporter uses: 100 % is one core.",
		queries:     []query{{expr: rate("process_cpu_seconds_total"), legend: "{{instance}}"}},
	}.panel()
}

func descriptorUsage() *panel {
	return graph{
		title: "File descriptors", unit: "short", limits: []string{"limit"},
		description: "Number of open file descriptors of each exporter, and their limit.",
		queries: []query{
			{expr: exporterScope.selector("process_open_fds"), legend: "open {{instance}}"},
			{expr: exporterScope.selector("process_max_fds"), legend: "limit {{instance}}"},
		},
	}.panel()
}
