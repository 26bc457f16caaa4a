package collector

import (
	"net/netip"

	"portscan_exporter/internal/scan"
)

// ReportedPort is a port that an answer reports one by one.
type ReportedPort struct {
	scan.PortResult
	Expected scan.Expected
}

// rank is a port's place in the queue for the room that max_ports leaves.
type rank int

const (
	unexpectedOpen rank = iota
	expected
	allowed
	open   // nothing was expected of the protocol
	opened // once, and is no more
	rest   // reported with "report: all" alone
	ranks
)

func rankOf(plan scan.Plan, once scan.PortSet, r scan.PortResult) rank {
	switch e := plan.Expected(r.Port); {
	case e == scan.ExpectClosed && r.State == scan.Open:
		return unexpectedOpen
	case e == scan.ExpectOpen:
		return expected
	case plan.Declared(r.Port):
		return allowed
	case r.State == scan.Open:
		return open
	case once.Contains(r.Port):
		return opened
	default:
		return rest
	}
}

// Report returns the ports that the answer reports one by one, at most
// MaxPorts: open ones that should be closed first, then those that must be
// open, those that may be, the other open ones, those that were open once, and the
// rest; within each in order of address and port. omitted counts by address what did not fit.
// Ports whose state is unknown are never among them.
func (a ProbeResult) ReportedPorts() (ports []ReportedPort, omitted map[netip.Addr]int) {
	var byRank [ranks][]ReportedPort
	omitted = make(map[netip.Addr]int)
	plan := a.Result.Plan
	for i := range a.Result.Addresses {
		once := a.History.Opened(a.Result.Addresses[i].IP)
		for r := range a.Result.Addresses[i].All() {
			k := rankOf(plan, once, r)
			if r.State == scan.Unknown || (k == rest && !a.AllPorts) {
				continue
			}
			omitted[r.Address]++ // until it turns out that it fits
			if len(byRank[k]) < a.MaxPorts {
				byRank[k] = append(byRank[k], ReportedPort{PortResult: r, Expected: plan.Expected(r.Port)})
			}
		}
	}
	for _, candidates := range byRank {
		fit := candidates[:min(len(candidates), a.MaxPorts-len(ports))]
		ports = append(ports, fit...)
		for _, p := range fit {
			omitted[p.Address]--
		}
	}
	return ports, omitted
}
