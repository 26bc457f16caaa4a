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

// rankPorts returns the ports of an address by rank, without those in state unknown.
func (p ProbeResult) rankPorts(a *scan.AddressResult, openBefore scan.PortSet) (byRank [rankCount]scan.PortSet) {
	var known scan.PortSet // and not ranked yet
	for state, ports := range a.ByState() {
		if state != scan.Unknown {
			known = known.Union(ports)
		}
	}
	take := func(rank portRank, ports scan.PortSet) {
		byRank[rank] = ports.Intersect(known)
		known = known.Minus(byRank[rank])
	}
	open := a.Ports(scan.Open)
	if e := p.Result.Plan.Spec().Expect; e == nil {
		take(rankOpen, open)
	} else {
		take(rankUnexpectedOpen, open.Minus(e.Open).Minus(e.Allow))
		take(rankExpectedOpen, e.Open)
		take(rankAllowed, e.Allow)
	}
	take(rankOpenBefore, openBefore)
	if p.AllPorts {
		take(rankOther, known)
	}
	return byRank
}

// ReportedPorts returns the ports with series of their own, at most MaxPorts, ordered by
// rank, address and port; and the number of further ports by address. Ports in state
// unknown are in neither.
func (p ProbeResult) ReportedPorts() (ports []ReportedPort, omitted map[netip.Addr]int) {
	addresses := p.Result.Addresses
	ranked := make([][rankCount]scan.PortSet, len(addresses))
	omitted = make(map[netip.Addr]int)
	for i := range addresses {
		ranked[i] = p.rankPorts(&addresses[i], p.PortHistory.Opened(addresses[i].IP))
		for _, ports := range ranked[i] {
			omitted[addresses[i].IP] += ports.Len() // less those that fit, below
		}
	}
	for rank := range rankCount {
		for i := range addresses {
			ports = p.appendPorts(ports, &addresses[i], ranked[i][rank])
		}
	}
	for i := range ports {
		omitted[ports[i].Address]--
	}
	return ports, omitted
}

// appendPorts appends as many ports of an address as fit.
func (p ProbeResult) appendPorts(to []ReportedPort, a *scan.AddressResult, ports scan.PortSet) []ReportedPort {
	for port := range ports.All() {
		if len(to) >= p.MaxPorts {
			break
		}
		if r, ok := a.Port(port); ok {
			to = append(to, ReportedPort{PortResult: r, Expected: p.Result.Plan.Expected(port)})
		}
	}
	return to
}
