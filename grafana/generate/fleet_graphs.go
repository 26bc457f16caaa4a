package main

import "fmt"

func fleetChanges() *panel {
	return graph{
		title: "Ports opened and closed", unit: "none", bars: true, stacked: true,
		description: "Ports whose state changed from one step of this graph to the next, in scans that know all ports of the target: what was unknown for a while is no change.",
		queries:     []query{{expr: opened(all, all), legend: "opened"}, {expr: closed(all, all), legend: "closed"}},
	}.panel()
}

func fleetViolations() *panel {
	return graph{
		title: "Ports not as expected", unit: "none", stacked: true,
		description: "Ports that are open and should not be, and that are known not to be open and should be.",
		queries: []query{
			{expr: sumOf(maxBy("instance, ip, protocol", all.of("portscan_ports_violating", `expected="closed"`))), legend: "unexpected open"},
			{expr: sumOf(maxBy("instance, ip, protocol", all.of("portscan_ports_violating", `expected="open"`))), legend: "expected, not open"},
		},
	}.panel()
}

func fleetStates() *panel {
	return graph{
		title: "Ports by state", unit: "short", stacked: true,
		description: "All ports of all scans by state. Where several modules or vantages scan an address, the largest number of each state counts.",
		queries: []query{{
			expr:   sumBy("state", maxBy("instance, ip, protocol, state", all.of("portscan_ports"))),
			legend: "{{state}}",
		}},
	}.panel()
}

func fleetUnknown() *panel {
	return graph{
		title: "What keeps scans from being whole", unit: "short",
		description: "Unknown ports by cause, and targets by what failed. docs/metrics.md says of each what to do.",
		queries: []query{
			{expr: sumBy("reason", all.of("portscan_ports_unknown")), legend: "ports unknown: {{reason}}"},
			{expr: sumBy("reason", maxBy("instance, reason", all.of("portscan_scan_failed"))), legend: "targets failed: {{reason}}"},
		},
	}.panel()
}

func slowest() *panel {
	return graph{
		title: "Longest scans", unit: "s",
		description: "How long the scans of the ten slowest pairs of target and module took, at each moment.",
		queries: []query{{
			expr:   fmt.Sprintf("topk(10, %s)", maxBy("instance, module", all.of("portscan_scan_duration_seconds"))),
			legend: "{{instance}} {{module}}",
		}},
	}.panel()
}

func timeUsed() *panel {
	return graph{
		title: "Time used, of the timeout", unit: "percentunit", full: true,
		description: "How much of the module's timeout the ten that come nearest take. Near 100 % scans will soon be incomplete. Prometheus's own scrape timeout may be shorter.",
		queries: []query{{
			expr: fmt.Sprintf("topk(10, %s)", maxBy("instance, module",
				all.of("portscan_scan_duration_seconds")+" / "+all.of("portscan_scan_timeout_seconds"))),
			legend: "{{instance}} {{module}}",
		}},
	}.panel()
}

func durations() *panel {
	quantile := func(q string) string {
		return fmt.Sprintf("histogram_quantile(%s, %s)", q,
			sumBy("module, le", fmt.Sprintf("rate(%s[$__rate_interval])", own.of("portscan_exporter_scan_duration_seconds_bucket"))))
	}
	return graph{
		title: "Scan duration by module", unit: "s",
		description: "Median and 95th percentile of the durations of scans, from the exporters' histogram. A gap is a time without scans.",
		queries: []query{
			{expr: quantile("0.5"), legend: "{{module}} median"},
			{expr: quantile("0.95"), legend: "{{module}} 95 %"},
		},
	}.panel()
}

func attemptRate() *panel {
	return graph{
		title: "Attempts", unit: "cps", stacked: true,
		description: "Connects, SYNs and datagrams a second, all exporters together.",
		queries:     []query{{expr: sumBy("protocol", rate("portscan_exporter_attempts_total")), legend: "{{protocol}}"}},
	}.panel()
}

func retryShare() *panel {
	return graph{
		title: "Attempts that were repeats", unit: "percentunit", full: true,
		description: "Of the attempts of each scan shown, how many were not a port's first. It rises where ports are silent, or where packets are lost.",
		queries: []query{{
			expr: fmt.Sprintf("sum by (protocol) (%s)\n/ (sum by (protocol) (%s) > 0)",
				all.of("portscan_scan_retries"), all.of("portscan_scan_attempts")),
			legend: "{{protocol}}",
		}},
	}.panel()
}

func seriesCost() *panel {
	return graph{
		title: "Samples a scrape", unit: "short", stacked: true,
		description: "What the targets cost Prometheus: samples of one round of scrapes, by module.",
		queries:     []query{{expr: sumBy("module", all.of("scrape_samples_scraped")), legend: "{{module}}"}},
	}.panel()
}

func rate(counter string) string { return fmt.Sprintf("rate(%s[$__rate_interval])", own.of(counter)) }

func exporterFigures() []*panel {
	return []*panel{
		stat{
			title: "Exporters", unit: "none", steps: always("blue"),
			description: "Exporters whose own metrics Prometheus scrapes, those that don't answer included.",
			expr:        fmt.Sprintf("count(%s)", own.of("up")),
		}.panel(),
		stat{
			title: "Exporters down", unit: "none", steps: bad("red"),
			description: "Exporters that don't answer.",
			expr:        fmt.Sprintf("sum(%s == bool 0)", own.of("up")),
		}.panel(),
		stat{
			title: "Configuration not loaded", unit: "none", steps: bad("red"),
			description: "Exporters whose last attempt to load the configuration failed. They work on with the one before.",
			expr:        fmt.Sprintf("sum(%s == bool 0)", own.of("portscan_exporter_config_last_reload_successful")),
		}.panel(),
		stat{
			title: "Oldest configuration", unit: "s", steps: always("text"),
			description: "How long ago the exporter that has not loaded its configuration for the longest time did so.",
			expr:        fmt.Sprintf("time() - min(%s)", own.of("portscan_exporter_config_last_reload_success_timestamp_seconds")),
		}.panel(),
		stat{
			title: "Targets configured", unit: "none", steps: always("text"),
			description: "Targets in the exporters' configurations, all together. With several exporters for one configuration each counts its own.",
			expr:        sumOf(own.of("portscan_exporter_config_targets")),
		}.panel(),
		stat{
			title: "Audit lines lost", unit: "none", steps: bad("red"),
			description: "Lines that could not be written to the audit file in the time range of the dashboard.",
			expr:        fmt.Sprintf("sum(ceil(increase(%s[$__range])))", own.of("portscan_exporter_audit_failures_total")),
		}.panel(),
	}
}

func scanRate() *panel {
	return graph{
		title: "Scans and probes", unit: "cps",
		description: "Scans that ended a second, those of them that were not whole, and probes that shared a scan begun for another one.",
		queries: []query{
			{expr: sumOf(rate("portscan_exporter_scans_total")), legend: "scans"},
			{expr: sumOf(rate("portscan_exporter_scan_failures_total")), legend: "scans not whole"},
			{expr: sumOf(rate("portscan_exporter_probes_coalesced_total")), legend: "probes that shared a scan"},
		},
	}.panel()
}

func refusals() *panel {
	return graph{
		title: "Probes refused", unit: "cps", stacked: true,
		description: "Probes a second that got no scan, by reason. limit: more scans at once than limits.max_scans.",
		queries:     []query{{expr: sumBy("reason", rate("portscan_exporter_probes_refused_total")), legend: "{{reason}}"}},
	}.panel()
}

func inFlight() *panel {
	return graph{
		title: "Under way", unit: "short", limits: []string{"limit"},
		description: "Scans and attempts under way in each exporter, and how many attempts may be, which descriptors and memory bound.",
		queries: []query{
			{expr: sumBy("instance", own.of("portscan_exporter_scans_in_flight")), legend: "scans {{instance}}"},
			{expr: sumBy("instance", own.of("portscan_exporter_attempts_in_flight")), legend: "attempts {{instance}}"},
			{expr: sumBy("instance", own.of("portscan_exporter_attempts_in_flight_limit")), legend: "limit {{instance}}"},
		},
	}.panel()
}

func memory() *panel {
	return graph{
		title: "Memory", unit: "bytes",
		description: "Resident memory of each exporter.",
		queries:     []query{{expr: own.of("process_resident_memory_bytes"), legend: "{{instance}}"}},
	}.panel()
}

func processor() *panel {
	return graph{
		title: "Processor time", unit: "percentunit",
		description: "Cores that each exporter keeps busy: 100 % is one.",
		queries:     []query{{expr: rate("process_cpu_seconds_total"), legend: "{{instance}}"}},
	}.panel()
}

func descriptors() *panel {
	return graph{
		title: "File descriptors", unit: "short", limits: []string{"limit"},
		description: "Open file descriptors of each exporter, and how many there may be.",
		queries: []query{
			{expr: own.of("process_open_fds"), legend: "open {{instance}}"},
			{expr: own.of("process_max_fds"), legend: "limit {{instance}}"},
		},
	}.panel()
}
