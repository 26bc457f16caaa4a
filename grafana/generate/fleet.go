package main

import "fmt"

// all is every target that the variables choose.
const all scope = `job=~"$job", instance=~"$target", vantage=~"$vantage"`

// own is the exporters' own metrics.
const own scope = `job=~"$exporter_job"`

// fleet is the dashboard of all targets and exporters.
func fleet() (*dashboard, error) {
	d := newDashboard(fleetUID, "Ports: fleet", "All targets of portscan_exporter: what is not as expected, what is not known, what changes, and how the exporters are.")
	d.Templating.List = []variable{
		datasourceVariable(),
		jobVariable(),
		labelVariable("target", "Target", "Targets of the exporters' configuration, those that are refused included.", `up{job=~"$job"}`, "instance").any(".+"),
		vantageVariable(`up{job=~"$job"}`),
		labelVariable("exporter_job", "Exporter job", "The jobs that scrape the exporters' own /metrics.", "portscan_exporter_build_info", "job").any(""),
		exporterVariable(),
	}
	d.Links = []link{
		dashboardLink("Target", "One target, port by port", targetUID),
		exporterLink("Exporter", "The exporter's status page", "/"),
		exporterLink("Configuration", "The configuration in use, defaults filled in", "/config"),
	}
	var err error
	d.Panels, err = place([]section{
		{title: "Now", lines: []line{
			lineOf(4, fleetFigures()...),
			lineOf(9, unexpectedPorts()),
			lineOf(8, missingPorts(), vantageDifference()),
		}},
		{title: "Target by target", lines: []line{lineOf(10, targetTable())}},
		{title: "Over time", lines: []line{
			lineOf(8, fleetChanges(), fleetViolations()),
			lineOf(8, fleetStates(), fleetUnknown()),
		}},
		{title: "Authorizations", lines: []line{lineOf(8, authorizations())}},
		{title: "Scans: time and cost", lines: []line{
			lineOf(8, slowest(), timeUsed(), durations()),
			lineOf(8, attemptRate(), retryShare(), seriesCost()),
		}},
		{title: "Exporter health", lines: []line{
			lineOf(4, exporterFigures()...),
			lineOf(8, scanRate(), refusals(), inFlight()),
			lineOf(8, memory(), processor(), descriptors()),
		}},
	})
	return d, err
}

// fleetFigures are counts. Each is 0 only where the series that it counts in are
// there: without data it says so, and not that all is well.
func fleetFigures() []*panel {
	violating := func(expected string) string {
		return sumOf(maxBy("instance, ip, protocol", all.of("portscan_ports_violating", `expected="`+expected+`"`)))
	}
	return []*panel{
		stat{
			title: "Targets", unit: "none", steps: always("blue"),
			description: "Targets that Prometheus scrapes, those that it gets no answer for included.",
			expr:        fmt.Sprintf("count(count by (instance) (%s))", all.of("up")),
		}.panel(),
		stat{
			title: "Refused or down", unit: "none", steps: bad("red"),
			description: "Targets of which some scrape fails: the authorization has ended, a limit is reached, or the exporter is down. Nothing is known of their ports.",
			expr:        fmt.Sprintf("sum(%s == bool 0)", minBy("instance", all.of("up"))),
		}.panel(),
		stat{
			title: "Incomplete", unit: "none", steps: bad("orange"),
			description: "Targets of which some scan does not know the state of every port. Read the counts of violations together with this one.",
			expr:        fmt.Sprintf("sum(%s == bool 0)", minBy("instance", all.of("probe_success"))),
		}.panel(),
		stat{
			title: "Violating", unit: "none", steps: bad("red"),
			description: "Targets with a port that is open and should not be, or known not to be open and should be.",
			expr:        fmt.Sprintf("sum(%s > bool 0)", maxBy("instance", all.of("portscan_ports_violating"))),
		}.panel(),
		stat{
			title: "Unexpected open", unit: "none", steps: bad("red"),
			description: "Ports that are open and should not be. Where several modules or vantages see different numbers at an address, the largest counts.",
			expr:        violating("closed"),
		}.panel(),
		stat{
			title: "Expected, not open", unit: "none", steps: bad("orange"),
			description: "Ports that are known not to be open and should be. Where several modules or vantages see different numbers at an address, the largest counts.",
			expr:        violating("open"),
		}.panel(),
		stat{
			title: "Suspect addresses", unit: "none", steps: bad("orange"),
			description: "Addresses for which something in between seems to answer. Don't believe that their ports are open, or that they are not.",
			expr:        sumOf(maxBy("instance, ip, protocol", all.of("portscan_address_suspect"))),
		}.panel(),
		stat{
			title: "Authorizations to renew", unit: "none", steps: bad("orange"), noValue: "none ends",
			description: "Authorizations that end within 30 days, or have ended. No value: no target has one that ends, or the exporters' own metrics are not scraped.",
			expr:        fmt.Sprintf("sum(%s - time() < bool %.0f)", minBy("target", authorizationEnd()), month),
		}.panel(),
	}
}

func sumOf(expr string) string { return "sum(" + expr + ")" }

func authorizationEnd() string {
	return own.of("portscan_exporter_target_authorization_expiry_timestamp_seconds", `target=~"$target"`)
}

// unexpectedPorts shows since when as its value, which is 0 where that is not
// known: so the row is there all the same.
func unexpectedPorts() *panel {
	open := maxBy(port, all.of("portscan_port_open", `expected="closed"`)) + " == 1"
	return table{
		title:       "Unexpected open ports",
		description: "Every port that is open and should not be, as of the last scrape, with who answers for the target. Ports beyond a module's max_ports are not listed one by one; the count above has them.",
		noValue:     "No port is open that should not be, as far as scans are complete",
		queries: []string{all.withOwner(fmt.Sprintf(`  1000 * %s
and
  %s
or
  0 * (%s)`, maxBy(port, all.of("portscan_port_last_change_timestamp_seconds")), open, open))},
		columns: []column{
			{field: "instance", name: "Target", links: targetLinks()},
			{field: "owner", name: "Owner"},
			{field: "ip", name: "Address"},
			{field: "port", name: "Port"},
			{field: "protocol", name: "Protocol"},
			{field: "vantage", name: "Vantage"},
			{field: "Value", name: "Since", unit: "dateTimeAsIso", words: words(word{Text: "no change seen", Color: "text"}), steps: always("text")},
		},
		sortBy: "Since", descending: true,
	}.panel()
}

func missingPorts() *panel {
	expected := `expected="open"`
	return table{
		title:       "Expected ports that are not open",
		description: "Every port that should be open and is known not to be: closed is a refusal, filtered is silence or a filter's refusal.",
		noValue:     "Every port that should be open is, as far as scans are complete",
		queries: []string{all.withOwner(fmt.Sprintf("  %s\nand\n  %s == 0",
			maxBy(port, all.of("portscan_port_filtered", expected)), maxBy(port, all.of("portscan_port_open", expected))))},
		columns: []column{
			{field: "instance", name: "Target", links: targetLinks()},
			{field: "owner", name: "Owner"},
			{field: "ip", name: "Address"},
			{field: "port", name: "Port"},
			{field: "protocol", name: "Protocol"},
			{field: "vantage", name: "Vantage"},
			{field: "Value", name: "State", words: words(word{Text: "closed", Color: "orange"}, word{Text: "filtered", Color: "purple"})},
		},
		sortBy: "Target",
	}.panel()
}

// vantageDifference compares like with like: the same module of the same target,
// at the same address. A port that is not open has no series unless somebody named
// it. So what counts is whether a vantage that knows all ports of the address, as
// portscan_ports says, and left none out of its answer, sees the port open.
func vantageDifference() *panel {
	vantage := `vantage!=""`
	open := maxBy("instance, module, vantage, ip, port, protocol", all.of("portscan_port_open", vantage)) + " == 1"
	const address = "instance, module, vantage, ip, protocol"
	knows := fmt.Sprintf("(%s == bool 0) * (%s == bool 0)",
		sumBy(address, all.of("portscan_ports", vantage, `state=~"unknown|open_filtered"`)),
		sumBy(address, all.of("portscan_ports_omitted", vantage)))
	return table{
		title:       "Open from one vantage and not from another",
		description: "Ports of a target that one vantage sees open, while another one with the same module knows all ports of that address and sees this one closed or filtered. A row for each vantage that sees it open.",
		noValue:     "All vantages see the same, or there is only one",
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
)`, port, open, open, knows, knows)},
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

// targetTable is a row for each target, refused ones included.
func targetTable() *panel {
	violating := func(expected string) string {
		return sumBy("instance", maxBy("instance, ip, protocol", all.of("portscan_ports_violating", `expected="`+expected+`"`)))
	}
	return table{
		title:       "All targets",
		description: "One row a target: whether its scrapes succeed and its scans are complete, what is not as expected, how old the oldest of the scans shown is, how much of their time the scans take, and when the authorization ends.",
		noValue:     "No target is scraped",
		queries: []string{
			maxBy("instance, owner", all.of("portscan_target_info")),
			minBy("instance", all.of("up")),
			minBy("instance", all.of("probe_success")),
			violating("closed"),
			violating("open"),
			"time() - " + minBy("instance", all.of("portscan_scan_timestamp_seconds")+" > 0"),
			maxBy("instance", all.of("portscan_scan_duration_seconds")+" / "+all.of("portscan_scan_timeout_seconds")),
			fmt.Sprintf(`1000 * max by (instance) (label_replace(%s, "instance", "$1", "target", "(.+)"))`, minBy("target", authorizationEnd())),
		},
		columns: []column{
			{field: "instance", name: "Target", links: targetLinks()},
			{field: "owner", name: "Owner"},
			{field: "Value #A"},
			{field: "Value #B", name: "Scrapes", words: words(word{Text: "fail", Color: "red"}, word{Text: "succeed", Color: "green"})},
			{field: "Value #C", name: "Scans", words: words(word{Text: "incomplete", Color: "orange"}, word{Text: "complete", Color: "green"})},
			{field: "Value #D", name: "Unexpected open", steps: bad("red")},
			{field: "Value #E", name: "Expected, not open", steps: bad("orange")},
			{field: "Value #F", name: "Age", unit: "s"},
			{field: "Value #G", name: "Time used", unit: "percentunit", steps: from(0.8, "orange")},
			{field: "Value #H", name: "Authorization ends", unit: "dateTimeAsIso"},
		},
		sortBy: "Unexpected open", descending: true,
	}.panel()
}

func authorizations() *panel {
	end := minBy("target", authorizationEnd())
	return table{
		title:       "Authorizations that end",
		description: "When each target's authorization ends, the first one first; those that have ended are in it, and their probes are refused. Targets whose authorization does not end are not.",
		noValue:     "No authorization ends, or the exporters' own metrics are not scraped",
		queries:     []string{"1000 * " + end, end + " - time()"},
		columns: []column{
			{field: "target", name: "Target", links: targetLinks()},
			{field: "Value #A", name: "Ends", unit: "dateTimeAsIso"},
			{field: "Value #B", name: "Time left", unit: "s", steps: []step{{Color: "red"}, {Value: new(0.0), Color: "orange"}, {Value: new(month), Color: "green"}}},
		},
		sortBy: "Time left",
	}.panel()
}
