// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"fmt"
	"maps"
	"slices"

	"portscan_exporter/internal/config"
	"portscan_exporter/internal/scan"
)

// coverageGaps returns the ports, hosts and changes that the results of a module do
// not cover, in sentences.
func (ts *targetStatus) coverageGaps() (gaps []string) {
	view, spec := ts.view, ts.view.Plan.Spec()
	if ports := allPorts().Minus(view.Plan.Ports()); !ports.IsEmpty() {
		gaps = append(gaps, fmt.Sprintf("%s of 65,535 %s ports: not scanned by this module.", formatNumber(ports.Len()), formatProtocol(spec.Protocol)))
	}
	if !spec.Exclude.IsEmpty() {
		gaps = append(gaps, fmt.Sprintf("Ports %s: excluded (exclude_ports).", formatFirstPorts(spec.Exclude)))
	}
	gaps = append(gaps, ts.otherProtocol()...)
	if len(ts.target.ExcludeHosts) > 0 {
		gaps = append(gaps, "Hosts in exclude_hosts: excluded.")
	}
	for _, f := range scan.Failures() {
		if err := view.Failed[f]; err != nil {
			gaps = append(gaps, fmt.Sprintf("Scan incomplete: %v.", err))
		}
	}
	for _, ip := range view.Refused {
		gaps = append(gaps, fmt.Sprintf("%v: resolved outside the target's networks, not scanned.", ip))
	}
	if view.Evicted > 0 {
		gaps = append(gaps, formatCount(view.Evicted, "address")+": results evicted (memory limit).")
	}
	if view.Partial {
		gaps = append(gaps, "Other addresses of the target: not scanned since the exporter started or the configuration changed.")
	}
	gaps = append(gaps, ts.unknownPorts()...)
	if ts.stale {
		gaps = append(gaps, "Changes since the last scan, which is older than max_age + timeout.")
	}
	return gaps
}

// unknownPorts returns the numbers of ports that are unknown, by cause.
func (ts *targetStatus) unknownPorts() (gaps []string) {
	unknown := make(map[scan.Cause]int)
	for _, a := range ts.view.Addresses {
		for cause, n := range a.Unknown {
			unknown[cause] += n
		}
	}
	for _, cause := range slices.Sorted(maps.Keys(unknown)) {
		gaps = append(gaps, fmt.Sprintf("%s scanned, but unknown: %s.", formatCount(unknown[cause], "port"), describeCause(cause)))
	}
	return gaps
}

// otherProtocol returns the module of the target that scans the other protocol,
// or that there is none.
func (ts *targetStatus) otherProtocol() []string {
	for _, other := range []scan.Protocol{scan.TCP, scan.UDP} {
		if other == ts.module.Protocol {
			continue
		}
		if i := slices.IndexFunc(ts.target.Modules, func(m *config.Module) bool { return m.Protocol == other }); i >= 0 {
			return []string{formatProtocol(other) + ": see module " + ts.target.Modules[i].Name + "."}
		}
		return []string{formatProtocol(other) + ": not scanned by any module of this target."}
	}
	return nil
}
