// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
)

// scope is a list of label matchers with a dashboard's variables.
type scope string

// selector returns a selector of the metric in the scope with further matchers.
func (s scope) selector(metric string, more ...string) string {
	return metric + "{" + strings.Join(append([]string{string(s)}, more...), ", ") + "}"
}

// maxBy returns the maximum by labels. Counts of ports must not group by module, because
// two modules may report the same port.
func maxBy(labels, expr string) string { return fmt.Sprintf("max by (%s) (%s)", labels, expr) }

func minBy(labels, expr string) string { return fmt.Sprintf("min by (%s) (%s)", labels, expr) }

func sumBy(labels, expr string) string { return fmt.Sprintf("sum by (%s) (%s)", labels, expr) }

// port has the labels of a port from one vantage.
const port = "instance, vantage, ip, port, protocol"

// joinOwner adds the target's owner to each series. topk selects one info series, because
// after a reload, there may be two for a moment and the join would fail.
func (s scope) joinOwner(expr string) string {
	return fmt.Sprintf(`(
%s
) * on (instance, vantage) group_left (owner)
topk by (instance, vantage) (1, %s)`, indent(expr), s.selector("portscan_target_info"))
}

// openedPorts counts ports that are open and were not in the previous step, if the scan
// was complete then.
func openedPorts(ports, scans scope) string {
	return countChanges(ports.selector("portscan_port_open"), ports.selector("portscan_port_open")+previousStep, scans.selector("probe_success")+previousStep) +
		zeroIfScanned(scans)
}

// closedPorts counts ports that were open in the previous step and are not, if the scan
// is complete now.
func closedPorts(ports, scans scope) string {
	return countChanges(ports.selector("portscan_port_open")+previousStep, ports.selector("portscan_port_open"), scans.selector("probe_success")) +
		zeroIfScanned(scans)
}

// previousStep shifts a selector by one step of the graph.
const previousStep = " offset $__interval"

// countChanges counts ports that are open in one selector and not in the other, for
// complete scans.
func countChanges(open, other, complete string) string {
	return fmt.Sprintf(`count(
    %s == 1
  unless
    %s == 1
  and on (instance, vantage)
    %s == 1
)`, maxBy(port, open), maxBy(port, other), minBy("instance, vantage", complete))
}

// zeroIfScanned turns an empty count into 0 if there are scans.
func zeroIfScanned(scans scope) string {
	return fmt.Sprintf("\nor 0 * count(%s)", scans.selector("probe_success"))
}

// indent indents all lines.
func indent(expr string) string { return "  " + strings.ReplaceAll(expr, "\n", "\n  ") }
