package main

import (
	"fmt"
	"strings"
)

// scope is the label matchers that a dashboard's variables stand for.
type scope string

// of is a metric within the scope, and with further matchers.
func (s scope) of(metric string, more ...string) string {
	return metric + "{" + strings.Join(append([]string{string(s)}, more...), ", ") + "}"
}

// maxBy is the greatest value for each set of these labels. The label module is
// never among them where ports are counted: a port that two modules scan is
// reported by both.
func maxBy(labels, expr string) string { return fmt.Sprintf("max by (%s) (%s)", labels, expr) }

func minBy(labels, expr string) string { return fmt.Sprintf("min by (%s) (%s)", labels, expr) }

func sumBy(labels, expr string) string { return fmt.Sprintf("sum by (%s) (%s)", labels, expr) }

// one port as it is seen from one place.
const port = "instance, vantage, ip, port, protocol"

// withOwner gives each series the owner of its target. One info series is enough,
// and there must be no more than one, or Prometheus refuses the query: for a moment
// after a reload there may be the old owner's and the new one's.
func (s scope) withOwner(expr string) string {
	return fmt.Sprintf(`(
%s
) * on (instance, vantage) group_left (owner)
topk by (instance, vantage) (1, %s)`, indent(expr), s.of("portscan_target_info"))
}

// opened counts ports that are open and were not one step of the graph ago, when
// the target's ports were all known.
func opened(ports, scans scope) string {
	return changed(ports.of("portscan_port_open"), ports.of("portscan_port_open")+before, scans.of("probe_success")+before) +
		zero(scans)
}

// closed counts ports that were open one step of the graph ago and are not, now
// that the target's ports are all known.
func closed(ports, scans scope) string {
	return changed(ports.of("portscan_port_open")+before, ports.of("portscan_port_open"), scans.of("probe_success")) +
		zero(scans)
}

// before is one step of the graph ago.
const before = " offset $__interval"

// changed counts ports that are open here and not there, where all was known.
func changed(here, there, known string) string {
	return fmt.Sprintf(`count(
    %s == 1
  unless
    %s == 1
  and on (instance, vantage)
    %s == 1
)`, maxBy(port, here), maxBy(port, there), minBy("instance, vantage", known))
}

// zero is what a count of nothing is, as long as there are scans at all.
func zero(scans scope) string { return fmt.Sprintf("\nor 0 * count(%s)", scans.of("probe_success")) }

// indent moves lines to the right.
func indent(expr string) string { return "  " + strings.ReplaceAll(expr, "\n", "\n  ") }
