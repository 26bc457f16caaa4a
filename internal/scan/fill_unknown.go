// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"maps"
	"time"
)

// FillUnknown returns the result with the states of an older one for ports that are unknown in
// a and known in older, with their causes, ICMP errors and response times. All other ports stay
// as they are, and so do the address, the plan, the last response and the answers of control
// ports.
func (a *AddressResult) FillUnknown(older *AddressResult) AddressResult {
	filled := a.Ports(Unknown).Intersect(older.plan.ports).Minus(older.Ports(Unknown))
	if filled.IsEmpty() {
		return *a
	}
	groups := make(portGroups)
	for i := range older.groups {
		groups.add(older.groups[i].cell, older.groups[i].ports.Intersect(filled))
	}
	for i := range a.groups {
		groups.add(a.groups[i].cell, a.groups[i].ports.Minus(filled))
	}
	out := *a
	out.groups = groups.sorted()
	out.icmp = a.fillICMP(older, filled)
	out.rtts = a.fillRTTs(older, filled)
	return out
}

// fillICMP returns the ICMP errors with those of an older result for the filled ports.
func (a *AddressResult) fillICMP(older *AddressResult, filled PortSet) (all []ICMPPorts) {
	for _, e := range a.icmp {
		all = addICMP(all, e.ICMPError, e.Ports.Minus(filled))
	}
	for _, e := range older.icmp {
		all = addICMP(all, e.ICMPError, e.Ports.Intersect(filled))
	}
	return all
}

// fillRTTs returns the response times with those of an older result for the filled ports.
func (a *AddressResult) fillRTTs(older *AddressResult, filled PortSet) map[uint16]time.Duration {
	rtts := make(map[uint16]time.Duration)
	for port, rtt := range older.rtts {
		if filled.Contains(port) {
			rtts[port] = rtt
		}
	}
	if len(rtts) == 0 {
		return a.rtts
	}
	maps.Copy(rtts, a.rtts)
	return rtts
}
