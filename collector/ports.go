// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"net/netip"

	"portscan_exporter/internal/scan"
)

// ReportedPort is a port with series of its own.
type ReportedPort struct {
	scan.PortResult
	Expected scan.Expected
}

// portRank orders ports if there are more than MaxPorts: the lowest come first.
type portRank int

const (
	rankUnexpectedOpen portRank = iota
	rankExpectedOpen
	rankAllowed
	rankOpen       // without an expectation for the protocol
	rankOpenBefore // in an earlier scan
	rankOther      // reported only with AllPorts
	rankCount
)

func rankPort(plan scan.Plan, openBefore scan.PortSet, r scan.PortResult) portRank {
	switch e := plan.Expected(r.Port); {
	case e == scan.ExpectClosed && e.ViolatedBy(r.State):
		return rankUnexpectedOpen
	case e == scan.ExpectOpen:
		return rankExpectedOpen
	case plan.Declared(r.Port):
		return rankAllowed
	case r.State == scan.Open:
		return rankOpen
	case openBefore.Contains(r.Port):
		return rankOpenBefore
	default:
		return rankOther
	}
}

// ReportedPorts returns the ports with series of their own, at most MaxPorts, ordered by
// rank, address and port; and the number of further ports by address. Ports in state
// unknown are in neither.
func (p ProbeResult) ReportedPorts() (ports []ReportedPort, omitted map[netip.Addr]int) {
	var byRank [rankCount][]ReportedPort
	omitted = make(map[netip.Addr]int)
	plan := p.Result.Plan
	for i := range p.Result.Addresses {
		openBefore := p.PortHistory.Opened(p.Result.Addresses[i].IP)
		for r := range p.Result.Addresses[i].All() {
			k := rankPort(plan, openBefore, r)
			if r.State == scan.Unknown || (k == rankOther && !p.AllPorts) {
				continue
			}
			omitted[r.Address]++ // corrected below for the ports that fit
			if len(byRank[k]) < p.MaxPorts {
				byRank[k] = append(byRank[k], ReportedPort{PortResult: r, Expected: plan.Expected(r.Port)})
			}
		}
	}
	for _, candidates := range byRank {
		fit := candidates[:min(len(candidates), p.MaxPorts-len(ports))]
		ports = append(ports, fit...)
		for _, r := range fit {
			omitted[r.Address]--
		}
	}
	return ports, omitted
}
