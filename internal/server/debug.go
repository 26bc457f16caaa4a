// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/prometheus/common/expfmt"

	"portscan_exporter/collector"
	"portscan_exporter/internal/config"
	"portscan_exporter/internal/printable"
	"portscan_exporter/internal/scan"
)

// encodeDebug returns the answer to a probe with debug=true: plan, results, log and metrics as
// readable text.
func encodeDebug(p *permittedProbe, result collector.ProbeResult) (encodedAnswer, error) {
	var b strings.Builder
	writeDebugPlan(&b, p.task)
	writeDebugAddresses(&b, result.Result)
	writeDebugPorts(&b, result)
	fmt.Fprintf(&b, "\nLogs for the probe:\n%s", p.log.text())
	b.WriteString("\nMetrics that would have been returned:\n")
	families, err := gatherMetrics(collector.NewProbe(result))
	if err != nil {
		return encodedAnswer{}, err
	}
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&b, f); err != nil {
			fmt.Fprintf(&b, "# writing %s: %v\n", f.GetName(), err)
		}
	}
	return newTextAnswer(printable.EscapeLines(b.String())), nil
}

func writeDebugPlan(b *strings.Builder, task scan.Task) {
	spec := task.Plan.Spec()
	hosts := listHosts(task.Hosts)
	if len(task.Hosts) == 1 {
		hosts = []string{formatHost(task.Hosts[0])}
	}
	method := spec.Protocol.String()
	if spec.Protocol == scan.TCP {
		method += " (" + spec.Method.String() + ")"
	}
	fmt.Fprintf(b, "Plan:\n  target        %s\n  module        %s\n  hosts         %s\n  protocol      %s\n",
		task.Target, task.Module, strings.Join(hosts, ", "), method)
	fmt.Fprintf(b, "  ports         %v (%d)\n", task.Plan.Ports(), task.Plan.Ports().Len())
	if e := spec.Expect; e != nil {
		fmt.Fprintf(b, "  must be open  %v\n  may be open   %v\n", e.Open, e.Allow)
	} else {
		b.WriteString("  expected      none\n")
	}
	fmt.Fprintf(b, "  timeout       %v, %v per port, %d retries (at most %d)\n", spec.Timeout, spec.PortTimeout, spec.Retries, spec.MaxRetries)
	fmt.Fprintf(b, "  in flight     %d per address, %d packets per second (0: no limit)\n", spec.MaxInFlight, spec.Rate)
}

// formatHost returns an entry of hosts, and the address if only one is scanned.
func formatHost(h scan.Host) string {
	if !h.IsName() && h.Network.IsSingleIP() && h.Entry != h.Network.Addr().String() {
		return h.Network.Addr().String() + " in " + config.FormatHost(h.Entry)
	}
	return h.String()
}

// joinHosts returns entries of hosts for people.
func joinHosts(entries []string) string {
	texts := make([]string, 0, len(entries))
	for _, entry := range entries {
		texts = append(texts, config.FormatHost(entry))
	}
	return strings.Join(texts, ", ")
}

func writeDebugAddresses(b *strings.Builder, r *scan.Result) {
	b.WriteString("\nAddresses:\n")
	for i := range r.Addresses {
		a := &r.Addresses[i]
		fmt.Fprintf(b, "  %v  from %s:", a.IP, joinHosts(a.Hosts))
		for _, s := range scan.States() {
			fmt.Fprintf(b, " %d %v", a.Count(s), s)
		}
		for _, cause := range scan.UnknownCauses() {
			if n := a.UnknownByCause()[cause]; n > 0 {
				fmt.Fprintf(b, ", unknown (%v): %d", cause, n)
			}
		}
		if reason := a.SuspectedBy(); reason != scan.NotSuspect {
			fmt.Fprintf(b, ", suspect (%v)", reason)
		}
		b.WriteString("\n")
		for _, e := range a.ICMPErrors() {
			fmt.Fprintf(b, "    icmp %v: %s\n", e.ICMPError, formatCount(e.Ports.Len(), "port"))
		}
	}
	for _, ip := range r.Refused {
		fmt.Fprintf(b, "  %v  REFUSED: outside the target's networks\n", ip)
	}
	for _, f := range scan.Failures() {
		if err := r.Failed[f]; err != nil {
			fmt.Fprintf(b, "  FAILED (%v): %s\n", f, strings.ReplaceAll(err.Error(), "\n", "; "))
		}
	}
}

func writeDebugPorts(b *strings.Builder, a collector.ProbeResult) {
	ports, omitted := a.ReportedPorts()
	b.WriteString("\nPorts:\n")
	table := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "  ADDRESS\tPORT\tSTATE\tEXPECTED\tCAUSE\tRESPONSE")
	for _, p := range ports {
		response := "-"
		if p.RTT > 0 {
			response = p.RTT.Round(time.Microsecond).String()
		}
		fmt.Fprintf(table, "  %v\t%d\t%v\t%v\t%v\t%s\n", p.Address, p.Port, p.State, p.Expected, p.Evidence(), response)
	}
	_ = table.Flush() // a Builder does not fail
	for i := range a.Result.Addresses {
		if n := omitted[a.Result.Addresses[i].IP]; n > 0 {
			fmt.Fprintf(b, "  %d more ports on %v\n", n, a.Result.Addresses[i].IP)
		}
	}
}
