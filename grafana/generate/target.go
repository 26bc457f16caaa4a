package main

import "fmt"

// one is the scans of the target that the variables choose; onePorts its ports,
// whose series have an address.
const (
	one      scope = `job=~"$job", instance="$target", module=~"$module", vantage=~"$vantage"`
	onePorts scope = one + `, ip=~"$ip"`
)

// single is the dashboard of one target.
func single() (*dashboard, error) {
	d := newDashboard(targetUID, "Ports: target", "One target of portscan_exporter: its ports, their states and response times over time, what changed, and how its scans go.")
	const target = `up{job=~"$job", instance="$target"}`
	d.Templating.List = []variable{
		datasourceVariable(),
		jobVariable(),
		labelVariable("target", "Target", "A target of the exporters' configuration.", `up{job=~"$job"}`, "instance"),
		labelVariable("module", "Module", "The modules that scan the target.", target, "module").any(".*"),
		vantageVariable(target),
		labelVariable("ip", "Address", "The target's addresses.", `portscan_ports{job=~"$job", instance="$target"}`, "ip").any(".+"),
		exporterVariable(),
	}
	d.Links = []link{
		dashboardLink("Fleet", "All targets", fleetUID),
		exporterLink("At the exporter", "The exporter's page of this target", "/target/${target}"),
		exporterLink("Probe now", "Scan it now, with the first of its modules, and show every step", "/probe?target=${target}&debug=true"),
	}
	var err error
	d.Panels, err = place([]section{
		{title: "Now", lines: []line{lineOf(4, targetFigures()...)}},
		{title: "Ports", lines: []line{
			lineOf(11, portStates()),
			lineOf(9, openPorts(), lastChanges()),
			lineOf(8, targetStates(), targetChanges()),
			lineOf(8, responseTimes(), addressStates()),
		}},
		{title: "How scans go", lines: []line{
			lineOf(8, targetDuration(), targetAttempts(), targetAge()),
			lineOf(8, targetProgress(), targetUnknown(), targetFailures()),
			lineOf(8, addressCounts(), lookupTime(), portsOmitted()),
		}},
	})
	return d, err
}

func targetFigures() []*panel {
	violating := func(expected string) string {
		return sumOf(maxBy("ip, protocol", onePorts.of("portscan_ports_violating", `expected="`+expected+`"`)))
	}
	return []*panel{
		stat{
			title: "Scrapes", unit: "none",
			description: "Whether all of the target's scrapes succeed. They fail where the authorization has ended, a limit is reached, or the exporter is down.",
			expr:        fmt.Sprintf("min(%s)", one.of("up")),
			words:       words(word{Text: "fail", Color: "red"}, word{Text: "succeed", Color: "green"}), steps: always("text"),
		}.panel(),
		stat{
			title: "Scans", unit: "none",
			description: "Whether all scans know the state of every port. Where they don't, read the counts of violations as at least so many.",
			expr:        fmt.Sprintf("min(%s)", one.of("probe_success")),
			words:       words(word{Text: "incomplete", Color: "orange"}, word{Text: "complete", Color: "green"}), steps: always("text"),
		}.panel(),
		stat{
			title: "Unexpected open", unit: "none", steps: bad("red"),
			description: "Ports that are open and should not be.",
			expr:        violating("closed"),
		}.panel(),
		stat{
			title: "Expected, not open", unit: "none", steps: bad("orange"),
			description: "Ports that are known not to be open and should be.",
			expr:        violating("open"),
		}.panel(),
		stat{
			title: "Open", unit: "none", steps: always("text"),
			description: "Ports that are open, expected or not.",
			expr:        sumOf(maxBy("ip, protocol", onePorts.of("portscan_ports", `state="open"`))),
		}.panel(),
		stat{
			title: "Age", unit: "s", steps: always("text"), noValue: "no scan yet",
			description: "How long ago the oldest of the scans shown ended. With max_age an answer may show an earlier scan.",
			expr:        fmt.Sprintf("time() - min(%s > 0)", one.of("portscan_scan_timestamp_seconds")),
		}.panel(),
		stat{
			title: "Progress", unit: "percentunit", steps: always("text"),
			description: "How far the scan is that is under way behind the answers, with max_age; 100 % if there is none.",
			expr:        fmt.Sprintf("min(%s)", one.of("portscan_scan_progress_ratio")),
		}.panel(),
		stat{
			title: "Authorization", unit: "s", noValue: "no end known",
			steps:       []step{{Color: "red"}, {Value: new(0.0), Color: "orange"}, {Value: new(month), Color: "green"}},
			description: "Time left until the authorization to scan the target ends; below zero it has ended. No value: it does not end, or the exporters' own metrics are not scraped.",
			expr:        `min(portscan_exporter_target_authorization_expiry_timestamp_seconds{target="$target"}) - time()`,
		}.panel(),
	}
}

// The states of a port, as a number for a timeline.
const (
	isClosed = iota
	isOpen
	isFiltered
	isOpenFiltered
	isUnexpected
	isMissingClosed
	isMissingFiltered
)

func stateWords() []mapping {
	return words(
		word{Text: "closed", Color: "#7b8087"},
		word{Text: "open", Color: "green"},
		word{Text: "filtered", Color: "purple"},
		word{Text: "open or filtered", Color: "super-light-purple"},
		word{Text: "open, and should not be", Color: "red"},
		word{Text: "closed, and should be open", Color: "orange"},
		word{Text: "filtered, and should be open", Color: "dark-orange"},
	)
}

// portState is the state of each port as such a number. The first line that has a
// port decides, so that what is not as expected comes before what is. A silent UDP
// port has no portscan_port_open.
func portState() string {
	open := func(more ...string) string { return maxBy(port, onePorts.of("portscan_port_open", more...)) }
	silent := func(more ...string) string {
		return maxBy(port, onePorts.of("portscan_port_filtered", more...)) + " == 1"
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

func portStates() *panel {
	return timeline{
		title:       "State of each port",
		description: "A band for each reported port. A gap is a time in which the port was not reported: it was unknown, or it was not open and nobody named it. What is not as expected has a colour of its own.",
		queries:     []query{{expr: portState(), legend: "{{ip}} {{port}}/{{protocol}} {{vantage}}"}},
		words:       stateWords(),
	}.panel()
}

func openPorts() *panel {
	return table{
		title:       "Open ports",
		description: "Every open port that the last scrape reported, and whether it should be open.",
		noValue:     "No port is open, as far as scans are complete",
		queries:     []string{maxBy(port+", expected", onePorts.of("portscan_port_open")) + " == 1"},
		columns: []column{
			{field: "ip", name: "Address"},
			{field: "port", name: "Port"},
			{field: "protocol", name: "Protocol"},
			{field: "expected", name: "Expected", words: []mapping{{Type: "value", Options: map[string]word{
				"closed": {Text: "no", Color: "red", Index: 0},
				"open":   {Text: "yes", Color: "green", Index: 1},
				"any":    {Text: "may be", Color: "text", Index: 2},
			}}}},
			{field: "vantage", name: "Vantage"},
			{field: "instance"},
			{field: "Value"},
		},
		sortBy: "Expected",
	}.panel()
}

func lastChanges() *panel {
	change := maxBy(port, onePorts.of("portscan_port_last_change_timestamp_seconds"))
	return table{
		title:       "Last change of each port",
		description: "Reported ports whose state was seen to change: when that was, and what they are now.",
		noValue:     "No change was seen",
		queries:     []string{"1000 * " + change, fmt.Sprintf("(\n%s\n)\nand\n%s", indent(portState()), change)},
		columns: []column{
			{field: "Value #A", name: "Changed", unit: "dateTimeAsIso"},
			{field: "ip", name: "Address"},
			{field: "port", name: "Port"},
			{field: "protocol", name: "Protocol"},
			{field: "Value #B", name: "Now", words: stateWords()},
			{field: "vantage", name: "Vantage"},
			{field: "instance"},
		},
		sortBy: "Changed", descending: true,
	}.panel()
}
